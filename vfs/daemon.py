"""The mount as a process of its own, started by `vfs.cli.starting`.

The parent writes one line of configuration to our standard input, we write one line to our standard output:
ready, or the failure. Our standard error is the log.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
import trio

from vfs.errand import Errand, Report
from vfs.failure import ExitStatus, describe
from vfs.logs import start_logging
from vfs.mounting import serve
from vfs.registry import Registry, runtime_folder


def main() -> int:
    """Read the errand, serve, report once."""
    errand = msgspec.json.decode(_first_line(0), type=Errand)
    report_fd = os.dup(1)
    os.dup2(2, 1)  # a stray print belongs in the log, not between parent and child
    os.chdir("/")
    start_logging(
        errand.config.log_level, errand.config.log_format, log_file=Path(errand.log_file), secret=errand.config.token
    )
    return _serve(errand, report_fd)


def _first_line(fd: int) -> bytes:
    """Up to the line's end and not a byte more: what follows on `fd` is watched for its end."""
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(fd, 1 << 16)
        if not piece:
            break
        line += piece
    return line


def _serve(errand: Errand, report_fd: int) -> int:
    told = False

    def ready() -> None:
        nonlocal told
        told = True
        _tell(report_fd, Report(ready=True))

    async def body() -> int:
        registry = Registry(runtime_folder(dict(os.environ)))
        lifeline_fd = 0 if errand.lifeline else None
        outcome = await serve(errand.config, registry, ready, log_file=errand.log_file, lifeline_fd=lifeline_fd)
        return ExitStatus.DONE if outcome.complete else ExitStatus.TRY_AGAIN

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
