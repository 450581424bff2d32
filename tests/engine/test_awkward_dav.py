"""The WebDAV adapter against servers with bad manners: nothing unseen is overwritten, nothing is done twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cache.model import Item, ItemId
from sync.remote import Busy, Conflict, NewFile, Overwrite, ProtocolViolation, Refused, Replaced, Tombstone, Unknown
from sync.remotes.channel import BODY_MAX_BYTES
from sync.remotes.dav.exchange import DavExchange
from sync.remotes.dav.mirror import Mirror
from sync.remotes.dav.remote import DavRemote
from tests.fakes.awkward import AwkwardDav, Manners
from tests.fakes.sources import BytesSource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import trio.testing


@pytest.fixture(autouse=True)
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    """No test waits: the server is in memory."""
    return autojump_clock


class Client:
    """A remote of a server, and what most tests ask of it."""

    def __init__(self, server: AwkwardDav, place: Path | None = None, *, unsafe: bool = False) -> None:
        self.server = server
        exchange = DavExchange("http://127.0.0.1/", None, transport=server)
        self.remote = DavRemote(exchange, Mirror(place), unsafe=unsafe)
        self.root = ItemId("")

    async def open(self) -> Client:
        self.root = (await self.remote.root()).item_id
        return self

    async def put(self, name: str, data: bytes, key: str) -> Item:
        target = NewFile(parent_id=self.root, name=name)
        return await self.remote.put(target, BytesSource(data), mtime_ns=1, mode=0o644, key=key)

    async def over(self, item: Item, data: bytes, key: str) -> Item:
        assert item.content_version is not None
        target = Overwrite(item_id=item.item_id, base=item.content_version)
        return await self.remote.put(target, BytesSource(data), mtime_ns=1, mode=0o644, key=key)


async def client(manners: Manners | None = None, *, unsafe: bool = False) -> Client:
    return await Client(AwkwardDav(manners or Manners()), unsafe=unsafe).open()


RUDE = Manners(if_match=False, if_none_match=False, overwrite_f=False, locks=False)


async def test_the_scratch_files_of_the_first_contact_are_taken_away() -> None:
    made = await client()
    assert list(made.server.things) == [()]


async def test_a_server_that_honours_nothing_is_read_only() -> None:
    made = await client(RUDE)
    assert not made.remote.capabilities.writable
    before = len(made.server.requests)
    with pytest.raises(Refused):
        await made.put("f", b"x", "k")
    assert len(made.server.requests) == before


async def test_what_dies_of_empty_files_is_sent_none() -> None:
    made = await client(Manners(empty_files=False))
    assert not made.remote.capabilities.empty_files
    before = len(made.server.requests)
    with pytest.raises(Refused):
        await made.put("f", b"", "k1")
    assert len(made.server.requests) == before
    item = await made.put("f", b"x", "k2")
    with pytest.raises(Refused):
        await made.over(item, b"", "k3")
    assert made.server.things["f",].data == b"x"


async def test_a_line_that_breaks_once_is_no_habit_of_the_server() -> None:
    server = AwkwardDav(Manners())
    broken: list[str] = []

    def breaks(method: str, names: tuple[str, ...]) -> bool:
        if method != "PUT" or broken or server.things[names].data != b"":
            return False
        broken.append(method)
        return True

    server.lose = breaks
    made = await Client(server).open()
    assert broken
    assert made.remote.capabilities.empty_files


async def test_unless_unsafe_writes_were_asked_for_in_so_many_words() -> None:
    made = await client(RUDE, unsafe=True)
    item = await made.put("f", b"one", "k1")
    assert (await made.over(item, b"two", "k2")).size == 3
    assert made.server.things["f",].data == b"two"
    made.server.write("f", data=b"foreign")
    with pytest.raises(Conflict):
        await made.over(item, b"three", "k3")
    assert made.server.things["f",].data == b"foreign"


@pytest.mark.parametrize("manners", [Manners(), Manners(locks=False), Manners(if_match=False, if_none_match=False)])
async def test_what_is_written_at_the_worst_moment_is_not_overwritten(manners: Manners) -> None:
    made = await client(manners)
    item = await made.put("f", b"one", "k1")

    def interfere(method: str, names: tuple[str, ...]) -> None:
        if method in {"PUT", "LOCK"} and names == ("f",) and made.server.things["f",].data == b"one":
            made.server.write("f", data=b"foreign")

    made.server.before = interfere
    with pytest.raises(Conflict) as caught:
        await made.over(item, b"ours", "k2")
    assert made.server.things["f",].data == b"foreign"
    assert caught.value.current is not None
    assert caught.value.current.size == 7


async def test_a_new_file_never_replaces_one_that_appears_meanwhile() -> None:
    made = await client()

    def interfere(method: str, _names: tuple[str, ...]) -> None:
        if method == "MOVE" and ("f",) not in made.server.things:
            made.server.write("f", data=b"foreign")

    made.server.before = interfere
    with pytest.raises(Conflict):
        await made.put("f", b"ours", "k1")
    assert {names: thing.data for names, thing in made.server.things.items() if names} == {("f",): b"foreign"}


async def test_a_folder_is_not_removed_with_a_child_that_arrives_meanwhile() -> None:
    made = await client()
    folder = await made.remote.make_folder(made.root, "d", mode=0o755, mtime_ns=1, key="k1")

    def interfere(method: str, names: tuple[str, ...]) -> None:
        if method == "MOVE" and names == ("d",):
            made.server.write("d", "unseen", data=b"unseen")

    made.server.before = interfere
    with pytest.raises(Conflict) as caught:
        await made.remote.remove(folder.item_id, folder.metadata_version, key="k2")
    assert caught.value.code == "not_empty"
    assert made.server.things["d", "unseen"].data == b"unseen"


def lose_once(method: str, *, also: Callable[[], None] | None = None) -> Callable[[str, tuple[str, ...]], bool]:
    """The answer to the first request of this method that is not about a file of ours on its way."""
    left = [1]

    def lose(asked: str, names: tuple[str, ...]) -> bool:
        if asked != method or not left or (method != "MOVE" and names and names[-1].startswith(".anchorfs-up")):
            return False
        left.pop()
        if also is not None:
            also()
        return True

    return lose


async def again(server: AwkwardDav, place: Path, act: Callable[[Client], Awaitable[object]]) -> object:
    """The same request by a new process, after the answer to the first was lost."""
    first = await Client(server, place).open()
    with pytest.raises(Unknown):
        await act(first)
    await first.remote.aclose()
    return await act(await Client(server, place).open())


async def test_a_lost_answer_to_a_creation_is_found_out_by_the_next_process(tmp_path: Path) -> None:
    server = AwkwardDav()
    await Client(server, tmp_path / "m").open()
    server.lose = lose_once("MOVE")
    item = await again(server, tmp_path / "m", lambda each: each.put("f", b"data", "k1"))
    assert isinstance(item, Item)
    assert [names for names in server.things if names] == [("f",)]


async def test_a_lost_answer_is_not_taken_for_ours_when_another_file_is_there(tmp_path: Path) -> None:
    server = AwkwardDav()
    await Client(server, tmp_path / "m").open()
    server.lose = lose_once("MOVE", also=lambda: server.write("f", data=b"DATA"))
    with pytest.raises(Conflict):
        await again(server, tmp_path / "m", lambda each: each.put("f", b"data", "k1"))
    assert server.things["f",].data == b"DATA"


async def test_what_a_lost_answer_left_is_known_by_its_bytes_when_others_are_sent_since() -> None:
    made = await client()
    made.server.lose = lose_once("MOVE")
    with pytest.raises(Unknown):
        await made.put("f", b"data", "k1")
    with pytest.raises(Conflict) as caught:
        await made.put("f", b"DATA", "k2")
    assert caught.value.current is not None
    assert caught.value.current.digest == BytesSource(b"data").digest


async def test_a_lost_answer_to_an_overwrite_is_found_out(tmp_path: Path) -> None:
    server = AwkwardDav()
    first = await Client(server, tmp_path / "m").open()
    item = await first.put("f", b"one", "k1")
    await first.remote.aclose()
    server.lose = lose_once("PUT")
    server.locks.clear()
    newer = await again(server, tmp_path / "m", lambda each: each.over(item, b"two", "k2"))
    assert isinstance(newer, Item)
    assert (newer.item_id, newer.size, newer.digest) == (item.item_id, 3, BytesSource(b"two").digest)
    assert server.things["f",].data == b"two"


async def test_lost_answers_to_folders_moves_and_removals_are_found_out(tmp_path: Path) -> None:
    server, place = AwkwardDav(), tmp_path / "m"
    await Client(server, place).open()
    server.lose = lose_once("MKCOL")
    folder = await again(
        server, place, lambda each: each.remote.make_folder(each.root, "d", mode=0o755, mtime_ns=1, key="k1")
    )
    assert isinstance(folder, Item)
    server.lose = lose_once("MOVE")
    moved = await again(
        server,
        place,
        lambda each: each.remote.move(folder.item_id, folder.metadata_version, each.root, "e", replace=None, key="k2"),
    )
    assert isinstance(moved, Item)
    assert (moved.item_id, moved.name) == (folder.item_id, "e")
    server.lose = lose_once("DELETE")
    await again(server, place, lambda each: each.remote.remove(moved.item_id, moved.metadata_version, key="k3"))
    assert [names for names in server.things if names] == []


async def test_a_removed_folder_that_was_only_moved_aside_comes_back_with_its_child(tmp_path: Path) -> None:
    """The process died between two steps, and somebody's upload ended in the folder meanwhile."""
    server, place = AwkwardDav(), tmp_path / "m"
    first = await Client(server, place).open()
    folder = await first.remote.make_folder(first.root, "d", mode=0o755, mtime_ns=1, key="k1")
    await first.remote.aclose()

    def also() -> None:
        (aside,) = (names for names in server.things if names and names[-1].startswith(".anchorfs-rm"))
        server.write(*aside, "late", data=b"late")

    server.lose = lose_once("MOVE", also=also)
    with pytest.raises(Conflict):
        await again(server, place, lambda each: each.remote.remove(folder.item_id, folder.metadata_version, key="k2"))
    assert server.things["d", "late"].data == b"late"


