"""What the first call of a function costs beyond the later ones: making the SDK's client, its connection, and TLS.

    python tests/deployed/first_call.py [--binaries FOLDER] [--starts 20]

`list-updatable-passes` asks a table once and is done, so what it takes is the client's own. It runs against a DynamoDB that
knows nothing, on this machine, over plain HTTP and over TLS; medians of the first and of the fifth invocation, from the
Runtime API's answer to the function's.
"""

import argparse
import http.server
import json
import ssl
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from binaries import BUILT_BY_SAM, binary_of
from start import ENVIRONMENT, event_of

INVOCATIONS = 5


class EmptyTable(http.server.BaseHTTPRequestHandler):
    """DynamoDB that has no item."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        query = self.headers["X-Amz-Target"].endswith("Query")
        body = json.dumps({"Items": [], "Count": 0} if query else {"Responses": {}, "UnprocessedKeys": {}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Invocations:
    """Lambda's Runtime API with a few invocations to give; notes how long each took."""

    def __init__(self, event):
        self.took, self.done = [], threading.Event()
        body = json.dumps(event).encode()
        invocations = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self):
                if len(invocations.took) == INVOCATIONS:
                    invocations.done.set()
                    return
                self.send_response(200)
                for name, value in {
                    "Lambda-Runtime-Aws-Request-Id": f"r{len(invocations.took)}",
                    "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 20_000),
                    "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:0:function:f",
                    "Content-Type": "application/json", "Content-Length": str(len(body)),
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                invocations.given = time.perf_counter()
                self.wfile.write(body)

            def do_POST(self):
                invocations.took.append((time.perf_counter() - invocations.given) * 1000)
                invocations.answer = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = serve(Handler)

    def of(self, binary, endpoint, roots):
        environment = {
            **ENVIRONMENT, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.server.server_port}", "AWS_ENDPOINT_URL": endpoint,
            "SSL_CERT_FILE": roots,
        }
        self.took, self.done = [], threading.Event()
        process = subprocess.Popen([binary], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            if not self.done.wait(20):
                raise SystemExit(f"{binary.name} stopped after {len(self.took)} invocations")
        finally:
            process.kill()
            process.wait()
        status = json.loads(self.answer)["statusCode"]
        if status != 204:
            raise SystemExit(f"{binary.name} answered {status}, not 204: nobody asked the table")
        return self.took[0], self.took[-1]


def certificate_for_this_machine(directory):
    """A root, and a certificate of 127.0.0.1 under it with its key: rustls takes no root for a server's own certificate."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, cwd=directory, stderr=subprocess.DEVNULL)

    new = ["-newkey", "rsa:2048", "-nodes", "-days", "2"]
    openssl("req", "-x509", *new, "-subj", "/CN=root", "-keyout", "root.key", "-out", "root.pem")
    openssl("req", "-x509", *new, "-subj", "/CN=table", "-addext", "subjectAltName=IP:127.0.0.1", "-addext",
            "basicConstraints=critical,CA:false", "-CA", "root.pem", "-CAkey", "root.key", "-keyout", "key.pem", "-out", "table.pem")
    chain = directory / "chain.pem"
    chain.write_text((directory / "table.pem").read_text() + (directory / "key.pem").read_text())
    return str(directory / "root.pem"), str(chain)


def serve(handler, context=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--binaries", type=Path, default=BUILT_BY_SAM)
    arguments.add_argument("--starts", type=int, default=20)
    given = arguments.parse_args()
    binary = binary_of(given.binaries, "ListUpdatablePasses", "list-updatable-passes")
    path = "/v1/devices/{deviceLibraryIdentifier}/registrations/{passTypeIdentifier}"
    event = event_of({"Events": {"List": {"Type": "HttpApi", "Properties": {"Method": "GET", "Path": path}}}})
    event["rawPath"] = "/v1/devices/d/registrations/pass.example.a"
    event["pathParameters"] = {"deviceLibraryIdentifier": "d", "passTypeIdentifier": "pass.example.a"}
    with tempfile.TemporaryDirectory() as directory:
        roots, chain = certificate_for_this_machine(Path(directory))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        tables = {"plain HTTP": ("http", serve(EmptyTable)), "TLS": ("https", serve(EmptyTable, context))}
        invocations = Invocations(event)
        took = {name: [] for name in tables}
        for _ in range(given.starts):
            for name, (scheme, server) in tables.items():
                took[name].append(invocations.of(binary, f"{scheme}://127.0.0.1:{server.server_port}", roots))
    print("| the table over | first invocation, ms | fifth, ms |\n|---|---|---|")
    for name, pairs in took.items():
        first, fifth = (statistics.median(values) for values in zip(*pairs))
        print(f"| {name} | {first:.1f} | {fifth:.1f} |")


if __name__ == "__main__":
    main()
