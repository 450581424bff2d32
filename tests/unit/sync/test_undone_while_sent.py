"""An answer arrives for a change that was rejected meanwhile, or whose file has no place at this moment."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from cache import holding, journal
from cache.model import Aspect, ChangeState, PushMode
from sync import push, requests
from sync.remote import Unreachable
from tests.fakes.faults import Fault
from tests.model.desk import Desk, at_work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """/f "old", /d/: known here."""
    async with at_work(tmp_path, {"/f": b"old", "/d": None}) as desk:
        yield desk


@asynccontextmanager
async def answered_after(desk: Desk, operation: str) -> AsyncIterator[None]:
    """The remote has what is sent before the body, and answers after it."""
    fault = desk.machine.remote.inject(Fault(operation=operation, answer_gate=trio.Event()))
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.machine.push_one, 0)
            await fault.applied.wait()
            yield
            assert fault.answer_gate is not None
            fault.answer_gate.set()


async def reviewing(desk: Desk) -> None:
    """Changes wait for approval from here on."""
    await desk.machine.store.db.write(lambda connection: holding.switch(connection, PushMode.REVIEW))


async def told_that_its_name_is_anothers(desk: Desk) -> None:
    """/f was renamed to /g, and /f made anew: told of the latter only, then the link is cut."""
    desk.moved("/f", "/g")
    desk.there("/f", b"theirs")
    moved = desk.drive.at("/g")
    desk.drive.set_attributes(moved.item_id, moved.metadata_version, mode=0o600, mtime_ns=9)
    desk.machine.remote.page = 1
    desk.machine.remote.inject(Fault(operation="changes"))
    desk.machine.remote.inject(Fault(operation="changes", before=Unreachable()))
    with pytest.raises(Unreachable):
        await desk.machine.pull()
    assert desk.machine.tree() == {"/f": b"theirs", "/d": None}


async def test_a_rejected_edit_shows_what_was_sent_before_it(desk: Desk) -> None:
    await reviewing(desk)
    await desk.write("/f", b"approved, and longer")
    await desk.machine.engine.steering.approve([])
    async with answered_after(desk, "put"):
        await desk.write("/f", b"not approved")
        await desk.machine.engine.steering.reject([])
    assert (desk.machine.at("/f").size, desk.machine.outbox()) == (20, [])
    assert await desk.machine.read(desk.machine.at("/f").ino) == b"approved, and longer"
    assert await desk.meet() == {"/f": b"approved, and longer", "/d": None}


async def test_a_rejected_creation_shows_what_was_sent_before_it(desk: Desk) -> None:
    await reviewing(desk)
    await desk.machine.create("/n", b"approved")
    await desk.machine.engine.steering.approve([])
    async with answered_after(desk, "put"):
        await desk.write("/n", b"not approved")
        await desk.machine.engine.steering.reject([])
    assert desk.machine.tree() == {"/f": b"old", "/d": None, "/n": b"approved"}
    assert desk.machine.outbox() == []


async def test_a_rejected_move_shows_the_place_that_was_sent_before_it(desk: Desk) -> None:
    await reviewing(desk)
    await desk.rename("/f", "/d/approved")
    await desk.machine.engine.steering.approve([])
    async with answered_after(desk, "move"):
        await desk.rename("/d/approved", "/not")
        await desk.machine.engine.steering.reject([])
    assert desk.machine.tree() == {"/d": None, "/d/approved": b"old"}
    assert desk.machine.outbox() == []


async def test_an_upload_of_what_has_no_place_just_now_is_taken_in(desk: Desk) -> None:
    """Else its row would count as being sent until the next start, and nobody would send what is written after it."""
    await desk.write("/f", b"mine")
    async with answered_after(desk, "put"):
        await told_that_its_name_is_anothers(desk)
    assert desk.machine.outbox() == []
    assert await desk.meet() == {"/f": b"theirs", "/g": b"mine", "/d": None}


async def test_a_conflict_of_what_has_no_place_just_now_waits_for_it(desk: Desk) -> None:
    await desk.write("/f", b"mine")
    ino, before = desk.machine.at("/f").ino, desk.machine.engine.puller.anchor
    desk.edited("/f", b"edited there")
    await desk.machine.pull()
    assert desk.machine.engine.puller.anchor != before
    await told_that_its_name_is_anothers(desk)
    row = journal.get(desk.machine.store.db.reader, ino, Aspect.CONTENT)
    assert row is not None
    assert row.state is ChangeState.PENDING
    assert isinstance(push.plan(desk.machine.store.db.reader, row), requests.Wait)
    assert await desk.meet() == desk.copies() | {"/f": b"theirs", "/g": b"edited there", "/d": None}
    assert list(desk.copies().values()) == [b"mine"]