async def test_an_empty_207_is_no_empty_folder() -> None:
    made = await client()
    item = await made.put("f", b"x", "k1")
    await made.remote.children(made.root)
    anchor = await made.remote.newest_anchor()
    made.server.manners = Manners(empty_listings=True)
    with pytest.raises(ProtocolViolation):
        await made.remote.changes(anchor)
    made.server.manners = Manners()
    assert (await made.remote.changes(anchor)).changes == []
    assert (await made.remote.get_many([item.item_id]))[item.item_id] == item


async def test_a_listing_may_be_as_long_as_one_of_the_largest_folders() -> None:
    made = await client(Manners(blanks=BODY_MAX_BYTES))
    item = await made.put("f", b"x", "k1")
    assert (await made.remote.children(made.root)).items == [item]


async def test_a_missing_file_is_gone_only_when_its_own_address_says_so() -> None:
    made = await client()
    item = await made.put("f", b"x", "k1")
    await made.remote.children(made.root)
    anchor = await made.remote.newest_anchor()
    kept = made.server.things.pop(("f",))

    def interfere(method: str, names: tuple[str, ...]) -> None:
        if method == "PROPFIND" and names == ("f",):
            made.server.things["f",] = kept

    made.server.before = interfere
    assert (await made.remote.changes(anchor)).changes == []
    made.server.before = lambda *_: None
    del made.server.things["f",]
    assert (await made.remote.changes(anchor)).changes == [Tombstone(item_id=item.item_id, parent_id=made.root)]


