"""Forks a program that has its modules loaded: starting one costs a few ms, and half a second otherwise.

`python -m tests.crash.moments.zygote MODULE…`; a line of JSON on stdin is a request, and its answer a line on stdout:
`{"start": {…}}` the pid of a new process in which `main` of a module runs, `{"poll": PID}` its exit status as
`subprocess` tells it, or null while it lives. What it started dies with it.
"""

from __future__ import annotations

import ctypes
import importlib
import inspect
import json
import os
import random
import signal
import sys
import traceback
from functools import partial

import trio

_PR_SET_PDEATHSIG = 1  # prctl(2)
_libc = ctypes.CDLL(None)


def start(module: str, arguments: list[str], environment: dict[str, str], output: str, timeout_s: int) -> int:
    """What it says goes to `output`; SIGALRM ends it when its time is up."""
    if pid := os.fork():
        return pid
    status = 1
    try:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.alarm(timeout_s)
        said = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.update(environment)
        random.seed()
        if hasattr(_libc, "moments_arm"):
            _libc.moments_arm()
        status = _run(importlib.import_module(module).main, arguments)
        sys.stdout.flush()
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:  # noqa: BLE001 - the last frame of this process: nothing may go on as a second zygote
        traceback.print_exc()
    finally:
        os._exit(status)


def _run(main: object, arguments: list[str]) -> int:
    sys.argv = ["main", *arguments]
    if inspect.iscoroutinefunction(main):
        trio.run(partial(main, *arguments))
    else:
        main()  # type: ignore[operator] # of a module that we were told
    return 0


def poll(pid: int) -> int | None:
    """See the module."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


if __name__ == "__main__":
    for name in sys.argv[1:]:
        importlib.import_module(name)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(start(**request["start"]) if "start" in request else poll(request["poll"])), flush=True)  # noqa: T201
