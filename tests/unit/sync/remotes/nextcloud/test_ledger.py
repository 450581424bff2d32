"""The ledger: one listing is one step, also for who dies in it; programs do not wait for it; nothing is left untold."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from cache.model import ItemId, Kind
from sync.remote import AnchorExpired
from sync.remotes import stored_tree
from sync.remotes.nextcloud import ledger as ledger_module
from sync.remotes.nextcloud.entries import Seen
from sync.remotes.nextcloud.ledger import HERE_MAX_ROWS, Ledger
from tests.harness.steps import Steps
from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sync.remotes.nextcloud.rows import Entry

MANY = 4 * HERE_MAX_ROWS
FOLDER = "10"


def seen(number: int, etag: str = "e") -> Seen:
    return Seen(
        file_id=str(number), path=f"d/f{number}", kind=Kind.FILE, size=1, mtime_s=1, etag=etag, upload_s=1, checksum="",
        permissions="",
    )  # fmt: skip


def folder(path: str, file_id: str, etag: str) -> Seen:
    return Seen(
        file_id=file_id, path=path, kind=Kind.FOLDER, size=0, mtime_s=1, etag=etag, upload_s=None, checksum="",
        permissions="",
    )  # fmt: skip


async def listed(ledger: Ledger, count: int, etag: str) -> list[Entry]:
    """A folder of so many files, recorded as one listing, each with a new tag."""
    with ledger.looking() as look:
        root = await ledger.record(folder("", "1", etag), None, 100, look)
        there = folder("d", FOLDER, etag)
        await ledger.record(there, root.item_id, 100, look)
        return await ledger.record_listing(there, [seen(1000 + each, etag) for each in range(count)], 100, look)


def told(ledger: Ledger) -> tuple[object, ...]:
    """All that is known, and where the feed stands."""
    rows = ledger.since(0, 100_000)
    return ledger.newest(), rows, ledger.missing()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "l.db")
    yield made
    made.close()


DYING = """
import os, signal, sys, trio
from pathlib import Path
from sync.remotes.nextcloud import ledger as module
from tests.unit.sync.remotes.nextcloud.test_ledger import Ledger, listed

count, left, real = int(sys.argv[2]), int(sys.argv[3]), module.told_anew

def dying(*args):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args)

module.told_anew = dying
trio.run(listed, Ledger(Path(sys.argv[1])), count, "new")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("rows", [1, MANY // 2, MANY])
async def test_a_process_that_dies_in_a_listing_leaves_the_tree_of_the_old_anchor(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "l.db"
    ledger = Ledger(path)
    await listed(ledger, MANY - 5, "old")
    ledger.close()
    two_folders = 2
    await trio.to_thread.run_sync(die, path, two_folders + rows)
    ledger = Ledger(path)
    known = [state for _, state in ledger.since(0, 10_000)]
    assert {each.etag for each in known if isinstance(each, ledger_module.Entry) and each.kind is Kind.FILE} == {"old"}
    assert len(known) == MANY - 5 + two_folders
    entry = ledger.entry(ItemId(FOLDER))
    assert entry is not None
    assert entry.listed_etag == "old"
    ledger.close()


async def test_and_one_that_dies_after_it_the_tree_of_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    ledger = Ledger(path)
    await listed(ledger, MANY - 5, "old")
    ledger.close()
    await trio.to_thread.run_sync(die, path, 0)
    reference = Ledger(tmp_path / "reference.db")
    await listed(reference, MANY - 5, "old")
    await listed(reference, MANY, "new")
    ledger = Ledger(path)
    assert told(ledger)[1:] == told(reference)[1:]
    assert ledger.seq == reference.seq
    ledger.close()
    reference.close()


def die(path: Path, after: int) -> None:
    """A process that lists the folder anew, and is killed when it has come so far; 0: when that is recorded."""
    done = subprocess.run([sys.executable, "-c", DYING, str(path), str(MANY), str(after)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL


async def test_a_long_listing_is_recorded_beside_programs_that_wait(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps()
    monkeypatch.setattr(ledger_module, "told_anew", steps.counted(ledger_module.told_anew))
    trio.lowlevel.add_instrument(steps)
    entries = await listed(ledger, MANY, "e")
    trio.lowlevel.remove_instrument(steps)
    assert len(entries) == MANY == steps.elsewhere
    assert steps.most <= HERE_MAX_ROWS


async def test_beside_it_the_tree_is_read_as_before_and_who_writes_waits(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await listed(ledger, 1, "old")
    before, begun, go_on = told(ledger), threading.Event(), threading.Event()
    real = ledger_module.told_anew

    def held(*args: object) -> object:
        begun.set()
        assert go_on.wait(DEADLINE_S)
        return real(*args)  # type: ignore[arg-type]

    async def list_again() -> None:
        with ledger.looking() as look:
            there = folder("d", FOLDER, "new")
            await ledger.record_listing(there, [seen(1000 + each, "new") for each in range(MANY)], 100, look)

    async def keep() -> None:
        await ledger.keep(ItemId("1000"), mode=0o600, mtime_ns=7)

    async with trio.open_nursery() as nursery:
        monkeypatch.setattr(ledger_module, "told_anew", held)
        nursery.start_soon(list_again)
        assert await trio.to_thread.run_sync(begun.wait, DEADLINE_S)
        assert told(ledger) == before
        nursery.start_soon(keep)
        with ledger.looking() as look:  # asks the server now, after the listing was answered: its answer is newer
            await trio.testing.wait_all_tasks_blocked()
            assert told(ledger) == before
            go_on.set()
            newest = await ledger.record(seen(1000, "newest"), ItemId(FOLDER), 100, look)
    assert newest.etag == "newest"
    entry = ledger.entry(ItemId("1000"))
    assert entry is not None
    assert (entry.etag, entry.mode) == ("newest", 0o600)


async def test_who_has_not_read_the_oldest_tombstones_compares_instead_of_missing_them(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await listed(ledger, 5, "e")
    anchor = ledger.newest()
    monkeypatch.setattr(stored_tree, "TOMBSTONES_MAX", 3)
    with ledger.looking() as look:
        await ledger.bury([ItemId(str(1000 + each)) for each in range(3)], look)
        await ledger.forget_oldest()
        assert len(ledger.since(ledger.position(anchor), 100)) == 3
        await ledger.bury([ItemId("1003")], look)
        await ledger.forget_oldest()
    with pytest.raises(AnchorExpired):
        ledger.position(anchor)
    assert ledger.position(ledger.newest()) == ledger.seq


async def test_what_was_below_a_deleted_folder_has_to_be_asked_for(ledger: Ledger) -> None:
    await listed(ledger, 2, "e")
    with ledger.looking() as look:
        await ledger.record(folder("d/g", "20", "e"), ItemId(FOLDER), 100, look)
        deep = Seen(**{name: getattr(seen(30), name) for name in Seen.__slots__} | {"path": "d/g/f30"})
        await ledger.record(deep, ItemId("20"), 100, look)
        await ledger.bury([ItemId(FOLDER)], look)
    assert set(ledger.missing()) == {"1000", "1001", "20", "30"}