async def test_two_contents_of_one_second_are_told_apart_in_the_end() -> None:
    """Where tags are made of seconds, what was written here is read again once the second is over."""
    made = await client(Manners(seconds=True))
    assert not made.remote.capabilities.strong_versions
    item = await made.put("f", b"ours", "k1")
    made.server.write("f", data=b"OURS")  # the same size, the same second: the same tag
    with pytest.raises(Busy):
        await made.over(item, b"next", "k2")
    anchor = await made.remote.newest_anchor()
    made.server.now_s += 10
    await made.remote.root()
    (now,) = (await made.remote.changes(anchor)).changes
    assert isinstance(now, Item)
    assert now.content_version != item.content_version
    with pytest.raises(Conflict):
        await made.over(item, b"next", "k3")
    assert made.server.things["f",].data == b"OURS"


async def test_a_content_that_was_ours_all_along_settles_without_news() -> None:
    made = await client(Manners(seconds=True))
    item = await made.put("f", b"ours", "k1")
    anchor = await made.remote.newest_anchor()
    made.server.now_s += 10
    await made.remote.root()
    assert (await made.remote.changes(anchor)).changes == []
    assert (await made.over(item, b"next", "k2")).size == 4


async def test_a_range_is_what_the_answer_says() -> None:
    made = await client(Manners(whole_ranges=True))
    item = await made.put("f", b"0123456789", "k1")
    assert item.content_version is not None
    async with made.remote.read(item.item_id, item.content_version, 3, 6) as reader:
        assert (reader.start, reader.stop, reader.total) == (0, 10, 10)
        assert b"".join([piece async for piece in reader]) == b"0123456789"


@pytest.mark.parametrize("manners", [Manners(), Manners(locks=False)])
async def test_a_replacing_move_spares_what_was_written_meanwhile(manners: Manners) -> None:
    made = await client(manners)
    item, there = await made.put("f", b"x", "k1"), await made.put("g", b"y", "k2")

    def interfere(method: str, names: tuple[str, ...]) -> None:
        if method in {"LOCK", "DELETE"} and names == ("g",):
            made.server.write("g", data=b"foreign")

    made.server.before = interfere
    replace = Replaced(item_id=there.item_id, content_version=there.content_version)
    with pytest.raises(Conflict):
        await made.remote.move(item.item_id, item.metadata_version, made.root, "g", replace=replace, key="k3")
    assert made.server.things["g",].data == b"foreign"
    assert made.server.things["f",].data == b"x"
