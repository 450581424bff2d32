"""Children of an unknown folder are taken in together: with the same result as one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.engine.machine import file_of, folder_of, machine
from tests.fakes.drive import FakeDrive

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.engine.machine import Machine

_TOLD = {
    "node": "SELECT name, kind, size, mode, mtime_ns, item_id, content_id, symlink_target, listed, writable FROM node",
    "item": "SELECT * FROM item",  # the fake's ids are the same each time
    "doubt": "SELECT * FROM doubt",
}


def drive() -> FakeDrive:
    """Names that clash here, escaped ones, and folders below folders."""
    made = FakeDrive()
    top = folder_of(made, made.root_id, "top")
    for number in range(20):
        inner = folder_of(made, top, f"d{number}")
        file_of(made, inner, "a", b"some bytes")
        file_of(made, inner, f"b{number}", b"")
        folder_of(made, inner, "c")
    return made


def told(made: Machine) -> dict[str, list[str]]:
    """The catalog, but for inode numbers."""
    reader = made.store.db.reader
    return {table: sorted(map(repr, reader.execute(query).fetchall())) for table, query in _TOLD.items()}


async def test_the_catalog_is_the_same_either_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with machine(tmp_path / "together", drive()) as made:
        assert len(await made.walk(read=False)) == 1 + 20 * 4
        together = told(made)
    monkeypatch.setattr("sync.first_listing.is_first", lambda *_: False)
    async with machine(tmp_path / "alone", drive()) as made:
        await made.walk(read=False)
        assert told(made) == together


async def test_what_is_known_of_a_folder_is_not_taken_for_nothing(tmp_path: Path) -> None:
    """An item that was elsewhere moved in before the folder was looked into for the first time."""
    server = drive()
    async with machine(tmp_path, server) as made:
        a = await made.ino("top/d0/a")
        moved = next(each for each in server.items.values() if each.name == "a")
        there = next(each for each in server.items.values() if each.name == "d5")
        server.move(moved.item_id, moved.metadata_version, there.item_id, "came", None)
        assert await made.ino("top/d5/came") == a
        await made.engine.puller.pull()
        assert (await made.walk(read=False)).keys() == server.tree().keys()
