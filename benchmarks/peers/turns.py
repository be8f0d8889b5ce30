"""Lets our builder and pusher and their peers take turns, and prints the table."""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

peers = pathlib.Path(sys.argv[1])
brief = "--test" in sys.argv
ROUNDS = 1 if brief else 7
SECONDS = 0.05 if brief else 2.0
fixture = peers / "fixture"
node = str(peers / "node_modules/.bin/node")
ours = ["cargo", "bench", "--quiet", "--locked", "-p", "passloop-benchmarks", "--bench", "contender", "--"]
# What is measured has core 1; the stand-in for APNs takes core 0 by itself.
alone = ["taskset", "-c", "1"] if shutil.which("taskset") and (os.cpu_count() or 1) > 1 else []


class Contender:
    def __init__(self, name, command):
        self.name = name
        self.process = subprocess.Popen(alone + command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.first = json.loads(self.process.stdout.readline())
        self.taken = []

    def turn(self, count):
        print(count, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def prepare(self, least):
        self.count = least
        while (taken := self.turn(self.count)["wall"]) < SECONDS / 4:
            self.count *= 2
        self.count = max(least, int(self.count * SECONDS / taken))

    def measure(self):
        taken = self.turn(self.count)
        self.taken.append((taken["cpu"] / self.count, taken["wall"] / self.count))

    def medians(self):
        return [statistics.median(part) for part in zip(*self.taken)]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def table(title, contenders, least):
    for contender in contenders:
        contender.prepare(least)
    for _ in range(ROUNDS):
        for contender in contenders:
            contender.measure()
    print(f"\n## {title}\n\n| | CPU us each | a CPU second | wall, a second | of ours |\n|---|---|---|---|---|")
    best = contenders[0].medians()[0]
    for contender in contenders:
        cpu, wall = contender.medians()
        print(f"| {contender.name} | {cpu * 1e6:.1f} | {1 / cpu:.0f} | {1 / wall:.0f} | {best / cpu:.3f} |")
        contender.end()


shutil.rmtree(fixture, ignore_errors=True)
subprocess.run(ours + ["fixture", str(fixture)], check=True)
python = str(peers / "venv/bin/python")
here = pathlib.Path(__file__).parent
table(
    "Passes",
    [
        Contender("Passloop's `passkit`", ours + ["passes", str(fixture)]),
        Contender("raw RSA-2048 signatures, the same OpenSSL", ours + ["signatures", str(fixture)]),
        Contender("passes 1.0.1 (Rust)", [str(peers / "rust/release/peers"), str(fixture)]),
        Contender("@walletpass/pass-js 7.2.0", [node, str(peers / "pass-js.mjs"), str(fixture)]),
        Contender("py-pkpass 1.0.2", [python, str(here / "pkpass_turns.py"), str(fixture)]),
        Contender("passkit-generator 3.6.1", [node, str(peers / "passkit-generator.mjs"), str(fixture)]),
    ],
    1,
)
pusher = Contender("Passloop's `platform::apns`", ours + ["pushes", str(fixture)])
apn = [node, str(peers / "node-apn.mjs"), str(fixture), str(pusher.first["port"])]
table("Pushes, one connection, 100 in flight", [pusher, Contender("@parse/node-apn 8.1.0", apn)], 2000)
