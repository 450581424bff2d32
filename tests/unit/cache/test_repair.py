"""fsck --repair: what was in order is left alone. What each breach of a law comes to: test_laws."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from cache import fsck
from cache.errors import StateUnusable
from cache.repair import repair
from tests.unit.cache.test_fsck import state

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["state"]


def files_in(directory: Path) -> set[bytes]:
    """What a person can find there."""
    return {path.read_bytes() for path in directory.rglob("*") if path.is_file() and "quarantine" not in path.parts}


def test_bytes_that_the_remote_never_told_are_thrown_away_alone(state: Path) -> None:
    for path in (state / "blobs").rglob("*"):
        if path.is_file() and path.read_bytes() == b"told":
            path.write_bytes(b"tolf")

    async def deep() -> list[fsck.Finding]:
        return await repair(state, deep=True)

    assert [each.law for each in trio.run(deep)] == ["digest"]
    assert fsck.check(state, deep=True) == []
    assert not (state / "quarantine").exists()
    assert not (state / "rescued").exists()
    assert b"tolf" not in files_in(state)


def test_an_honest_directory_is_left_alone(state: Path) -> None:
    assert trio.run(repair, state) == []
    assert fsck.check(state, deep=True) == []
    assert not (state / "quarantine").exists()


def test_no_folder_of_a_drive(tmp_path: Path) -> None:
    with pytest.raises(StateUnusable, match="no drive"):
        trio.run(repair, tmp_path)
    assert list(tmp_path.iterdir()) == []
