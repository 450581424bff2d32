"""Pages of a feed that is made here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from cache.model import Kind
from sync.remote import AnchorExpired, Tombstone
from sync.remotes import paging, stored_tree
from sync.remotes.dav.facts import Facts
from sync.remotes.dav.mirror import Mirror, told_of
from sync.remotes.paging import Paging

if TYPE_CHECKING:
    from cache.model import Item


class Fed:
    """A tree of some files, and what the next walk finds gone."""

    def __init__(self, count: int) -> None:
        self.mirror, self.walks = Mirror(None), 0
        root = self.mirror.add(None, "", Facts(kind=Kind.FOLDER))
        self.files = [self.mirror.add(root.item_id, f"f{each}", Facts(kind=Kind.FILE, size=1)) for each in range(count)]
        self.paging = Paging(self.mirror, self.walk, self.since)

    async def walk(self) -> None:
        self.walks += 1
        for entry in self.files:
            self.mirror.bury(entry)
        self.files = []
        self.mirror.prune()

    def since(self, seq: int, limit: int) -> list[tuple[int, Item | Tombstone]]:
        return [(row.seq, told_of(row)) for row in self.mirror.since(seq, limit)]


async def test_only_the_first_page_walks_and_every_change_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGE", 2)
    fed = Fed(5)
    anchor, told, more = fed.mirror.newest(), list[object](), True
    wanted = {entry.item_id for entry in fed.files}
    while more:
        page = await fed.paging.after(anchor)
        anchor, more = page.anchor, page.has_more
        told += [each.item_id for each in page.changes if isinstance(each, Tombstone)]
    assert set(told) == wanted
    assert (len(told), fed.walks, anchor) == (5, 1, fed.mirror.newest())


async def test_a_walk_that_forgets_tombstones_expires_the_anchor_that_asked_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stored_tree, "TOMBSTONES_MAX", 3)
    fed = Fed(5)
    with pytest.raises(AnchorExpired) as caught:
        await fed.paging.after(fed.mirror.newest())
    assert caught.value.fresh == fed.mirror.newest()


async def test_two_walks_do_not_run_at_once() -> None:
    """The second would take for old what the first has yet to see, and tell an end of the feed that is none."""
    walking = 0

    async def walk() -> None:
        nonlocal walking
        walking += 1
        await trio.testing.wait_all_tasks_blocked()
        assert walking == 1
        walking -= 1

    fed = Fed(1)
    both = Paging(fed.mirror, walk, fed.since)
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(both.after, fed.mirror.newest())
