"""smbclient held open, one command at a time: as a file manager works, without starting a program for each."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
import tty
from typing import TYPE_CHECKING, Self

from scripts.benches.running import BenchFailedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

_PROMPT = b"\\> "  # `smb: \> `, or with a folder before the sign
_TIMEOUT_S = 120.0


class SmbSession:
    """A connection in a terminal of its own: only there smbclient says by its prompt that a command is done."""

    def __init__(self, words: Sequence[str]) -> None:
        self._terminal, inner = pty.openpty()
        tty.setraw(inner)
        self._process = subprocess.Popen(
            list(words), stdin=inner, stdout=inner, stderr=inner,
            start_new_session=True, env={**os.environ, "TERM": "dumb"},
        )  # fmt: skip
        os.close(inner)

    def __enter__(self) -> Self:
        self._answer()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)

    def do(self, command: str) -> float:
        """Run a command; the moment (time.perf_counter) at which the prompt is back. BenchFailedError."""
        os.write(self._terminal, command.encode() + b"\n")
        told = self._answer()
        done_s = time.perf_counter()
        if b"NT_STATUS_" in told:
            raise BenchFailedError(f"smbclient {command}: {told.decode(errors='replace')}")
        return done_s

    def _answer(self) -> bytes:
        told = b""
        deadline_s = time.monotonic() + _TIMEOUT_S
        while not told.endswith(_PROMPT):
            ready, _, _ = select.select([self._terminal], [], [], max(0.0, deadline_s - time.monotonic()))
            if not ready:
                raise BenchFailedError(f"smbclient does not answer: {told.decode(errors='replace')}")
            try:
                told += os.read(self._terminal, 1 << 16)
            except OSError as error:  # EIO: it has ended
                raise BenchFailedError(f"smbclient ended: {told.decode(errors='replace')}") from error
        return told
