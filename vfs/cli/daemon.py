"""The mount as a process of its own: how it is started, how it tells that it answers, how its failure comes
back.

The parent writes one line of configuration to the child's standard input (a token never stands in argv or the
environment); the child writes one line to its standard output: ready, or the failure. Its standard error is
the log.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
from pathlib import Path
from typing import IO

import msgspec
import trio

from vfs.cli.asking import registry
from vfs.config import MountConfig
from vfs.failure import Failure, Told, describe
from vfs.logs import private_file_handler, start_logging

READY_TIMEOUT_S = 120.0  # a first sign-in over a slow line, with its retries
STOP_TIMEOUT_S = 20.0


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """What the parent tells the child."""

    config: MountConfig
    log_file: str
    lifeline: bool  # leave when standard input ends: the parent is gone


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the child tells the parent."""

    ready: bool
    failure: Told | None = None


def start(config: MountConfig, log_file: Path, *, lifeline: bool) -> subprocess.Popen[bytes]:
    """Start the mount and wait until it answers; Failure as the child told it. `lifeline` keeps its stdin."""
    errand = Errand(config=config, log_file=str(log_file), lifeline=lifeline)
    with private_log(log_file) as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "vfs.cli.daemon"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={name: value for name, value in os.environ.items() if name != "ANCHORFS_TOKEN"},
            start_new_session=True,
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
    return Failure(
        "mount-died", f"the mount's process ended before it answered: {last}", hint=f"see {log_file}"
    )


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


def main() -> int:
    """The child: read the errand, serve, report once."""
    errand = msgspec.json.decode(sys.stdin.buffer.raw.readline(), type=Errand)  # type: ignore[union-attr]
    report_fd = os.dup(1)
    os.dup2(2, 1)  # a stray print belongs in the log, not between parent and child
    os.chdir("/")
    start_logging(errand.config.log_level, log_file=Path(errand.log_file), secret=errand.config.token)
    return _serve(errand, report_fd)


def _serve(errand: Errand, report_fd: int) -> int:
    from vfs.mounting import serve  # noqa: PLC0415 - the kernel binding is loaded where a mount is served only

    told = False

    def ready() -> None:
        nonlocal told
        told = True
        _tell(report_fd, Report(ready=True))

    async def body() -> int:
        outcome = await serve(
            errand.config,
            registry(),
            ready,
            log_file=errand.log_file,
            lifeline_fd=0 if errand.lifeline else None,
        )
        return 0 if outcome.complete else 75

    try:
        return trio.run(body)
    except Exception as error:
        failure = describe(error, about=errand.config.url)
        if told or failure.told.kind == "internal":
            raise
        _tell(report_fd, Report(ready=False, failure=failure.told))
        return failure.told.exit_status


def _tell(report_fd: int, report: Report) -> None:
    os.write(report_fd, msgspec.json.encode(report) + b"\n")
    os.close(report_fd)


if __name__ == "__main__":
    sys.exit(main())
