"""What schemathesis cannot know of the document: how a template is zipped, what rows look like, and that an idempotency key is used once."""

import itertools
import re
import zipfile
from io import BytesIO
from pathlib import Path

import schemathesis
from hypothesis import strategies as st

SAMPLE = Path(__file__).parents[2] / "infra/local/sample/croissant.pass"
KEY = re.compile(r"[!-~]([ -~]{0,62}[!-~])?")
numbers = itertools.count()


def zipped() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in sorted(SAMPLE.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(SAMPLE))
    return buffer.getvalue()


schemathesis.openapi.media_type("application/zip", st.just(zipped()))
schemathesis.openapi.media_type("text/csv", st.just(b"campaignId,holder.name\ncroissant,Ada\n"))
schemathesis.openapi.media_type("application/x-ndjson", st.just(b'{"campaignId": "croissant"}\n'))


@schemathesis.serializer("application/zip", "text/csv", "application/x-ndjson")
def as_it_is(ctx, value):
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """A key that is one is made new for each call: used again with another body it is refused, as it should be."""
    if case.meta is None or case.meta.generation.mode.is_negative:
        return
    for name in list(case.headers or {}):
        if name.lower() == "idempotency-key" and KEY.fullmatch(str(case.headers[name])):
            case.headers[name] = f"schemathesis {next(numbers)}"
