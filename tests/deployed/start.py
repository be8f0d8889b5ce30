"""Size and start of every function's binary, each run once by AWS's own Runtime Interface Emulator.

    python tests/deployed/start.py [--binaries FOLDER] [--starts 20] [--rie PATH] [--only FUNCTION …]

Fails on a binary over its budget, on OpenSSL in a function that never signs, and on one that does not answer an
invocation. Never on time: machines differ. The start is from exec to the first `GET …/invocation/next`.
"""

import argparse
import http.server
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from binaries import BUILT_BY_SAM, binary_of, functions

MB = 1_000_000
# With a tenth of room above what was measured when it was written: growth is to be noticed, not to be forbidden.
BUDGETS = {"reads and writes": 7.7 * MB, "signs or keeps packages": 15.6 * MB}
ENVIRONMENT = {
    "TABLE_NAME": "passloop", "BUCKET_NAME": "passloop", "PUSH_QUEUE_URL": "http://127.0.0.1:9/push",
    "FOLLOW_UP_QUEUE_URL": "http://127.0.0.1:9/follow-up", "BATCH_QUEUE_URL": "http://127.0.0.1:9/batch",
    "WEBHOOK_QUEUE_URL": "http://127.0.0.1:9/webhook", "PUBLIC_URL": "http://127.0.0.1:9",
    "SIGNING_IDENTITIES": "file:/nowhere", "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_LAMBDA_FUNCTION_NAME": "f",
    "AWS_LAMBDA_FUNCTION_VERSION": "1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "RUST_LOG": "error",
}


class RuntimeApi:
    """Lambda's Runtime API as far as a start goes: it notes when it is first asked for work, and has none."""

    def __init__(self):
        self.asked = threading.Event()
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                api.at = time.perf_counter()
                api.asked.set()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def start_of(self, binary):
        self.asked.clear()
        environment = {**ENVIRONMENT, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.server.server_port}"}
        began = time.perf_counter()
        process = subprocess.Popen([binary], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            if not self.asked.wait(10):
                raise SystemExit(f"{binary.name} did not ask for work within 10 s")
            return (self.at - began) * 1000
        finally:
            process.kill()
            process.wait()


def event_of(properties):
    """What API Gateway, SQS or the scheduler would send; without credentials, so that nothing is looked up."""
    event = next(iter(properties["Events"].values()))
    if event["Type"] == "SQS":
        return {"Records": []}
    if event["Type"] != "HttpApi":
        return {}
    method, path = event["Properties"].get("Method", "get").upper(), event["Properties"].get("Path", "/")
    key = f"{method} {path}" if "Path" in event["Properties"] else "$default"
    return {
        "version": "2.0", "routeKey": key, "rawPath": path, "rawQueryString": "",
        "headers": {"host": "127.0.0.1"}, "isBase64Encoded": False,
        "requestContext": {
            "accountId": "0", "apiId": "a", "domainName": "127.0.0.1", "domainPrefix": "a", "requestId": "r",
            "routeKey": key, "stage": "$default", "time": "01/Jan/2026:00:00:00 +0000", "timeEpoch": 0,
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "t"},
        },
    }


def invoke(rie, binary, event):
    """One invocation by the emulator; its answer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"127.0.0.1:{port}"
    process = subprocess.Popen(
        [rie, "--runtime-interface-emulator-address", address, binary], env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )
    url = f"http://{address}/2015-03-31/functions/function/invocations"
    deadline = time.monotonic() + 20
    try:
        while True:
            try:
                request = urllib.request.Request(url, json.dumps(event).encode())
                return json.loads(urllib.request.urlopen(request, timeout=40).read())
            except urllib.error.URLError as error:
                if time.monotonic() > deadline:
                    raise SystemExit(f"{binary.name} does not answer the emulator: {error}") from error
                time.sleep(0.05)
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def check_answer(name, kind, answer):
    good = {
        "HttpApi": lambda: 200 <= answer["statusCode"] < 600,
        "SQS": lambda: answer == {"batchItemFailures": []},
        # Without a table it has to fail, in Lambda's own way.
        "ScheduleV2": lambda: "errorMessage" in answer,
    }[kind]
    try:
        if good():
            return
    except (KeyError, TypeError):
        pass
    raise SystemExit(f"{name} answered {json.dumps(answer)[:300]}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--binaries", type=Path, default=BUILT_BY_SAM)
    arguments.add_argument("--starts", type=int, default=20, help="of each, for the median")
    arguments.add_argument("--rie", type=Path, help="aws-lambda-rie-x86_64, out of the aws-sam-cli wheel")
    arguments.add_argument("--only", nargs="+", metavar="FUNCTION", help="these functions instead of all")
    given = arguments.parse_args()

    api, wrong = RuntimeApi(), []
    print("| function | kind | MB | start, ms (median) |\n|---|---|---|---|")
    for logical, (name, properties) in functions().items():
        if given.only and name not in given.only:
            continue
        binary = binary_of(given.binaries, logical, name)
        policies = json.dumps(properties.get("Policies", []), default=str)
        kind = "signs or keeps packages" if "s3:" in policies or "ReadIdentities" in policies else "reads and writes"
        size = binary.stat().st_size
        start = statistics.median(api.start_of(binary) for _ in range(given.starts))
        print(f"| `{name}` | {kind} | {size / MB:.1f} | {start:.1f} |", flush=True)
        if size > BUDGETS[kind]:
            wrong.append(f"{name} has {size / MB:.1f} MB, over the {BUDGETS[kind] / MB:.0f} MB of its kind")
        if kind == "reads and writes" and b"OSSL_" in binary.read_bytes():
            wrong.append(f"{name} never signs, and has OpenSSL in it (docs/decisions/0008)")
        if given.rie:
            event = next(iter(properties["Events"].values()))
            check_answer(name, event["Type"], invoke(given.rie, binary, event_of(properties)))
    if wrong:
        raise SystemExit("\n".join(wrong))
    if given.rie:
        print("each answered an invocation by AWS's Runtime Interface Emulator")


if __name__ == "__main__":
    sys.exit(main())
