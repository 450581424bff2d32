"""News of the remote: whatever its order, pages and repetitions, and however old our anchor, one tree comes of it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from cache import tree
from cache.model import Anchor, Item, Kind
from cache.pinfile import PinState
from sync.absorb import Absorber
from sync.remote import ChangePage, Conflict, Gone
from tests.fakes.faults import Fault
from tests.harness.properties import examples
from tests.model.desk import Desk, at_work
from tests.model.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from sync.applying import Heard
    from sync.remote import Tombstone
    from tests.fakes.drive import FakeDrive
    from tests.model.machine import Machine

pytestmark = pytest.mark.virtual_time

START = {"/a": None, "/a/x": b"x", "/a/y": b"y", "/b": None, "/b/c": None, "/b/c/z": b"z"}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """START, all of it read here."""
    async with at_work(tmp_path, START) as desk:
        await desk.machine.store.save()
        yield desk


# Order ---------------------------------------------------------------------------------------------------------------


def change_something(drive: FakeDrive, what: int, which: int, where: int) -> None:
    """One change by others, if it can be made."""
    everything = sorted(drive.items)
    item = drive.items[everything[which % len(everything)]]
    folders = [each for each in everything if drive.items[each].kind is Kind.FOLDER]
    folder = folders[where % len(folders)]
    name = f"n{which % 4}"
    with suppress(Conflict, Gone):
        if what == 0:
            drive.create(folder, name, Kind.FILE, mode=0o644, mtime_ns=5, data=b"%d" % which)
        elif what == 1:
            drive.create(folder, name, Kind.FOLDER, mode=0o755, mtime_ns=5)
        elif item.parent_id is None:
            return
        elif what == 2:
            drive.move(item.item_id, item.metadata_version, folder, name, None)
        elif what == 3:
            drive.remove(item.item_id, item.metadata_version)
        elif item.content_version is not None:
            drive.overwrite(item.item_id, item.content_version, b"new %d" % which, mode=0o644, mtime_ns=6)


async def apply(machine: Machine, page: ChangePage) -> None:
    """As the puller does with a page that was told."""
    with machine.engine.applier.watch() as heard:
        await machine.engine.puller._apply_page(page, heard)


async def take_in(machine: Machine, changes: Sequence[Item | Tombstone], cuts: Sequence[int], anchor: Anchor) -> None:
    """These changes in this order, in pages that end at `cuts`."""
    ends = [*sorted({cut % (len(changes) + 1) for cut in cuts}), len(changes)]
    for start, stop in zip([0, *ends], ends, strict=False):
        page = ChangePage(changes=changes[start:stop], anchor=anchor, has_more=stop < len(changes))
        await apply(machine, page)
    await machine.engine.applier.resolve_doubts()
    await machine.list_all()


@examples(25, 10_000)
@given(
    history=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=12),
    data=st.data(),
)
def test_any_order_and_any_pages_give_the_same_tree(history: list[tuple[int, int, int]], data: st.DataObject) -> None:
    with World(machines=1) as world:
        machine, drive = world.machines[0], world.drive
        desk = Desk(drive, machine)
        for path, content in START.items():
            desk.there(path, content)

        async def run() -> None:
            await machine.list_all()
            before = drive.newest()
            for what, which, where in history:
                change_something(drive, what, which, where)
            page = drive.since(before, 1 << 20)
            changes = data.draw(st.permutations(list(page.changes)))
            await take_in(machine, changes, data.draw(st.lists(st.integers(0, 20), max_size=4)), page.anchor)
            await machine.store.save()

        world.step(0, run)
        assert machine.tree() == drive.tree()
        assert machine.faults() == []
        assert machine.engine.puller.anchor == drive.newest()


async def test_a_folder_is_told_below_its_own_child_before_that_is_told_to_have_left_it(desk: Desk) -> None:
    before = desk.drive.newest()
    desk.moved("/b/c", "/c")
    desk.moved("/b", "/c/b")
    page = desk.drive.since(before, 100)
    await take_in(desk.machine, page.changes[::-1], [], page.anchor)
    assert desk.machine.tree() == desk.drive.tree()
    assert desk.machine.faults() == []


async def test_news_told_twice_is_told_once(desk: Desk) -> None:
    """Neither the kernel nor the record of activity hears of it again."""
    before = desk.drive.newest()
    desk.moved("/a/x", "/b/x")
    desk.edited("/a/y", b"new")
    desk.there("/b/new", b"new")
    await desk.machine.pull()
    page, noted = desk.drive.since(before, 100), desk.decided()
    told = desk.machine.news.statistics().current_buffer_used
    for _ in range(3):
        await apply(desk.machine, page)
    assert desk.machine.news.statistics().current_buffer_used == told
    assert desk.decided() == noted
    assert sorted(noted) == ["changed", "created", "moved"]
    assert desk.machine.tree() == desk.drive.tree()


async def test_our_own_change_told_back_is_no_news(desk: Desk) -> None:
    await desk.write("/a/x", b"mine")
    await desk.rename("/a/y", "/b/y")
    await desk.machine.create("/new", b"mine")
    await desk.unlink("/b/c/z")
    assert await desk.machine.push_all(5.0)
    noted, told = desk.decided(), desk.machine.news.statistics().current_buffer_used
    await desk.machine.pull()
    assert (desk.decided(), desk.machine.news.statistics().current_buffer_used) == (noted, told)
    rows = desk.machine.store.db.reader.execute("SELECT DISTINCT who FROM activity").fetchall()
    assert rows == [("here",)]


async def test_our_own_change_told_by_a_page_under_way_is_not_asked_for(desk: Desk) -> None:
    """Its answer came while the page was on its way; both tell the same, so nothing is in doubt."""
    machine = desk.machine
    fault = machine.remote.inject(Fault(operation="changes", gate=trio.Event()))
    await desk.write("/a/x", b"mine")
    machine.remote.requests.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(machine.pull)
        await fault.reached.wait()
        await machine.push_one(0)
        assert fault.gate is not None
        fault.gate.set()
    assert sorted(machine.remote.requests) == ["changes", "put"]
    assert machine.tree() == desk.drive.tree() == START | {"/a/x": b"mine"}


# One transaction -----------------------------------------------------------------------------------------------------


async def test_a_page_that_fails_half_way_leaves_neither_its_changes_nor_its_anchor(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = desk.machine.engine.puller.anchor
    desk.edited("/a/y", b"new")
    desk.deleted("/a/x")

    def fail(_absorber: Absorber, _told: object) -> None:
        raise OSError("the disk fails")

    with monkeypatch.context() as patched:
        patched.setattr(Absorber, "all_gone", fail)
        with pytest.raises(OSError, match="the disk fails"):
            await desk.machine.pull()
    assert desk.machine.engine.puller.anchor == before
    assert desk.machine.tree() == START
    await desk.machine.pull()
    assert desk.machine.tree() == desk.drive.tree()


async def test_a_page_and_its_anchor_are_there_together(desk: Desk) -> None:
    machine, before = desk.machine, desk.machine.engine.puller.anchor
    seen: list[tuple[Anchor | None, object]] = []
    machine.engine.applier.observers.append(lambda _: seen.append((machine.engine.puller.anchor, machine.tree())))
    desk.edited("/a/y", b"new")
    await machine.pull()
    assert seen == [(machine.engine.puller.anchor, START | {"/a/y": b"new"})]
    assert machine.engine.puller.anchor != before


@pytest.mark.parametrize("page_is", ["older", "newer"])
async def test_a_page_that_another_answer_overtook(desk: Desk, page_is: str) -> None:
    """Whichever of the two is newer: that is what is shown, and the older one was never shown after it."""
    machine, item = desk.machine, desk.drive.at("/a/x")
    desk.edited("/a/x", b"first edit")
    gate = trio.Event()
    older = page_is == "older"
    fault = Fault(operation="changes", gate=None if older else gate, answer_gate=gate if older else None)
    machine.remote.inject(fault)
    shown: list[bytes] = []
    machine.engine.applier.observers.append(lambda _: shown.append(machine.body(machine.at("/a/x"))))
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(machine.pull)
            await (fault.applied if older else fault.reached).wait()
            if older:
                desk.edited("/a/x", b"second edit")
            await machine.engine.applier.refresh([item.item_id])
            if not older:
                desk.edited("/a/x", b"second edit")
            gate.set()
    assert [each for each, before in zip(shown, [b"x", *shown], strict=False) if each != before] == (
        [b"second edit"] if older else [b"first edit", b"second edit"]
    )


async def test_the_next_page_is_asked_for_while_one_is_applied(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    puller, asked = desk.machine.engine.puller, desk.machine.remote.requests
    for number in range(7):  # three to a page
        desk.there(f"/n{number}", b"new")
    apply_page, asked_before, asked_meanwhile = puller._apply_page, [], []

    async def noticed(page: ChangePage, *heard: Heard) -> None:
        asked_before.append(asked.count("changes"))
        await trio.testing.wait_all_tasks_blocked()
        await apply_page(page, *heard)
        asked_meanwhile.append(asked.count("changes"))

    asked.clear()
    monkeypatch.setattr(puller, "_apply_page", noticed)
    await desk.machine.pull()
    assert asked_before == [1, 2, 3]
    assert asked_meanwhile == [2, 3, 3]
    assert desk.machine.tree() == desk.drive.tree()


async def test_a_pull_that_is_given_up_hears_nothing_more(desk: Desk) -> None:
    fault = desk.machine.remote.inject(Fault(operation="changes", gate=trio.Event()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.machine.pull)
        await fault.reached.wait()
        nursery.cancel_scope.cancel()
    assert desk.machine.engine.applier._watchers == []


async def test_a_listing_and_the_feed_tell_of_one_change_in_either_order(desk: Desk) -> None:
    """The listing was asked for first, and answers last."""
    desk.there("/late")
    desk.there("/late/file", b"old")
    await desk.machine.pull()
    gate = trio.Event()
    fault = desk.machine.remote.inject(Fault(operation="children", answer_gate=gate))
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.machine.engine.puller.ensure_listed, desk.machine.at("/late").ino)
            await fault.applied.wait()
            desk.edited("/late/file", b"new")
            desk.moved("/late/file", "/late/moved")
            desk.there("/late/other", b"other")
            await desk.machine.pull()
            gate.set()
        await desk.machine.pull()
    await desk.machine.list_all()
    assert desk.machine.tree() == desk.drive.tree()


# An anchor that is not served any more -------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [False, True], ids=["too-old", "another-epoch"])
async def test_a_resync_keeps_bytes_changes_numbers_and_pins(desk: Desk, epoch: bool) -> None:
    machine, reader = desk.machine, desk.machine.store.db.reader
    inos = {path: machine.at(path).ino for path in START}
    await machine.store.pins.put(inos["/b"], PinState.PINNED)
    await desk.write("/a/y", b"mine")
    await machine.create("/a/new", b"new")
    desk.moved("/b/c/z", "/b/z")
    desk.deleted("/a/x")
    desk.there("/b/theirs", b"theirs")
    desk.drive.begin_epoch() if epoch else desk.drive.expire_anchors()
    asked = len(machine.remote.requests)
    await machine.pull()
    await machine.list_all()
    assert "read" not in machine.remote.requests[asked:]
    assert [machine.at(path).ino for path in ("/a", "/a/y", "/b", "/b/c", "/b/z")] == [
        inos[path] for path in ("/a", "/a/y", "/b", "/b/c", "/b/c/z")
    ]
    assert tree.child(reader, inos["/a"], "x") is None
    assert machine.at("/b/z").held_bytes == 1
    assert machine.store.pins.effective(machine.at("/b/z").ino) is PinState.PINNED
    assert {row.aspect for row in machine.outbox()} == {"content", "create"}
    assert await machine.read(inos["/a/y"]) == b"mine"
    assert (await desk.meet())["/a/new"] == b"new"


async def test_what_the_remote_no_longer_knows_is_put_aside(desk: Desk) -> None:
    """Its deletion is not proven, and these may be the last bytes of it: it leaves the tree, not the machine."""
    desk.drive.bury(desk.drive.at("/a/x"))
    desk.drive.tombstones.clear()
    desk.drive.begin_epoch()
    await desk.machine.pull()
    assert desk.machine.tree() == desk.drive.tree()
    kept = [each for each in desk.machine.store.aside.root.rglob("*") if each.is_file()]
    assert [(each.name, each.read_bytes()) for each in kept] == [("x", b"x")]
    assert "set-aside" in desk.decided()
