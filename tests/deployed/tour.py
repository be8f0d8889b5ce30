"""Deploys template.yaml with the functions' real binaries into an emulated AWS, and takes the tour through every door.

    python tests/deployed/tour.py [--auth] [--binaries FOLDER [--in-place]] [--break MISTAKE]

With --auth the emulated IAM enforces every function's role: a permission that the template forgets fails the tour.
With --in-place a deployment package holds not the binary but the way to it: debug binaries are gigabytes in all.
Needs requirements-cloud.txt, and `tour` and `passloop` built (`cargo build -p passloop-tests -p passloop-local --bins`).
"""

import argparse
import http.client
import http.server
import io
import json
import os
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zipfile
from pathlib import Path

import boto3
from botocore.config import Config
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from binaries import BUILT_BY_SAM, ROOT, binary_of, name_of
from binaries import functions as declared

REGION = "eu-central-1"
STACK = "passloop"
# The transformation asks its environment.
os.environ["AWS_DEFAULT_REGION"] = REGION
# What goes wrong on purpose, and must be noticed: --break.
BREAKS = {
    "policy": "the role of redeem-pass may not write",
    "route": "the route of redeem-pass is another",
    "variable": "TABLE_NAME is missing",
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def say(text):
    print(text, flush=True)


class Cloud:
    """ministack on a free port, in a directory of its own."""

    def __init__(self, auth):
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.log = tempfile.NamedTemporaryFile("w+", prefix="ministack-", suffix=".log", delete=False)
        # It unpacks every function's binary there, some gigabytes in all, and leaves them.
        self.directory = tempfile.TemporaryDirectory(prefix="ministack-", ignore_cleanup_errors=True)
        environment = {
            **os.environ,
            "TMPDIR": self.directory.name,
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "AWS_ENDPOINT_URL": self.endpoint,
            "MINISTACK_REGION": REGION,
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "AUTH": "true" if auth else "false",
        }
        here = Path(__file__).parent / "fast_ministack.py"
        self.process = subprocess.Popen(
            [sys.executable, str(here)], env=environment, stdout=self.log, stderr=subprocess.STDOUT
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"{self.endpoint}/_ministack/health", timeout=1).read()
                return
            except OSError as error:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise SystemExit(f"ministack did not start ({error}); see {self.log.name}") from error
                time.sleep(0.1)

    def client(self, service):
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 1}, read_timeout=300),
        )

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.directory.cleanup()


def upload(cloud, functions, binaries, in_place):
    """Each binary, or the way to it, as a deployment package, where CloudFormation finds it."""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": REGION})
    for logical, name in functions.items():
        binary = binary_of(binaries, logical, name)
        bootstrap = f"#!/bin/sh\nexec {shlex.quote(str(binary.resolve()))}\n".encode() if in_place else binary.read_bytes()
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as package:
            entry = zipfile.ZipInfo("bootstrap")
            entry.external_attr = 0o755 << 16
            package.writestr(entry, bootstrap)
        s3.put_object(Bucket="artifacts", Key=f"{name}.zip", Body=archive.getvalue())


