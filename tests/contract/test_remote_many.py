"""One suite for every Remote: many contents at once, and everything below a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cache.model import Item, ItemId, Version
from sync.batches import Wanted
from sync.capabilities import Feature
from sync.remote import Gone, Refused, Remote, RemoteError, VersionGone
from tests.contract.homes import facts
from tests.contract.offers import lacks, needs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.contract.homes import Home


def wanted(item: Item) -> Wanted:
    assert item.content_version is not None
    return Wanted(item_id=item.item_id, version=item.content_version, size=item.size)


async def contents(remote: Remote, asked: Sequence[Wanted]) -> list[bytes | RemoteError]:
    async with remote.read_many(asked) as parts:
        return [part async for part in parts]


@needs(Feature.READ_MANY)
async def test_many_contents_come_in_the_asked_order(home: Home) -> None:
    bodies = [bytes([n]) * size for n, size in enumerate([0, 1, 5000, 400_000, 3])]
    items = [await home.put(f"f{n}", body) for n, body in enumerate(bodies)]
    order = [3, 0, 4, 2, 1]
    assert await contents(home.remote, [wanted(items[n]) for n in order]) == [bodies[n] for n in order]
    assert await contents(home.remote, []) == []


@needs(Feature.READ_MANY)
async def test_what_is_not_to_be_had_does_not_end_the_rest(home: Home) -> None:
    first, last = await home.put("first", b"1"), await home.put("last", b"22")
    missing = Wanted(item_id=ItemId("no-such-item"), version=Version("v"), size=1)
    no_version = Wanted(item_id=first.item_id, version=Version("no-such-version"), size=1)
    told = await contents(home.remote, [wanted(first), missing, no_version, wanted(last)])
    assert (told[0], told[3]) == (b"1", b"22")
    assert isinstance(told[1], RemoteError)
    assert isinstance(told[2], VersionGone | RemoteError)


@needs(Feature.READ_MANY)
async def test_a_replaced_content_is_the_asked_one_or_an_error(home: Home) -> None:
    item = await home.put("f", b"old")
    await home.overwrite(item, b"newer")
    (told,) = await contents(home.remote, [wanted(item)])
    assert told == b"old" or isinstance(told, RemoteError)


async def grown(home: Home) -> list[Item]:
    """Two folders, a file in each and in a third below; breadth first."""
    one, two = await home.make_folder("1"), await home.make_folder("2")
    deep = await home.make_folder("3", parent=one.item_id)
    files = [await home.put("f", b"x", parent=each.item_id) for each in (one, two, deep)]
    return [one, two, deep, files[0], files[1], files[2]]


@needs(Feature.DESCENDANTS)
async def test_descendants_come_breadth_first(home: Home) -> None:
    made = await grown(home)
    page = await home.remote.descendants(home.folder, 100)
    assert [facts(item) for item in page.items] == [facts(item) for item in made]
    assert page.cursor is None
    assert await home.news(page.anchor) == []


@needs(Feature.DESCENDANTS)
async def test_descendants_come_in_pages(home: Home) -> None:
    made = await grown(home)
    told: list[Item] = []
    cursor, pages = None, 0
    while pages == 0 or cursor is not None:
        page = await home.remote.descendants(home.folder, 4, cursor)
        assert len(page.items) <= 4
        told += page.items
        cursor, pages = page.cursor, pages + 1
    assert [item.item_id for item in told] == [item.item_id for item in made]


@needs(Feature.DESCENDANTS)
async def test_nothing_lies_below_an_empty_folder(home: Home) -> None:
    page = await home.remote.descendants(home.folder, 10)
    assert (list(page.items), page.cursor) == ([], None)


@needs(Feature.DESCENDANTS)
async def test_a_folder_that_is_not_there_has_no_descendants(home: Home) -> None:
    with pytest.raises(Gone):
        await home.remote.descendants(ItemId("no-such-item"), 10)


@lacks(Feature.READ_MANY)
async def test_a_batch_is_refused_where_there_are_none(home: Home) -> None:
    item = await home.put("f", b"1")
    with pytest.raises(Refused):
        await contents(home.remote, [wanted(item)])


@lacks(Feature.DESCENDANTS)
async def test_descendants_are_refused_where_none_are_told(home: Home) -> None:
    with pytest.raises(Refused):
        await home.remote.descendants(home.folder, 10)
