"""A folder that was left and removed here, into which the server moved what had left it: it stays, with that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.model.desk import Desk, at_work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.virtual_time

LEFT_FOR = ["/x", "/a"]  # another name, and that of the folder itself
SENT = ["told first", "pushed first"]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """/a/f: known here."""
    async with at_work(tmp_path, {"/a": None, "/a/f": b"1"}) as desk:
        yield desk


async def leave(desk: Desk, target: str) -> None:
    """The file goes elsewhere, and its folder away."""
    await desk.rename("/a/f", "/a.t")
    await desk.rmdir("/a")
    await desk.rename("/a.t", target)


@pytest.mark.parametrize("order", SENT)
@pytest.mark.parametrize("target", LEFT_FOR)
async def test_it_was_renamed_there(desk: Desk, target: str, order: str) -> None:
    """[S4.6], [S4.11]"""
    await leave(desk, target)
    desk.moved("/a/f", "/a/g")
    if order == "told first":
        await desk.machine.pull()
    assert await desk.meet() == {"/a": None, "/a/g": b"1"}
    assert desk.machine.engine.steering.conflicts() == []


@pytest.mark.parametrize("order", SENT)
@pytest.mark.parametrize("target", LEFT_FOR)
async def test_it_was_moved_further_down_there(desk: Desk, target: str, order: str) -> None:
    """[S4.6], [S4.11]"""
    await leave(desk, target)
    desk.there("/a/s")
    desk.moved("/a/f", "/a/s/g")
    if order == "told first":
        await desk.machine.pull()
    assert await desk.meet() == {"/a": None, "/a/s": None, "/a/s/g": b"1"}
    assert desk.machine.engine.steering.conflicts() == []


async def test_news_that_comes_too_late_brings_no_folder_back(desk: Desk) -> None:
    """What is asked for says where it is; what is told may be over."""
    item, applier = desk.drive.at("/a/f"), desk.machine.engine.applier
    await leave(desk, "/x")
    await desk.machine.push_one(0)
    assert desk.drive.tree() == {"/a": None, "/x": b"1"}
    await applier.apply(lambda absorber: absorber.item(item))
    await applier.resolve_doubts()
    assert await desk.meet() == {"/x": b"1"}
