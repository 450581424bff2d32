"""What was sparse stays sparse where the server copies."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import pytest

from server_stub import holes
from server_stub.duplicating import copy_bytes
from server_stub.uploads.delta import MAGIC, BadDelta, apply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1 << 20
SPARSE = b"head" + bytes(8 * MIB) + b"middle" + bytes(8 * MIB)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """SPARSE with its holes, and an empty file."""
    source = os.open(tmp_path / "source", os.O_RDWR | os.O_CREAT)
    target = os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT)
    os.pwrite(source, b"head", 0)
    os.pwrite(source, b"middle", 4 + 8 * MIB)
    os.ftruncate(source, len(SPARSE))
    yield source, target
    os.close(source)
    os.close(target)


def whole(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)


def room(fd: int) -> int:
    return os.fstat(fd).st_blocks * 512


def test_stretches_are_what_is_written(files: tuple[int, int]) -> None:
    found = list(holes.stretches(files[0], 0, len(SPARSE)))
    assert sum(stop - start for start, stop in found) < MIB
    assert all(not any(start <= at < stop for start, stop in found) for at in (4 * MIB, 12 * MIB))
    assert any(start <= 4 + 8 * MIB < stop for start, stop in found)
    assert list(holes.stretches(files[0], 2, 3)) == [(2, 3)]
    assert list(holes.stretches(files[0], 12 * MIB, 13 * MIB)) == []


def test_a_copy(files: tuple[int, int]) -> None:
    source, target = files
    copy_bytes(source, target)
    assert whole(target) == SPARSE
    assert room(target) < MIB


def test_a_delta_over_a_sparse_base(files: tuple[int, int], tmp_path: Path) -> None:
    base, target = files
    cut = 8 * MIB
    parts = [
        b"C" + struct.pack(">QQ", 0, cut),
        b"L" + struct.pack(">Q", 3) + b"new",
        b"C" + struct.pack(">QQ", cut, len(SPARSE) - cut),
    ]
    body = MAGIC + b"".join(parts)
    (tmp_path / "delta").write_bytes(body)
    with (tmp_path / "delta").open("rb") as delta:
        apply(delta.fileno(), len(body), base, target, len(SPARSE) + 3)
        assert whole(target) == SPARSE[:cut] + b"new" + SPARSE[cut:]
        assert room(target) < MIB
        os.ftruncate(base, cut)
        with pytest.raises(BadDelta):
            apply(delta.fileno(), len(body), base, target, len(SPARSE) + 3)
