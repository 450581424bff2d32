"""Contents are opened in threads, which nobody stops: what they open for a request that was given up is closed."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, cast

import pytest

from server_stub import contents
from server_stub.contents import Opened
from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from pathlib import Path

    from server_stub.contents import Content
    from server_stub.service import Service


class _Slow:
    """Opens a file once it may."""

    def __init__(self, path: Path) -> None:
        self.begun, self.may = threading.Event(), threading.Event()
        self.fd = -1
        self._path = path

    def open_at(self, _service: Service, _content: Content) -> Opened:
        self.begun.set()
        assert self.may.wait(DEADLINE_S)
        self.fd = os.open(self._path, os.O_RDONLY)
        return Opened(self.fd, watched=False)


def test_a_content_that_nobody_waits_for_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"x")
    slow = _Slow(tmp_path / "file")
    monkeypatch.setattr(contents, "open_at", slow.open_at)

    async def give_up() -> None:
        asking = asyncio.create_task(contents._open(cast("Service", None), cast("Content", None)))
        assert await asyncio.to_thread(slow.begun.wait, DEADLINE_S)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        slow.may.set()
        async with asyncio.timeout(DEADLINE_S):
            while slow.fd < 0 or _is_open(slow.fd):  # noqa: ASYNC110  # a thread ends, and tells nobody
                await asyncio.sleep(0.001)

    asyncio.run(give_up())


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
