"""ministack without its 100 ms a call: it waits for a log line before it answers, and for acknowledgements of small packets."""

import socketserver

from ministack.core import lambda_runtime

PATIENCE = {"first_line_wait": 0.002, "idle_confirm": 0.001, "hard_cap": 0.05}


def impatient(drain):
    return lambda self, **_: drain(self, **PATIENCE)


for worker in (lambda_runtime.ProvidedWorker, getattr(lambda_runtime, "Worker", None)):
    if drain := getattr(worker, "_drain_stderr_bounded", None):
        worker._drain_stderr_bounded = impatient(drain)
socketserver.StreamRequestHandler.disable_nagle_algorithm = True

from ministack.app import main  # noqa: E402  (after the patches)

main()
