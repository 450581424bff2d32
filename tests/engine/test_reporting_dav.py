"""The WebDAV adapter with servers that report what changed since a position (RFC 6578): what is told is what a listing
would have told, for less, and nothing is deleted that a look at its own address does not find gone."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

from cache.model import Item, ItemId, Kind
from sync.capabilities import Delta
from sync.remote import RemoteError, Tombstone
from sync.remotes.dav import positions
from sync.remotes.dav.exchange import DavExchange
from sync.remotes.dav.habits import Habits
from sync.remotes.dav.mirror import Mirror
from sync.remotes.dav.remote import DavRemote
from sync.remotes.dav.reporting import Reach
from tests.fakes.awkward import AwkwardDav, Names
from tests.fakes.reporting import ReportingDav

if TYPE_CHECKING:
    from pathlib import Path

    from cache.model import Anchor

pytestmark = pytest.mark.virtual_time
FOLDER_ONLY = frozenset({"1"})


class Reader:
    """A client that reads the feed; `known` is what the feed told, by id."""

    def __init__(self, server: AwkwardDav, place: Path | None = None) -> None:
        self.server = server
        self.mirror = Mirror(place)
        self.remote = DavRemote(DavExchange("http://127.0.0.1/", None, transport=server), self.mirror)
        self.root = ItemId("")
        self.known: dict[ItemId, Item] = {}
        self._anchor: Anchor | None = None

    async def open(self) -> Reader:
        self.root = (await self.remote.root()).item_id
        return self

    async def look_into(self, folder: ItemId) -> dict[str, Item]:
        """As a person who opens a folder, and everything in it."""
        items = (await self.remote.children(folder)).items
        self.known |= {each.item_id: each for each in items}
        for each in items:
            if each.kind is Kind.FOLDER:
                await self.look_into(each.item_id)
        return {each.name: each for each in items}

    async def pull(self) -> list[Item | Tombstone]:
        """The news."""
        anchor = self._anchor or await self.remote.newest_anchor()
        page = await self.remote.changes(anchor)
        self._anchor = page.anchor
        for each in page.changes:
            if isinstance(each, Tombstone):
                self.known.pop(each.item_id, None)
            else:
                self.known[each.item_id] = each
        return page.changes

    async def asked_by_pull(self) -> list[str]:
        """The requests that it takes."""
        before = len(self.server.requests)
        await self.pull()
        return self.server.requests[before:]

    def path(self, item: Item) -> Names:
        parent = None if item.parent_id is None else self.known.get(item.parent_id)
        return (*(() if parent is None else self.path(parent)), item.name)

    def tree(self) -> dict[Names, int | None]:
        """What the feed told: sizes by path, None for a folder."""
        inner = [each for each in self.known.values() if each.item_id != self.root]
        return {self.path(each): each.size if each.kind is Kind.FILE else None for each in inner}


def held(server: AwkwardDav) -> dict[Names, int | None]:
    return {at: None if it.data is None else len(it.data) for at, it in server.things.items() if at}


def server_of(**manners: object) -> ReportingDav:
    """With two folders, one in the other, and a file in each."""
    server = ReportingDav(**manners)  # type: ignore[arg-type]
    server.write("d", data=b"")
    server.things["d",].data = None
    server.write("d", "e", data=b"")
    server.things["d", "e"].data = None
    for names in (("a",), ("d", "b"), ("d", "e", "c")):
        server.write(*names, data=b"/".join(each.encode() for each in names))
    return server


async def reader_of(server: AwkwardDav, place: Path | None = None) -> Reader:
    """That has looked into every folder, and walked once: from now on there are positions."""
    reader = await Reader(server, place).open()
    await reader.look_into(reader.root)
    await reader.pull()
    return reader


@pytest.mark.parametrize(
    ("server", "reach", "delta"),
    [
        (AwkwardDav(), Reach.NONE, Delta.SCAN),
        (ReportingDav(takes_any=True), Reach.NONE, Delta.SCAN),
        (ReportingDav(tells_folders=False), Reach.FILES, Delta.SCAN),
        (ReportingDav(levels=FOLDER_ONLY), Reach.FOLDER, Delta.WALK),
        (ReportingDav(), Reach.TREE, Delta.NATIVE),
        (ReportingDav(tells_property=False, at_most=1), Reach.TREE, Delta.NATIVE),
    ],
)
async def test_what_a_server_reports_is_found_out_at_the_first_contact(
    server: AwkwardDav, reach: Reach, delta: Delta
) -> None:
    reader = await Reader(server).open()
    assert f'"reports":"{reach}"' in (reader.mirror.fact("habits") or "")
    assert reader.remote.capabilities.delta is delta
    assert list(server.things) == [()]


async def test_one_question_is_enough_for_a_tree_and_one_for_each_folder_where_reports_go_no_deeper() -> None:
    assert await (await reader_of(server_of())).asked_by_pull() == ["REPORT /"]
    asked = await (await reader_of(server_of(levels=FOLDER_ONLY))).asked_by_pull()
    assert asked == ["REPORT /", "REPORT /d", "REPORT /d/e"]


@pytest.mark.parametrize("levels", [FOLDER_ONLY, frozenset({"1", "infinite"})])
async def test_positions_survive_a_restart(tmp_path: Path, levels: frozenset[str]) -> None:
    server = server_of(levels=levels)
    first = await reader_of(server, tmp_path / "m.db")
    anchor = await first.remote.newest_anchor()
    await first.remote.aclose()
    server.write("d", "e", "new", data=b"12345")
    del server.things["a",]
    again = await Reader(server, tmp_path / "m.db").open()
    before = len(server.requests)
    page = await again.remote.changes(anchor)
    told = {each.name if isinstance(each, Item) else None for each in page.changes}
    assert told == {"new", None}
    assert not [each for each in server.requests[before:] if each.startswith("PROPFIND") and each != "PROPFIND /a"]


async def test_a_position_that_the_server_forgot_costs_a_listing_and_loses_nothing() -> None:
    server = server_of()
    reader = await reader_of(server)
    del server.things["d", "b"]
    server.write("d", "e", "c", data=b"longer than before")
    server.forgets = True
    await reader.pull()
    assert reader.tree() == held(server)
    assert await reader.asked_by_pull() == ["REPORT /"]


@pytest.mark.parametrize("levels", [FOLDER_ONLY, frozenset({"1", "infinite"})])
async def test_what_is_reported_gone_and_stands_there_all_the_same_stays(
    monkeypatch: pytest.MonkeyPatch, levels: frozenset[str]
) -> None:
    server = server_of(levels=levels)
    reader = await reader_of(server)
    monkeypatch.setattr(ReportingDav, "_changed", lambda *_, **__: [("a",)])
    monkeypatch.setattr(
        ReportingDav,
        "_changed_row",
        lambda *_: "<d:response><d:href>/a</d:href><d:status>HTTP/1.1 404 No</d:status></d:response>",
    )
    assert await reader.pull() == []
    assert reader.tree() == held(server)


@pytest.mark.parametrize("levels", [FOLDER_ONLY, frozenset({"1", "infinite"})])
async def test_a_walk_that_breaks_off_is_begun_again_from_where_it_began(levels: frozenset[str]) -> None:
    server = server_of(levels=levels)
    reader = await reader_of(server)
    del server.things["d", "b"]

    def breaks(method: str, _: Names) -> None:
        if method == "PROPFIND":
            raise httpx.ConnectError("nobody there")

    server.before = breaks
    with pytest.raises(RemoteError):
        await reader.pull()
    server.before = lambda *_: None
    await reader.pull()
    assert reader.tree() == held(server)


@pytest.mark.parametrize("parent", [False, True])
@pytest.mark.parametrize("levels", [FOLDER_ONLY, frozenset({"1", "infinite"})])
async def test_a_folder_that_went_or_was_made_anew_is_not_taken_for_the_old_one(
    levels: frozenset[str], parent: bool
) -> None:
    server = server_of(levels=levels, answers_for_parent=parent)
    reader = await reader_of(server)
    for names in [("d", "e"), *server.below(("d", "e"))]:
        del server.things[names]
    await reader.pull()
    assert reader.tree() == held(server)
    old = dict(server.things)
    for names in [("d",), *server.below(("d",))]:
        del server.things[names]
    server.write("d", data=b"")
    server.things["d",].data = None
    server.write("d", "other", data=b"x")
    assert server.things["d",].count != old["d",].count
    await reader.pull()
    assert reader.tree() == held(server)


async def test_a_folder_that_is_reported_is_listed_as_another_may_stand_there(monkeypatch: pytest.MonkeyPatch) -> None:
    server = server_of(levels=FOLDER_ONLY)
    reader = await reader_of(server)
    exact = ReportingDav._changed
    monkeypatch.setattr(
        ReportingDav,
        "_changed",
        lambda self, names, *rest, **level: [] if names else exact(self, names, *rest, **level),
    )
    monkeypatch.setattr(
        ReportingDav, "_then", lambda self, *_: dict(self.pictures[0])
    )  # any position is one of its own
    for names in [("d",), *server.below(("d",))]:
        del server.things[names]
    server.write("d", data=b"")
    server.things["d",].data = None
    server.write("d", "other", data=b"x")
    await reader.pull()
    assert reader.tree() == held(server)


async def test_long_folders_are_read_by_reports_of_their_files_and_listed_from_time_to_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(positions, "LONG_FROM", 2)
    server = server_of(tells_folders=False, tells_property=False)
    reader = await reader_of(server)
    assert await reader.asked_by_pull() == ["REPORT /", "REPORT /d", "PROPFIND /d/e"]
    server.write("d", "b", data=b"changed")
    server.write("d", "f", data=b"")
    server.things["d", "f"].data = None
    await reader.pull()
    assert ("d", "f") not in reader.tree()
    assert reader.tree()["d", "b"] == len(b"changed")
    await trio.sleep(positions.LISTED_FOR_S + 1)
    await reader.pull()
    assert reader.tree() == held(server)


def _change(server: ReportingDav, chance: random.Random) -> None:
    """Something that another client does."""
    folders = [names for names, thing in server.things.items() if thing.data is None]
    others = [names for names in server.things if names]
    at, name = chance.choice(folders), chance.choice("abcdefgh")
    what = chance.choice(["write", "write", "folder", "remove", "move", "move"])
    if what == "write" and server.things.get((*at, name), server.things[at]).data is not None:
        server.write(*at, name, data=chance.randbytes(chance.randint(1, 40)))
    elif what in {"write", "folder"} and (*at, name) not in server.things:
        server.write(*at, name, data=b"")
        server.things[*at, name].data = None if what == "folder" else chance.randbytes(chance.randint(1, 40))
    elif what == "remove" and others:
        gone = chance.choice(others)
        for names in [gone, *server.below(gone)]:
            del server.things[names]
    elif what == "move" and others:
        moved = chance.choice(others)
        if (*at, name) not in server.things and at[: len(moved)] != moved:
            for names in [moved, *server.below(moved)]:
                server.things[(*at, name, *names[len(moved) :])] = server.things.pop(names)


@pytest.mark.parametrize("levels", [FOLDER_ONLY, frozenset({"1", "infinite"})])
@pytest.mark.parametrize("at_most", [1, 3, 1000])
@pytest.mark.parametrize("seed", range(3))
async def test_after_any_changes_the_feed_has_told_the_tree(levels: frozenset[str], at_most: int, seed: int) -> None:
    chance = random.Random(seed)
    server = server_of(levels=levels, at_most=at_most)
    reader = await reader_of(server)
    for _ in range(25):
        for _ in range(chance.randint(1, 4)):
            _change(server, chance)
        server.forgets = chance.random() < 0.1
        for each in await reader.pull():
            if isinstance(each, Item) and each.kind is Kind.FOLDER and each.item_id in reader.known:
                await reader.look_into(each.item_id)
        await reader.pull()
        assert reader.tree() == held(server)
    assert sum(each.startswith("REPORT") for each in server.requests) > 50


async def test_habits_of_an_older_mount_know_of_no_reports() -> None:
    assert Habits().reports is Reach.NONE