def expand(template, parameters, variables):
    """The CloudFormation that SAM makes of the template, with what ministack does not do put in its own words.

    It ignores an HTTP API's OpenAPI body, so that a deployment without a single route is green; every path of the body
    becomes a route and an integration of its own. Everything rewritten is printed.
    """
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = f"s3://artifacts/{name_of(resource['Properties'])}.zip"
            resource["Properties"].setdefault("Environment", {}).setdefault("Variables", {}).update(variables)

    class NoManagedPolicies:
        def load(self):
            return {}

    values = {name: str(given.get("Default", "")) for name, given in template["Parameters"].items()}
    document = transform(template, {**values, **parameters, "AWS::Region": REGION}, NoManagedPolicies())
    resources = document["Resources"]
    routes = []
    for logical, api in [(name, each) for name, each in resources.items() if each["Type"] == "AWS::ApiGatewayV2::Api"]:
        body = api["Properties"].pop("Body")
        for other in ("FailOnWarnings", "DisableExecuteApiEndpoint"):
            api["Properties"].pop(other, None)
        api["Properties"] = {"Name": STACK, "ProtocolType": "HTTP"}
        for path, methods in body["paths"].items():
            for method, operation in methods.items():
                uri = operation["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
                function = re.search(r"\$\{(\w+)\.Arn\}", uri).group(1)
                key = path if path == "$default" else f"{method.upper().replace('X-AMAZON-APIGATEWAY-ANY-METHOD', 'ANY')} {path}"
                place = f"{logical}Route{len(routes)}"
                resources[f"{place}Integration"] = {
                    "Type": "AWS::ApiGatewayV2::Integration",
                    "Properties": {
                        "ApiId": {"Ref": logical},
                        "IntegrationType": "AWS_PROXY",
                        "IntegrationUri": {"Fn::GetAtt": [function, "Arn"]},
                        "PayloadFormatVersion": "2.0",
                    },
                }
                resources[place] = {
                    "Type": "AWS::ApiGatewayV2::Route",
                    "Properties": {
                        "ApiId": {"Ref": logical},
                        "RouteKey": key,
                        "Target": {"Fn::Sub": f"integrations/${{{place}Integration}}"},
                    },
                }
                routes.append((key, function))
    # The emulator has no metric math. An alarm's worth is shown by the lint and by tests/house.
    unknown = [name for name, each in resources.items() if each["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in each["Properties"]]
    for name in unknown:
        del resources[name]
    # CloudFormation turns a parameter's text into the number that a property wants; the emulator compares text with numbers.
    for each in resources.values():
        if each["Type"] == "AWS::Lambda::EventSourceMapping" and "ScalingConfig" in each["Properties"]:
            limit = each["Properties"]["ScalingConfig"]["MaximumConcurrency"]
            if isinstance(limit, dict):
                each["Properties"]["ScalingConfig"]["MaximumConcurrency"] = int(values[limit["Ref"]])
    # The emulator speaks plain HTTP, which the policies of bucket and queues refuse. tests/house holds them.
    plain = []
    for name, each in resources.items():
        if each["Type"] in ("AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy"):
            statements = each["Properties"]["PolicyDocument"]["Statement"]
            kept = [statement for statement in statements if "aws:SecureTransport" not in json.dumps(statement)]
            if kept != statements:
                plain.append(name)
                each["Properties"]["PolicyDocument"]["Statement"] = kept
    for name in [name for name in plain if not resources[name]["Properties"]["PolicyDocument"]["Statement"]]:
        del resources[name]
    # AWS knows no action SendMessageBatch: SendMessage allows it ("Actions, resources, and condition keys for Amazon SQS").
    # The emulator asks for one of that name.
    for statement in statements_of(resources):
        if "sqs:SendMessage" in statement["Action"]:
            statement["Action"] = [*([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]), "sqs:SendMessageBatch"]
    say("added for the emulator: sqs:SendMessageBatch wherever sqs:SendMessage is allowed")
    say(f"left out, since the emulator has no TLS: the refusals of plain HTTP in {', '.join(plain)}")
    say(f"left out, since the emulator has no metric math: {', '.join(unknown)}")
    say(f"rewritten for the emulator: an OpenAPI body into {len(routes)} routes; added to every function: {', '.join(variables)}")
    return document, routes


def statements_of(resources):
    """Every statement of the functions' roles and of the boundary around them."""
    for each in resources.values():
        if each["Type"] == "AWS::IAM::ManagedPolicy":
            yield from each["Properties"]["PolicyDocument"]["Statement"]
        if each["Type"] == "AWS::IAM::Role":
            for policy in each["Properties"].get("Policies", []):
                yield from policy["PolicyDocument"]["Statement"]


def damage(document, what):
    """One deliberate mistake."""
    resources = document["Resources"]
    if what == "policy":
        for policy in resources["RedeemPassRole"]["Properties"]["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                statement["Action"] = [a for a in actions if a not in ("dynamodb:PutItem", "dynamodb:UpdateItem")] or ["sts:GetCallerIdentity"]
    elif what == "route":
        for each in resources.values():
            if each.get("Properties", {}).get("RouteKey") == "POST /merchant/v1/redemptions":
                each["Properties"]["RouteKey"] = "POST /merchant/v1/redeemed"
    elif what == "variable":
        for each in resources.values():
            if each["Type"] == "AWS::Lambda::Function":
                each["Properties"]["Environment"]["Variables"].pop("TABLE_NAME")


def deploy(cloud, document, parameters):
    cloudformation = cloud.client("cloudformation")
    cloud.client("s3").put_object(Bucket="artifacts", Key="template.json", Body=json.dumps(document).encode())
    cloudformation.create_stack(
        StackName=STACK,
        TemplateURL=f"{cloud.endpoint}/artifacts/template.json",
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    deadline = time.monotonic() + 120
    while True:
        stack = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            break
        if time.monotonic() > deadline:
            raise SystemExit("the stack is not ready after two minutes")
        time.sleep(0.2)
    if stack["StackStatus"] != "CREATE_COMPLETE":
        for event in cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]:
            if "FAILED" in event["ResourceStatus"]:
                say(f"  {event['LogicalResourceId']}: {event.get('ResourceStatusReason')}")
        raise SystemExit(f"the stack is {stack['StackStatus']}")
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def check_routes(cloud, routes):
    """A green deployment may have none: every route of the template must be there."""
    gateway = cloud.client("apigatewayv2")
    apis = gateway.get_apis()["Items"]
    if len(apis) != 1:
        raise SystemExit(f"one HTTP API was expected, not {len(apis)}")
    there = {route["RouteKey"] for route in gateway.get_routes(ApiId=apis[0]["ApiId"], MaxResults="500")["Items"]}
    wanted = {key for key, _ in routes}
    if there != wanted or not wanted:
        raise SystemExit(f"routes missing: {sorted(wanted - there)}; unexpected: {sorted(there - wanted)}")
    say(f"{len(there)} routes answer at the API {apis[0]['ApiId']}")
    return apis[0]["ApiId"]


class Front:
    """The service's public address: ministack tells APIs apart by host name, and phones have only an address."""

    def __init__(self, cloud, port):
        self.host = None
        front = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def forward(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
                connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=60)
                try:
                    connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                    for name, value in {**headers, "Host": front.host}.items():
                        connection.putheader(name, value)
                    connection.endheaders(body)
                    answer = connection.getresponse()
                    content = answer.read()
                    self.send_response(answer.status)
                    length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
                    for name, value in answer.getheaders():
                        if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                            self.send_header(name, value)
                    if answer.status not in (204, 304) and length is not None:
                        self.send_header("Content-Length", length)
                    self.end_headers()
                    self.wfile.write(content)
                finally:
                    connection.close()

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = forward

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def make_merchant_key(cloud, table, passloop):
    """As docs/deploy.md has it."""
    environment = {**os.environ, "AWS_ENDPOINT_URL": cloud.endpoint, "TABLE_NAME": table, "AWS_REGION": REGION,
                   "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    command = [passloop, "keys", "make", "--merchant", "shop", "--role", "admin", "--name", "office"]
    made = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return made.stdout.strip().splitlines()[-1]


def read_line(process, patience):
    ready, _, _ = select.select([process.stdout], [], [], patience)
    if not ready:
        raise SystemExit("the tour said nothing")
    return process.stdout.readline()


def log_lines(cloud):
    logs = cloud.client("logs")
    pages = logs.get_paginator("describe_log_groups").paginate()
    groups = [group["logGroupName"] for page in pages for group in page["logGroups"]]
    return [event["message"] for group in groups for event in logs.filter_log_events(logGroupName=group).get("events", [])]


def errors_in(lines):
    return [line.strip() for line in lines if '"level":"ERROR"' in line or "panicked" in line]


def check_logs(cloud, functions):
    """Every function was called, and none says that something went wrong."""
    lines = log_lines(cloud)
    errors = errors_in(lines)
    if errors:
        raise SystemExit("errors in the log:\n" + "\n".join(errors[:10]))
    silent = [name for name in functions.values() if not any(f'"{name}"' in line for line in lines)]
    if silent:
        raise SystemExit(f"never called: {', '.join(silent)}")
    say(f"{len(lines)} log lines of {len(functions)} functions, no error among them")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--auth", action="store_true", help="enforce the functions' roles")
    arguments.add_argument("--binaries", type=Path, default=BUILT_BY_SAM, help="where the functions' binaries are")
    arguments.add_argument("--in-place", action="store_true", help="run the binaries where they are")
    arguments.add_argument("--tour", type=Path, default=ROOT / "target/debug/tour")
    arguments.add_argument("--passloop", type=Path, default=ROOT / "target/debug/passloop")
    arguments.add_argument("--break", dest="broken", choices=BREAKS, help="deploy one mistake; the run must fail")
    given = arguments.parse_args()

    template = yaml_parse((ROOT / "template.yaml").read_text())
    functions = {logical: name for logical, (name, _) in declared().items()}
    cloud = Cloud(given.auth)
    tour = subprocess.Popen([given.tour], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        told = json.loads(read_line(tour, 60))
        public = free_port()
        front = Front(cloud, public)
        parameters = {
            "Architecture": "x86_64",
            "PublicUrl": f"http://127.0.0.1:{public}",
            "ApnsEndpoint": told["apnsEndpoint"],
            "SigningIdentities": "secretsmanager:passloop/identities/",
        }
        upload(cloud, functions, given.binaries, given.in_place)
        cloud.client("secretsmanager").create_secret(
            Name="passloop/identities/tour", SecretString=json.dumps(told["identity"])
        )
        document, routes = expand(template, parameters, {"APNS_CA_FILE": told["apnsCaFile"]})
        if given.broken:
            say(f"broken on purpose: {BREAKS[given.broken]}")
            damage(document, given.broken)
        outputs = deploy(cloud, document, parameters)
        say(f"deployed {len(functions)} functions from template.yaml{', roles enforced' if given.auth else ''}")
        api = check_routes(cloud, routes)
        front.host = f"{api}.execute-api.localhost:{cloud.port}"
        key = make_merchant_key(cloud, outputs["Table"], given.passloop)
        tour.stdin.write(json.dumps({"baseUrl": parameters["PublicUrl"], "merchantKey": key}) + "\n")
        tour.stdin.flush()
        began = time.monotonic()
        held = False
        while not held and (line := read_line(tour, 120)):
            say(f"  {line.rstrip()}")
            held = line.strip() == "Everything held."
        if not held:
            for line in errors_in(log_lines(cloud)):
                say(f"  {line}")
            raise SystemExit("the tour failed")
        sweep = next(name for name, folder in functions.items() if folder == "sweep")
        physical = cloud.client("cloudformation").describe_stack_resource(StackName=STACK, LogicalResourceId=sweep)
        physical = physical["StackResourceDetail"]["PhysicalResourceId"]
        swept = cloud.client("lambda").invoke(FunctionName=physical, Payload=b"{}")
        if "FunctionError" in swept:
            raise SystemExit(f"sweep failed: {swept['Payload'].read().decode()}")
        check_logs(cloud, functions)
        tour.stdin.close()
        if tour.wait(10) != 0:
            raise SystemExit("the tour did not end well")
        say(f"the tour took {time.monotonic() - began:.1f} s")
    except BaseException:
        say(f"the emulator's log: {cloud.log.name}")
        raise
    finally:
        tour.kill()
        cloud.stop()
    os.unlink(cloud.log.name)


if __name__ == "__main__":
    main()
