"""Who watches the mount with inotify hears what is deleted elsewhere."""

from __future__ import annotations

import ctypes
import os
import select
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.harness.drives import seen
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.fuse

IN_DELETE_SELF = 0x400  # linux/inotify.h
_EVENT = struct.Struct("=iIII")
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def _watching(path: Path) -> Iterator[int]:
    """An inotify descriptor that tells when the file or folder itself is deleted."""
    fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        assert _libc.inotify_add_watch(fd, os.fsencode(path), IN_DELETE_SELF) >= 0
        yield fd
    finally:
        os.close(fd)


def _is_told(fd: int) -> bool:
    ready, _, _ = select.select((fd,), (), (), 0)
    return bool(ready) and bool(_EVENT.unpack_from(os.read(fd, 4096))[1] & IN_DELETE_SELF)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_who_watches_is_told_what_was_deleted_elsewhere(kind: str, one: Path, two: Path) -> None:
    (one / "watched").mkdir()
    if kind == "file":
        (one / "watched" / "it").write_bytes(b"content")
        seen(two / "watched" / "it", b"content")
    else:
        (one / "watched" / "it").mkdir()
        until((two / "watched" / "it").is_dir, "the folder to be there")
    with _watching(two / "watched" / "it") as fd:
        assert not _is_told(fd)
        (one / "watched" / "it").unlink() if kind == "file" else (one / "watched" / "it").rmdir()
        until(lambda: _is_told(fd), "the watcher to be told")
