"""Changes made offline that wait for one another: whatever was renamed in whatever order, all of it gets through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sync.remote import Conflict
from tests.fakes.faults import Fault
from tests.model.desk import Desk, at_work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.virtual_time

# What was done (a name, and where to; a folder made; one removed), and what both sides show in the end.
DONE = {
    "a file goes into the new folder that took its name": (
        "mv f t; mkdir f; mv t f/f",
        {"/f": None, "/f/f": b"file"},
    ),
    "a link deep below the new folder that took its name": (
        "mv l t; mkdir l; mkdir l/1; mkdir l/1/2; mv t l/1/2/l",
        {"/l": None, "/l/1": None, "/l/1/2": None, "/l/1/2/l": "to/where"},
    ),
    "a folder is replaced by what it held": (
        "mv a/a t; mv a/x a/y t; rmdir a; mv t a",
        {"/a": None, "/a/x": b"x", "/a/y": b"y", "/a/z": b"z"},
    ),
    "a file takes the place of the folder that it was in": (
        "mv d/only t; rmdir d; mv t d",
        {"/d": b"only"},
    ),
    "a folder is made anew, with what the old one held": (
        "mkdir t; mv d/only t/only; rmdir d; mv t d",
        {"/d": None, "/d/only": b"only"},
    ),
    "the old folder is put aside, emptied and removed": (
        "mv d o; mkdir d; mv o/only d/only; rmdir o",
        {"/d": None, "/d/only": b"only"},
    ),
    "parent and child change places": (
        "mv a/a t; mv a t/a; mv t a",
        {"/a": None, "/a/z": b"z", "/a/a": None, "/a/a/x": b"x", "/a/a/y": b"y"},
    ),
    "three change places, one in another": (
        "mv a/a t; mv a d/a; mv d t/d; mv t a",
        {
            "/a": None, "/a/z": b"z", "/a/d": None, "/a/d/only": b"only",
            "/a/d/a": None, "/a/d/a/x": b"x", "/a/d/a/y": b"y",
        },
    ),
}  # fmt: skip
FIRST = {
    "/f": b"file", "/l": "to/where", "/d": None, "/d/only": b"only",
    "/a": None, "/a/x": b"x", "/a/y": b"y", "/a/a": None, "/a/a/z": b"z",
}  # fmt: skip


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """All of `FIRST`, known here."""
    async with at_work(tmp_path) as desk:
        for path, what in FIRST.items():
            if what is None:
                await desk.mkdir(path)
            elif isinstance(what, bytes):
                await desk.machine.create(path, what)
            else:
                await desk.do.symlink(*desk.machine.place(path), what)
        await desk.meet()
        yield desk


async def act(desk: Desk, line: str) -> None:
    """One command."""
    word, *paths = line.split()
    if word == "mkdir":
        await desk.mkdir(f"/{paths[0]}")
    elif word == "rmdir":
        await desk.rmdir(f"/{paths[0]}")
    else:
        *sources, target = paths
        for source in sources:
            inside = len(sources) > 1
            await desk.rename(f"/{source}", f"/{target}/{source.rpartition('/')[2]}" if inside else f"/{target}")


@pytest.mark.parametrize("told", DONE)
async def test_changes_that_wait_for_one_another_all_arrive(desk: Desk, told: str) -> None:
    lines, expected = DONE[told]
    for line in lines.split("; "):
        await act(desk, line)
    touched = {word[0] for line in lines.split("; ") for word in line.split()[1:]}
    assert await desk.meet() == expected | {path: what for path, what in FIRST.items() if path[1] not in touched}


async def test_a_conflict_that_never_ends_is_not_asked_about_without_pause(tmp_path: Path) -> None:
    """Each try goes by another passing name, so none is the same request that was refused before."""
    async with at_work(tmp_path, {"/a": b"a", "/b": b"b"}) as desk:
        await desk.rename("/a", "/t")
        await desk.rename("/b", "/a")
        await desk.rename("/t", "/b")
        for _ in range(1000):
            desk.machine.remote.inject(Fault(operation="move", before=Conflict()))
        assert not await desk.machine.push_all(600.0)
        assert 20 < desk.machine.remote.requests.count("move") < 100
