"""ministack without its 100 ms a call: it waits for another log line before it answers, and for acknowledgements of small packets."""

import socketserver

from ministack.core import lambda_runtime

# A function writes its line before it answers, so the wait is as long as that line takes; on a busy machine, a while. What is
# missed is told with the function's next call, and of one that is called once, never.
PATIENCE = {"first_line_wait": 0.25, "idle_confirm": 0.03, "hard_cap": 0.5}


def impatient(drain):
    return lambda self, **_: drain(self, **PATIENCE)


for worker in (lambda_runtime.ProvidedWorker, getattr(lambda_runtime, "Worker", None)):
    if drain := getattr(worker, "_drain_stderr_bounded", None):
        worker._drain_stderr_bounded = impatient(drain)
socketserver.StreamRequestHandler.disable_nagle_algorithm = True

from ministack.app import main  # noqa: E402  (after the patches)

main()
