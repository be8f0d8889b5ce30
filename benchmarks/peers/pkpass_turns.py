"""py-pkpass: one Pass, its serial number changed."""

import io
import json
import pathlib
import resource
import sys
import time

from py_pkpass.models import Barcode, BarcodeFormat, Coupon, Pass

fixture = pathlib.Path(sys.argv[1])
source = json.loads((fixture / "coupon.pass/pass.json").read_text())
coupon = Coupon()
for group, add in [
    ("headerFields", coupon.addHeaderField),
    ("primaryFields", coupon.addPrimaryField),
    ("secondaryFields", coupon.addSecondaryField),
    ("auxiliaryFields", coupon.addAuxiliaryField),
    ("backFields", coupon.addBackField),
]:
    for field in source["coupon"][group]:
        add(field["key"], field["value"], field["label"])
one = Pass(
    coupon,
    passTypeIdentifier=source["passTypeIdentifier"],
    organizationName=source["organizationName"],
    teamIdentifier=source["teamIdentifier"],
)
for key in ["description", "logoText", "backgroundColor", "foregroundColor", "labelColor", "webServiceURL", "authenticationToken"]:
    setattr(one, key, source[key])
one.barcode = Barcode(message=source["barcodes"][0]["message"], format=BarcodeFormat.QR)
for path in sorted((fixture / "coupon.pass").rglob("*")):
    if path.is_file() and path.name != "pass.json":
        with path.open("rb") as file:
            one.addFile(str(path.relative_to(fixture / "coupon.pass")), file)
made = 0


def make():
    global made
    made += 1
    one.serialNumber = f"pass-{made}"
    pem = [str(fixture / f"{name}.pem") for name in ("certificate", "key", "wwdr")]
    return one.create(*pem, "", io.BytesIO())


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


(fixture / "py-pkpass.pkpass").write_bytes(make().getvalue())
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    before, begun = cpu(), time.perf_counter()
    for _ in range(int(line)):
        make()
    print(json.dumps({"cpu": cpu() - before, "wall": time.perf_counter() - begun}), flush=True)
