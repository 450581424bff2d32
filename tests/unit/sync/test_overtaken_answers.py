"""Answers to our own pushes that the feed overtook: what is applied last must not be what is older."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import trio

from sync.remote import Conflict, Unreachable
from tests.fakes.faults import Fault
from tests.model.desk import at_work
from vfs.attributes import AttributeChange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
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


# What is done to the echo of our own creation, which others renamed, before the answer tells that it is ours


async def changed_meanwhile(machine: Machine, act: Callable[[], Awaitable[object]], *, folder: bool = False) -> None:
    """Make /n; before the answer comes it is renamed to /m on the server, seen so here, and `act` is done here."""
    if folder:
        await machine.filesystem.mkdir(*machine.place("/n"), 0o755)
    else:
        await machine.create("/n", b"mine")
    gate = trio.Event()
    fault = Fault(operation="make_folder" if folder else "put", answer_gate=gate)
    machine.remote.inject(fault)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(machine.push_one, 0)
            await fault.applied.wait()
            item = machine.drive.at("/n")
            machine.drive.move(item.item_id, item.metadata_version, machine.drive.root_id, "m", None)
            await machine.pull()
            assert {"/n", "/m"} <= machine.tree().keys()
            await act()
            gate.set()
        assert machine.faults() == []
        await machine.pull()
        assert await machine.push_all(5.0)
        await machine.pull()
    assert machine.tree() == machine.drive.tree()
    assert machine.outbox() == []
    assert machine.faults() == []


def renaming(machine: Machine, *steps: tuple[str, str]) -> Callable[[], Awaitable[None]]:
    """Renames here, one after the other."""

    async def act() -> None:
        for path, target in steps:
            await machine.filesystem.rename(*machine.place(path), *machine.place(target), 0)

    return act


@pytest.mark.parametrize(
    ("steps", "there"),
    [
        ((("/m", "/d/k"),), "/d/k"),
        ((("/n", "/q"), ("/m", "/k")), "/k"),  # the place that the server told is newer than ours
        ((("/m", "/f"),), "/f"),  # over another file
        ((("/n", "/m"),), "/m"),
        ((("/m", "/n"),), "/n"),
    ],
)
async def test_the_echo_is_renamed(machine: Machine, steps: tuple[tuple[str, str], ...], there: str) -> None:
    await changed_meanwhile(machine, renaming(machine, *steps))
    kept = {} if there == "/f" else {"/f": b"old"}
    assert machine.tree() == {**kept, "/d": None, there: b"mine"}


async def test_the_echo_of_a_folder_is_renamed_with_what_was_put_into_it(machine: Machine) -> None:
    async def act() -> None:
        await renaming(machine, ("/m", "/d/k"))()
        await machine.create("/d/k/in", b"in")
        await machine.create("/n/too", b"too")

    await changed_meanwhile(machine, act, folder=True)
    inside = {"/d/k": None, "/d/k/in": b"in", "/d/k/too": b"too"}
    assert machine.tree() == {"/f": b"old", "/d": None, **inside}


async def test_the_echo_of_a_folder_is_put_into_that_folder(machine: Machine) -> None:
    """No folder lies in itself: the place on the server stays."""
    await changed_meanwhile(machine, renaming(machine, ("/m", "/n/k")), folder=True)
    assert machine.tree() == {"/f": b"old", "/d": None, "/m": None}


@pytest.mark.parametrize("inside", ["/m", "/m/x"])
async def test_the_folder_is_put_into_its_echo(machine: Machine, inside: str) -> None:
    """It has that one's place at once, also where nobody can be asked: no folder hangs in itself."""

    async def act() -> None:
        await machine.filesystem.mkdir(*machine.place("/m/x"), 0o755)
        await renaming(machine, ("/n", f"{inside}/n"))()
        await machine.create(f"{inside}/n/in", b"in")
        machine.remote.inject(Fault(operation="get_many", before=Unreachable()))

    await changed_meanwhile(machine, act, folder=True)
    assert machine.tree() == {"/f": b"old", "/d": None, "/m": None, "/m/x": None, "/m/in": b"in"}


@pytest.mark.parametrize(("gone", "stays"), [("/m", "/n"), ("/n", "/m")])
async def test_one_of_both_names_is_removed(machine: Machine, gone: str, stays: str) -> None:
    await changed_meanwhile(machine, lambda: machine.filesystem.unlink(*machine.place(gone)))
    assert machine.tree() == {"/f": b"old", "/d": None, stays: b"mine"}


async def test_attributes_of_the_echo_are_changed(machine: Machine) -> None:
    async def act() -> None:
        echo = machine.at("/m").ino
        await machine.filesystem.setattr(echo, AttributeChange(mode=0o600), None)
        await machine.filesystem.setxattr(echo, b"user.one", b"1")

    await changed_meanwhile(machine, act)
    told = machine.drive.at("/m")
    assert (told.mode, told.xattrs) == (0o600, (("user.one", b"1"),))


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
