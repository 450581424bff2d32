"""A conflict that a person settles while its copy is on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sync.remote import Unknown
from sync.steering import Keep
from tests.fakes.faults import Fault
from tests.model.desk import at_work

if TYPE_CHECKING:
    from pathlib import Path

    from tests.model.desk import Desk

pytestmark = pytest.mark.virtual_time


async def in_conflict(desk: Desk) -> str:
    """Both sides wrote `/a`; the path of the copy, which is not sent."""
    await desk.write("/a", b"ours")
    desk.edited("/a", b"theirs")
    await desk.machine.pull()
    await desk.machine.push_one(0)  # refused
    (told,) = desk.machine.engine.steering.conflicts()
    return told.copy


async def settle(desk: Desk, copy: str) -> None:
    """The original stays; what the copy held is kept for a person."""
    await desk.machine.engine.steering.resolve(desk.machine.at(copy).ino, Keep.ORIGINAL)
    assert desk.machine.set_aside() == {b"ours"}


async def test_a_copy_that_was_never_sent_is_put_aside(tmp_path: Path) -> None:
    async with at_work(tmp_path, {"/a": b"before"}) as desk:
        await settle(desk, await in_conflict(desk))
        assert desk.machine.outbox() == []
        assert await desk.meet() == {"/a": b"theirs"}


async def test_a_copy_whose_answer_was_lost_goes_at_the_server_as_well(tmp_path: Path) -> None:
    async with at_work(tmp_path, {"/a": b"before"}) as desk:
        copy = await in_conflict(desk)
        desk.machine.remote.inject(Fault(operation="put", after=Unknown()))
        await desk.machine.push_one(0)
        assert copy in desk.drive.tree()
        await settle(desk, copy)
        assert await desk.meet() == {"/a": b"theirs"}
