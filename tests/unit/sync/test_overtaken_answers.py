"""Answers to our own pushes that the feed overtook: what is applied last must not be what is older."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import trio

from sync.remote import Conflict
from tests.fakes.faults import Fault
from tests.model.desk import at_work
from vfs.attributes import AttributeChange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.model.machine import Machine

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    """/f "old" and /d/, known here."""
    async with at_work(tmp_path, {"/f": b"old", "/d": None}) as desk:
        yield desk.machine


async def overtaken(machine: Machine, operation: str, act: Callable[[], object]) -> None:
    """Push; before the answer comes, somebody acts on what it made, and the feed tells of that."""
    gate = trio.Event()
    fault = Fault(operation=operation, answer_gate=gate)
    machine.remote.inject(fault)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(machine.push_one, 0)
            await fault.applied.wait()
            act()
            await machine.pull()
            gate.set()
        await machine.pull()
        assert await machine.push_all(5.0)
        await machine.pull()
    assert machine.tree() == machine.drive.tree()
    assert machine.faults() == []


def edit(machine: Machine, path: str) -> Callable[[], object]:
    """Somebody overwrites a file at the remote."""

    def act() -> object:
        item = machine.drive.at(path)
        assert item.content_version is not None
        return machine.drive.overwrite(item.item_id, item.content_version, b"theirs", mode=0o644, mtime_ns=6)

    return act


async def test_new_content_that_was_overwritten_at_once(machine: Machine) -> None:
    await machine.write(machine.at("/f").ino, 0, b"mine", os.O_RDWR | os.O_TRUNC)
    await overtaken(machine, "put", edit(machine, "/f"))
    assert machine.tree()["/f"] == b"theirs"


async def test_a_creation_that_was_overwritten_at_once(machine: Machine) -> None:
    await machine.create("/n", b"mine")
    await overtaken(machine, "put", edit(machine, "/n"))
    assert machine.tree()["/n"] == b"theirs"


async def test_a_creation_that_was_deleted_at_once(machine: Machine) -> None:
    await machine.create("/n", b"mine")

    def act() -> None:
        item = machine.drive.at("/n")
        machine.drive.remove(item.item_id, item.metadata_version)

    await overtaken(machine, "put", act)
    assert "/n" not in machine.tree()


async def test_a_move_that_was_moved_on_at_once(machine: Machine) -> None:
    await machine.filesystem.rename(*machine.place("/f"), *machine.place("/g"), 0)

    def act() -> None:
        item = machine.drive.at("/g")
        machine.drive.move(item.item_id, item.metadata_version, machine.drive.at("/d").item_id, "h", None)

    await overtaken(machine, "move", act)
    assert "/d/h" in machine.tree()


async def test_attributes_of_what_was_overwritten_at_once(machine: Machine) -> None:
    await machine.filesystem.setattr(machine.at("/f").ino, AttributeChange(mode=0o600), None)
    await overtaken(machine, "set_attributes", edit(machine, "/f"))


async def test_a_folder_that_was_renamed_at_once(machine: Machine) -> None:
    await machine.filesystem.mkdir(*machine.place("/n"), 0o755)

    def act() -> None:
        item = machine.drive.at("/n")
        machine.drive.move(item.item_id, item.metadata_version, machine.drive.root_id, "o", None)

    await overtaken(machine, "make_folder", act)


async def test_a_refusal_that_tells_an_older_state(machine: Machine) -> None:
    """The state told with the refusal is from before what the feed told meanwhile."""
    await machine.filesystem.setattr(machine.at("/f").ino, AttributeChange(mode=0o600), None)
    before = machine.drive.at("/f")
    refusal = Conflict(current=before, code="precondition_failed")
    gate = trio.Event()
    fault = Fault(operation="set_attributes", gate=gate, before=refusal)
    machine.remote.inject(fault)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(machine.push_one, 0)
            await fault.reached.wait()
            edit(machine, "/f")()
            await machine.pull()
            gate.set()
        assert await machine.push_all(5.0)
        await machine.pull()
    assert machine.tree() == machine.drive.tree()
    assert machine.tree()["/f"] == b"theirs"
