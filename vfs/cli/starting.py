"""Starting a mount as a process of its own, and waiting until it answers or tells its failure."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
from typing import IO, TYPE_CHECKING

import msgspec

from vfs.credentials import without_secrets
from vfs.errand import Errand, Report
from vfs.failure import Failure
from vfs.logs import private_file_handler

if TYPE_CHECKING:
    from pathlib import Path

    from vfs.config import MountConfig

READY_TIMEOUT_S = 120.0  # a first sign-in over a slow line, with its retries
STOP_TIMEOUT_S = 20.0


def start(config: MountConfig, log_file: Path, *, lifeline: bool) -> subprocess.Popen[bytes]:
    """Start the mount and wait until it answers; Failure as the child told it. `lifeline` keeps its stdin."""
    errand = Errand(config=config, log_file=str(log_file), lifeline=lifeline)
    with private_log(log_file) as errors:  # -P: a folder `vfs` where the user happens to be is no part of this program
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "vfs.daemon"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=without_secrets(os.environ),
            start_new_session=True,
            pass_fds=() if config.fuse_fd is None else (config.fuse_fd,),
        )
    try:
        report = _converse(child, errand)
    except BaseException:
        _stop(child)
        raise
    if report.ready:
        if not lifeline:
            _close(child.stdin)
        _close(child.stdout)
        return child
    child.wait(STOP_TIMEOUT_S)
    _close(child.stdin)
    _close(child.stdout)
    raise Failure.of(report.failure) if report.failure else _silent(log_file)


def private_log(log_file: Path) -> IO[bytes]:
    """The log file, open for what escapes the logger: a traceback at start, a line of the C library."""
    private_file_handler(log_file).close()
    return log_file.open("ab")


def _converse(child: subprocess.Popen[bytes], errand: Errand) -> Report:
    if child.stdin is None or child.stdout is None:
        raise Failure("internal", "the child process has no pipes")
    try:
        child.stdin.write(msgspec.json.encode(errand) + b"\n")
        child.stdin.flush()
    except BrokenPipeError:
        return Report(ready=False)
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        if not selector.select(READY_TIMEOUT_S):
            raise Failure("mount-silent", f"the mount did not answer within {READY_TIMEOUT_S:.0f} s")
    line = child.stdout.readline()
    return msgspec.json.decode(line, type=Report) if line else Report(ready=False)


def _silent(log_file: Path) -> Failure:
    lines = log_file.read_text(encoding="utf-8", errors="replace").splitlines()
    last = lines[-1] if lines else "no word in the log"
    return Failure("mount-died", f"the mount's process ended before it answered: {last}", hint=f"see {log_file}")


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        pipe.close()
