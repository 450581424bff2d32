"""A real server that reports what changed since a position (RFC 6578): what it tells is taken as a listing would be.

Cyrus reports the files of a folder. Only folders that take long to list are read so; here that is any.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from cache.model import Item
from sync.remote import Tombstone
from sync.remotes.dav import positions
from sync.remotes.dav.looking import Looker
from sync.remotes.dav.reporting import Reporter
from tests.contract.homes import Home, elsewhere

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sync.remotes.dav.looking import Listed, Names
    from sync.remotes.dav.reporting import Report
    from tests.contract.davs import RunningDav


@pytest.fixture
def cyrus(dav_servers: Callable[[str], RunningDav]) -> RunningDav:
    """Running."""
    return dav_servers("cyrus")


@pytest.fixture
async def home(cyrus: RunningDav, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Home]:
    """A folder of three files, that the other client has listed, and read up to now."""
    monkeypatch.setattr(positions, "LONG_FROM", 3)
    writer, reader = cyrus.client(), cyrus.client()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(writer.aclose)
        stack.push_async_callback(reader.aclose)
        root = await writer.root()
        await reader.root()
        folder = await writer.make_folder(root.item_id, "reported", mode=0o755, mtime_ns=0, key="reported")
        home = Home(writer, reader, folder.item_id, await elsewhere(reader, folder), prefix="reported-")
        for name in "abc":
            await home.put(name, b"one")
        await reader.children(home.there)
        await reader.changes(await reader.newest_anchor())
        yield home


async def test_cyrus_tells_what_was_written_and_removed_without_a_listing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: dict[Names, Report | None] = {}
    listed: list[Names] = []
    since, listing = Reporter.since, Looker.listing

    async def noted(self: Reporter, names: Names, token: str, *, tree: bool) -> Report | None:
        reports[names] = await since(self, names, token, tree=tree)
        return reports[names]

    async def seen(self: Looker, names: Names, *, everything: bool = False) -> Listed:
        listed.append(names)
        return await listing(self, names, everything=everything)

    anchor = await home.other.newest_anchor()
    items = {each.name: each for each in (await home.remote.children(home.folder)).items}
    await home.overwrite(items["a"], b"two, and longer")
    await home.remote.remove(items["b"].item_id, items["b"].metadata_version, key=home.key())
    await home.put("d", b"newer")
    monkeypatch.setattr(Reporter, "since", noted)
    monkeypatch.setattr(Looker, "listing", seen)
    page = await home.other.changes(anchor)
    told = {each.name: each.size for each in page.changes if isinstance(each, Item) and each.parent_id == home.there}
    assert told == {"a": 15, "d": 5}
    assert [each.parent_id for each in page.changes if isinstance(each, Tombstone)] == [home.there]
    report = reports["reported",]
    assert report is not None
    assert report.gone == {("reported", "b")}
    assert ("reported",) not in listed
