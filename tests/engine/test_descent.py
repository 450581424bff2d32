"""Listings that arrive ahead of a walk: few requests, and a folder is called listed only when that is true."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from cache.model import Item, Kind
from sync.capabilities import Capabilities, Feature
from sync.remote import Refused, Unreachable
from tests.engine.machine import file_of, folder_of, forest, machine
from tests.fakes.faults import Fault
from tests.fakes.remote import FakeRemote

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.drive import FakeDrive

pytestmark = pytest.mark.virtual_time  # what is counted depends on no clock


async def test_a_walk_over_400_folders_takes_few_requests(tmp_path: Path) -> None:
    drive = forest(200, 4)
    async with machine(tmp_path, drive) as made:
        found = await made.walk(read=False)
        assert found.keys() == drive.tree().keys()
        assert made.asked("children") <= 5
        assert made.asked("descendants") <= 5


async def test_looking_into_one_folder_asks_for_one_page_of_what_lies_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.descent.PAGES", (5, 7, 9))
    async with machine(tmp_path, forest(20, 2)) as made:
        await made.entries(await made.ino("top"))
        await trio.testing.wait_all_tasks_blocked()
        assert made.asked("descendants") == 1


async def test_a_remote_where_nothing_changed_is_not_asked_for_its_changes(tmp_path: Path) -> None:
    drive = forest(20, 2)
    async with machine(tmp_path, drive) as made:
        await trio.testing.wait_all_tasks_blocked()
        before = made.asked("changes")
        assert (await made.walk(read=False)).keys() == drive.tree().keys()
        assert made.asked("changes") == before


@pytest.mark.parametrize("error", [Unreachable(), Refused("what is that?")])
async def test_a_stream_that_fails_fails_nobody(tmp_path: Path, error: Exception) -> None:
    drive = forest(10, 2)
    async with machine(tmp_path, drive) as made:
        made.remote.adversary = lambda operation: (
            Fault(before=error) if operation == "descendants" else None  # type: ignore[arg-type]
        )
        assert (await made.walk(read=False)).keys() == drive.tree().keys()


async def test_a_mistake_of_ours_in_a_stream_ends_the_stream_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sync.descent._parts", lambda _wholes: [1 // 0])
    drive = forest(10, 2)
    async with machine(tmp_path, drive) as made:
        assert (await made.walk(read=False)).keys() == drive.tree().keys()
        assert made.asked("descendants") == 1
    assert "ZeroDivisionError" in caplog.text
    caplog.clear()


async def test_a_remote_without_streams_is_listed_folder_by_folder(tmp_path: Path) -> None:
    drive = forest(10, 2)
    remote = FakeRemote(drive)
    remote.capabilities = Capabilities(features=frozenset({Feature.READ_MANY}))
    async with machine(tmp_path, drive, remote) as made:
        assert (await made.walk(read=False)).keys() == drive.tree().keys()
        assert made.asked("children") == 22


async def test_a_stream_that_stands_still_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.descent.PATIENCE_S", 0.01)
    drive = forest(5, 2)
    async with machine(tmp_path, drive) as made:
        made.remote.inject(Fault(operation="descendants", gate=trio.Event()))
        assert (await made.walk(read=False)).keys() == drive.tree().keys()


async def test_a_walk_that_stood_still_for_longer_than_it_may_ends_its_stream_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when that is noticed only after its time: the machine was busy, or slept."""
    monkeypatch.setattr("sync.descent.PAGES", (2, 2, 2))
    monkeypatch.setattr("sync.descent.IDLE_S", 0.0)
    drive = forest(20, 2)
    async with machine(tmp_path, drive) as made:
        assert (await made.walk(read=False)).keys() == drive.tree().keys()


class Meddler:
    """Another client, which changes the drive whenever a stream's page is asked for, or answered."""

    def __init__(self, drive: FakeDrive, seed: int) -> None:
        self._drive, self._chance, self._number = drive, random.Random(seed), 0

    def __call__(self, operation: str) -> Fault | None:
        if operation in {"descendants", "changes"}:
            for _ in range(self._chance.randrange(4)):
                self._meddle()
        return None

    def _pick(self, kind: Kind) -> Item | None:
        found = [item for item in self._drive.items.values() if item.kind is kind and item.parent_id is not None]
        return self._chance.choice(found) if found else None

    def _meddle(self) -> None:
        drive = self._drive
        self._number += 1
        name = self._chance.choice("0hz") + f"-{self._number}"
        folder, item = self._pick(Kind.FOLDER), self._pick(self._chance.choice([Kind.FOLDER, Kind.FILE]))
        if folder is None or item is None:
            return
        what = self._chance.randrange(4)
        if what == 0:
            file_of(drive, folder.item_id, name, b"new")
        elif what == 1:
            folder_of(drive, folder.item_id, name)
        elif what == 2 and not drive._is_below(folder.item_id, item.item_id):
            drive.move(item.item_id, item.metadata_version, folder.item_id, name, None)
        elif what == 3 and item.kind is Kind.FILE:
            drive.remove(item.item_id, item.metadata_version)


@pytest.mark.parametrize("seed", range(40))
async def test_whatever_changes_meanwhile_the_tree_is_true_in_the_end(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.descent.PAGES", (5, 7, 9))
    drive = forest(6, 3)
    remote = FakeRemote(drive, adversary=Meddler(drive, seed))
    async with machine(tmp_path, drive, remote) as made:
        await made.walk(read=False)
        assert made.asked("descendants") > 1
        remote.adversary = None
        await made.engine.puller.pull()
        assert (await made.walk(read=False)).keys() == drive.tree().keys()
