"""Listings that the kernel keeps, against a model of how it keeps them (fs/fuse/readdir.c of Linux 6.18, in its words).

Whatever changes here and at the remote, while whoever reads: nobody is told a name twice, or of one that was known to
be gone when they began, and everybody is told of all that stays.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cache.model import EntryChanged, Ino, NodeChanged
from vfs.listings import Keeping, Listings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

FOLDER, ROOT = Ino(7), Ino(1)
DOTS = {1, 2}  # "." and "..", always there
PAGE, REPLY, ROOM = 3, 4, 2  # entries in a page of the kernel, in an answer of ours, and in a reader's buffer
CHANGES = ("local adds", "local removes", "remote adds", "remote removes", "news")
STEPS = (
    *CHANGES, "news", "opens", "opens", "lists", "lists", "reads", "reads", "reads to the end",
    *(f"reads, and meanwhile {each}" for each in CHANGES), "rewinds", "closes", "closes",
    "opens unanswered", "memory is short", "kernel forgets",
)  # fmt: skip


@dataclass(eq=False)
class Reader:
    """One open descriptor: `struct fuse_file`, and what was read through it since the beginning."""

    fh: int
    fill: bool
    due: set[int] = field(default_factory=set)  # there when it began, and ever since
    may: set[int] = field(default_factory=set)  # there, or not known to be gone, at some time since it began
    pos: int = 0
    stream_pos: int = 0
    stream_at: int = 0
    version: int = -1
    seen: list[int] = field(default_factory=list)


@dataclass
class Folder:
    """`struct fuse_inode` of a folder: `rdc` and its pages. An entry is its own cookie."""

    iversion: int = 0
    cached: bool = False
    version: int = 0
    filled: int = 0
    end: int = 0
    filled_iversion: int = 0
    pages: dict[int, list[int]] = field(default_factory=dict)

    def reset(self) -> None:
        self.cached, self.filled, self.end = False, 0, 0
        self.version += 1

    def drop(self) -> None:
        self.pages.clear()

    def from_pages(self, reader: Reader) -> list[int] | None:
        """What one getdents tells out of the pages, None when the pages are of no use."""
        if reader.stream_pos != reader.pos:
            reader.stream_pos = reader.stream_at = 0
        while self._is_filled(reader):
            if reader.version != self.version:
                reader.stream_pos = reader.stream_at = 0
            if reader.stream_pos == 0:
                reader.version = self.version
            if reader.stream_at == self.filled:
                return []
            page = self.pages.get(reader.stream_at // PAGE)
            if page is None:
                self.reset()
            elif told := self._parse(reader, page):
                return told
        return None

    def _is_filled(self, reader: Reader) -> bool:
        if self.cached and reader.pos == 0 and self.iversion != self.filled_iversion:
            self.reset()
        if not self.cached and reader.pos == 0 and self.filled == 0:
            self.filled_iversion = self.iversion
        return self.cached

    @staticmethod
    def _parse(reader: Reader, page: list[int]) -> list[int]:
        told: list[int] = []
        for entry in page[reader.stream_at % PAGE :]:
            if reader.stream_pos == reader.pos:
                if len(told) == ROOM:
                    return told
                told.append(entry)
                reader.pos = entry
            reader.stream_pos = entry
            reader.stream_at += 1
        return told

    def take(self, reader: Reader, answer: list[int]) -> list[int]:
        """Take an answer in; what of it the reader is told."""
        if not answer:
            self.cached |= reader.fill and self.end == reader.pos and not self.cached
        told: list[int] = []
        for entry in answer:
            if reader.fill:
                self._add(entry, reader.pos)
            if len(told) == ROOM:
                break
            told.append(entry)
            reader.pos = entry
        return told

    def _add(self, entry: int, position: int) -> None:
        if self.cached or position != self.end:
            return
        index, at = divmod(self.filled, PAGE)
        if at and index not in self.pages:
            return
        if not at:
            self.pages[index] = []
        self.pages[index].append(entry)
        self.end, self.filled = entry, self.filled + 1


def ran(coroutine: Coroutine[object, object, None]) -> None:
    """What awaits nothing."""
    with pytest.raises(StopIteration):
        coroutine.send(None)


class World:
    """A folder, its readers, and changes on both sides."""

    def __init__(self, count: int) -> None:
        self.names = DOTS | set(range(3, count + 3))
        self.sure = set(self.names)  # there, and no news is missing of that
        self.lingering: set[int] = set()  # gone, and the news is missing
        self.next_name, self.next_fh = count + 3, 1
        self.kernel = Folder()
        self.asked = 0  # how many requests came to us
        self.open: list[Reader] = []
        self.listings = Listings(self.heard)
        self.listings.drop = self.dropped
        self.of_nobody: dict[str, Callable[[], object]] = {
            "opens": self.opens,
            "opens unanswered": partial(self.opens, answered=False),
            "lists": self.lists,
            "memory is short": self.memory_is_short,
            "kernel forgets": self.kernel_forgets,
        }
        self.of_reader: dict[str, Callable[[Reader], object]] = {
            "reads": self.reads,
            **{f"reads, and meanwhile {each}": partial(self.reads, meanwhile=each) for each in CHANGES},
            "reads to the end": self.reads_to_the_end,
            "rewinds": self.begins,
            "closes": self.closes,
        }

    def heard(self, news: list[NodeChanged]) -> None:
        assert news == [NodeChanged(FOLDER, content=True)]
        self.kernel.drop()

    async def dropped(self, folder: Ino) -> None:
        assert folder == FOLDER
        self.kernel.drop()

    def do(self, step: str, number: int = 0) -> None:
        """One step; `number` chooses among the readers. A step that cannot be done is none."""
        if step in CHANGES:
            self.changes(step)
        elif step in self.of_nobody:
            self.of_nobody[step]()
        elif self.open:
            self.of_reader[step](self.open[number % len(self.open)])

    def lists(self) -> None:
        reader = self.opens()
        self.reads_to_the_end(reader)
        self.closes(reader)

    def memory_is_short(self) -> None:
        self.kernel.drop()

    def kernel_forgets(self) -> None:
        if not self.open:
            self.kernel = Folder(iversion=self.kernel.iversion)
            self.listings.forget(FOLDER)

    # Readers

    def opens(self, *, answered: bool = True) -> Reader:
        fh, self.next_fh = self.next_fh, self.next_fh + 1
        keeping = self.listings.opened(FOLDER, ROOT, fh)
        if not answered:
            self.listings.not_kept(fh)
            keeping = Keeping(fill=False, keep=False)
        if not keeping.keep:
            self.kernel.drop()
        reader = Reader(fh, keeping.fill)
        self.begins(reader)
        self.open.append(reader)
        return reader

    def begins(self, reader: Reader) -> None:
        reader.pos, reader.seen = 0, []
        reader.due, reader.may = set(self.sure), self.names | self.lingering

    def reads(self, reader: Reader, meanwhile: str = "") -> None:
        """One getdents; `meanwhile` comes between our answer and its being taken in."""
        told = self.kernel.from_pages(reader) if reader.fill else None
        if told is None:
            self.asked += 1
            answer = sorted(name for name in self.names if name > reader.pos)[:REPLY]
            if reader.pos == 0:
                self.listings.begun(reader.fh, ROOT)
            if not answer:
                ran(self.listings.ended(reader.fh))
            if meanwhile:
                self.changes(meanwhile)
            told = self.kernel.take(reader, answer)
        assert not set(told) & set(reader.seen), "told twice"
        assert set(told) <= reader.may, "told of what was gone"
        assert told or reader.due <= set(reader.seen), "left out"
        reader.seen += told

    def reads_to_the_end(self, reader: Reader) -> None:
        before = -1
        while before != len(reader.seen):
            before = len(reader.seen)
            self.reads(reader)

    def closes(self, reader: Reader) -> None:
        self.listings.closed(reader.fh)
        self.open.remove(reader)

    # Changes

    def changes(self, change: str) -> None:
        if change == "news":
            if self.lingering or self.sure != self.names:
                self.sure, self.lingering = set(self.names), set()
                self.listings.noticed([EntryChanged(FOLDER, "a name")])
            return
        is_local = change.startswith("local")
        self.kernel.iversion += is_local
        if change.endswith("adds"):
            self._add(sure=is_local)
        else:
            gone = self._remove()
            self.lingering |= set() if is_local else gone

    def _add(self, *, sure: bool) -> None:
        name, self.next_name = self.next_name, self.next_name + 1
        self.names.add(name)
        if sure:
            self.sure.add(name)
        for reader in self.open:
            reader.may.add(name)

    def _remove(self) -> set[int]:
        left = sorted(self.names - DOTS)
        gone = set(left[len(left) // 2 :][:1])
        self.names -= gone
        self.sure -= gone
        for reader in self.open:
            reader.due -= gone
        return gone


def steps(told: str) -> list[tuple[str, int]]:
    """Steps of the first reader."""
    return [(step, 0) for step in told.split("; ")]


@example(
    count=10, steps=steps("lists; opens; reads; reads; reads; reads; reads; local removes; lists; reads to the end")
)
@example(count=5, steps=steps("opens; reads to the end; remote adds; news; rewinds; reads to the end"))
@example(count=9, steps=steps("opens; reads; reads; reads; reads; closes; remote removes; news; lists; lists; lists"))
@given(count=st.integers(0, 9), steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9)), max_size=40))
@settings(max_examples=300, deadline=None)
def test_nobody_is_told_twice_or_too_little_or_of_what_is_gone(count: int, steps: list[tuple[str, int]]) -> None:
    world = World(count)
    for step, number in steps:
        world.do(step, number)


@pytest.mark.parametrize(("changed", "requests"), [(False, 0), (True, 4)])
def test_a_listing_that_is_right_costs_the_next_reader_no_request(changed: bool, requests: int) -> None:
    world = World(5)
    world.do("lists")
    if changed:
        world.do("remote removes")
        world.do("news")
    begun = world.asked
    world.do("lists")
    assert world.asked - begun == requests


def test_a_listing_that_was_begun_and_then_changed_is_kept_again_after_the_next_whole_one() -> None:
    world = World(9)
    for step in ("opens", "reads", "closes", "remote adds", "news", "lists", "lists"):
        world.do(step)
    begun = world.asked
    world.do("lists")
    assert world.asked == begun


def test_a_folder_that_was_moved_is_told_anew() -> None:
    listings = Listings(pytest.fail)
    listings.opened(FOLDER, ROOT, 1)
    listings.begun(1, ROOT)
    ran(listings.ended(1))
    listings.closed(1)
    assert listings.opened(FOLDER, ROOT, 2) == Keeping(fill=True, keep=True)
    listings.closed(2)
    assert listings.opened(FOLDER, Ino(5), 3) == Keeping(fill=True, keep=False)


def test_what_is_known_of_folders_has_a_bound_beyond_which_nothing_is_believed() -> None:
    listings = Listings(pytest.fail, kept=2)
    for fh, folder in enumerate((Ino(5), Ino(6), Ino(7))):
        assert not listings.opened(folder, ROOT, fh).keep
        listings.begun(fh, ROOT)
        ran(listings.ended(fh))
        listings.closed(fh)
    listings.noticed([EntryChanged(Ino(5), "forgotten")])
    assert listings.opened(Ino(6), ROOT, 3).keep
    assert not listings.opened(Ino(5), ROOT, 4).keep


def test_a_drop_that_fails_is_made_good_by_the_next_opening() -> None:
    async def fails(_folder: Ino) -> None:
        raise TimeoutError

    listings = Listings(pytest.fail)
    listings.drop = fails
    listings.opened(FOLDER, ROOT, 1)
    listings.begun(1, ROOT)
    listings.noticed([EntryChanged(FOLDER, "a name")])
    with pytest.raises(TimeoutError):
        listings.ended(1).send(None)
    listings.closed(1)
    assert not listings.opened(FOLDER, ROOT, 2).keep
