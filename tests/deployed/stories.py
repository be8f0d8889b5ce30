"""The stories once more, over another DynamoDB and another S3 than the embedded ones: two that agree are worth more than one.

    python tests/deployed/stories.py [arguments of the test binary…]
"""

import os
import subprocess
import sys

from tour import ROOT, Cloud

cloud = Cloud(auth=False)
try:
    outside = {name: cloud.endpoint for name in ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_S3")}
    # The emulator does not say what a BatchGetItem consumes, so what a door asks for is counted over the embedded one alone.
    command = ["cargo", "test", "--locked", "-p", "passloop-tests", "--test", "stories", "--", "--skip", "units::", *sys.argv[1:]]
    code = subprocess.run(command, cwd=ROOT, env={**os.environ, **outside}).returncode
finally:
    cloud.stop()
if code:
    raise SystemExit(f"not the same over another DynamoDB and S3; the emulator's log: {cloud.log.name}")
os.unlink(cloud.log.name)
