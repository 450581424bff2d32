"""A folder that was made here and at the remote is one as soon as that is known, before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sync.remote import Tombstone
from tests.fakes.drive import FakeDrive
from tests.model.desk import Desk, at_work
from tests.model.machine import Machine

if TYPE_CHECKING:
    from pathlib import Path

    from sync.absorb import Absorber

pytestmark = pytest.mark.virtual_time


async def test_what_others_put_into_the_same_new_folder_is_shown_while_nothing_is_sent(tmp_path: Path) -> None:
    machine = Machine("ann", FakeDrive(), tmp_path / "ann")
    desk = Desk(machine.drive, machine)
    try:
        await machine.begin()
        async with machine.running():
            await machine.list_all()
            await desk.mkdir("/n")
            await machine.create("/n/mine", b"1")
            desk.there("/n")
            desk.there("/n/theirs", b"2")
            await machine.pull()
            assert await machine.read_all() == {"/n": None, "/n/mine": b"1", "/n/theirs": b"2"}
            assert set(desk.drive.tree()) == {"/n", "/n/theirs"}
            assert await desk.meet() == {"/n": None, "/n/mine": b"1", "/n/theirs": b"2"}
    finally:
        machine.remove()


async def test_a_folder_that_is_gone_before_it_was_looked_into_stays_for_what_is_only_here(tmp_path: Path) -> None:
    """Whoever makes something in it just then is not told that it does not exist."""
    async with at_work(tmp_path) as desk:
        desk.there("/n")
        await desk.mkdir("/n")
        await desk.machine.create("/n/mine", b"1")
        await desk.machine.push_one(0)  # refused: it is there
        await desk.machine.push_one(0)  # so they are one, not looked into yet
        desk.deleted("/n")
        await desk.machine.create("/n/more", b"2")
        assert await desk.meet() == {"/n": None, "/n/mine": b"1", "/n/more": b"2"}


@pytest.mark.parametrize("order", ["gone first", "new first"])
async def test_what_is_left_in_a_folder_that_others_made_anew_is_in_the_new_one(tmp_path: Path, order: str) -> None:
    """However a page of the feed puts it."""
    async with at_work(tmp_path, {"/n": None, "/n/f": b"before"}) as desk:
        await desk.write("/n/f", b"mine")
        before = [desk.drive.at(path) for path in ("/n/f", "/n")]
        gone = [Tombstone(item_id=each.item_id, parent_id=each.parent_id) for each in before]
        desk.deleted("/n/f")
        desk.deleted("/n")
        new = [desk.there("/n"), desk.there("/n/theirs", b"theirs")]
        told = [*gone, *new] if order == "gone first" else [*new, *gone]

        def take_in(absorber: Absorber) -> None:
            for each in told:
                absorber.gone(each) if isinstance(each, Tombstone) else absorber.item(each)

        await desk.machine.engine.applier.apply(take_in)
        assert await desk.meet() == {"/n": None, "/n/f": b"mine", "/n/theirs": b"theirs"}
