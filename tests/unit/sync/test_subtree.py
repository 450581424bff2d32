"""When a stream of descendants has told a folder whole; and which folders are worth a stream."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cache.model import Anchor, Ino, Item, ItemId, Kind, Version
from sync.batches import Descendants
from sync.subtree import Subtree
from sync.walks import IDLE_S, FolderWalks

TOP = ItemId("top")


def item(path: str) -> Item:
    """By path: "a/b/" is a folder."""
    folder = path.endswith("/")
    parent, _, name = path.rstrip("/").rpartition("/")
    return Item(
        item_id=ItemId(path),
        parent_id=ItemId(f"{parent}/") if parent else TOP,
        name=name,
        kind=Kind.FOLDER if folder else Kind.FILE,
        size=0,
        mode=0o644,
        mtime_ns=0,
        ctime_ns=0,
        content_version=None if folder else Version("c"),
        metadata_version=Version("m"),
    )


def page(*paths: str, more: bool = True) -> Descendants:
    return Descendants(items=[item(path) for path in paths], anchor=Anchor("a"), cursor="go on" if more else None)


def wholes(subtree: Subtree, told: Descendants) -> dict[str, set[str]]:
    return {folder: {each.item_id for each in children} for folder, children in subtree.take(told)}


def test_a_folder_is_whole_once_the_stream_is_past_it() -> None:
    subtree = Subtree(TOP)
    assert wholes(subtree, page("a/", "b/")) == {}
    assert wholes(subtree, page("c/", "a/1")) == {"top": {"a/", "b/", "c/"}}
    assert wholes(subtree, page("a/2", "c/1")) == {"a/": {"a/1", "a/2"}}
    assert wholes(subtree, page("c/2/", more=False)) == {"b/": set(), "c/": {"c/1", "c/2/"}, "c/2/": set()}


def test_what_is_told_twice_and_what_lies_below_is_never_whole() -> None:
    subtree = Subtree(TOP)
    moved = item("a/")
    wholes(subtree, page("a/", "b/", "a/x/"))
    again = Item(**{key: getattr(moved, key) for key in Item.__slots__} | {"parent_id": ItemId("b/")})
    told = dict(subtree.take(Descendants(items=[again, item("a/x/1")], anchor=Anchor("a"), cursor=None)))
    assert told.keys() == {"b/"}


def test_a_child_of_nobody_is_passed_over() -> None:
    assert wholes(Subtree(TOP), page("a/", "zz/1", more=False)) == {"top": {"a/"}, "a/": set()}


@st.composite
def trees(draw: st.DrawFn) -> list[str]:
    folders = [""]
    for number in range(draw(st.integers(0, 12))):
        folders.append(f"{draw(st.sampled_from(folders))}{number:02}/")
    files = [f"{draw(st.sampled_from(folders))}f{number}" for number in range(draw(st.integers(0, 12)))]
    return [*folders[1:], *files]


@given(trees(), st.integers(1, 9))
def test_pages_of_any_size_tell_every_folder_once_and_whole(paths: list[str], size: int) -> None:
    """In the order of the protocol: level by level, each by path."""
    order = sorted(paths, key=lambda path: (path.rstrip("/").count("/"), path.rstrip("/").split("/")))
    subtree = Subtree(TOP)
    found: dict[str, set[str]] = {}
    for at in range(0, max(len(order), 1), size):
        told = wholes(subtree, page(*order[at : at + size], more=at + size < len(order)))
        assert not found.keys() & told.keys()
        found |= told
    expected: dict[str, set[str]] = {TOP: set(), **{path: set() for path in paths if path.endswith("/")}}
    for path in paths:
        expected[item(path).parent_id or ""].add(path)
    assert found == expected


def line(*inos: int) -> tuple[Ino, ...]:
    return tuple(Ino(ino) for ino in inos)


def test_two_unknown_folders_below_a_listed_one_are_a_walk() -> None:
    walks = FolderWalks()
    assert walks.opened(line(5, 1), cold=False, now_s=0) is None
    assert walks.opened(line(6, 5, 1), cold=True, now_s=0) is None
    assert walks.opened(line(7, 5, 1), cold=True, now_s=0) == 5


def test_a_folder_and_one_in_it_are_a_walk_of_the_outer_one() -> None:
    walks = FolderWalks()
    assert walks.opened(line(5, 1), cold=True, now_s=0) is None
    assert walks.opened(line(6, 5, 1), cold=True, now_s=0) == 5


def test_folders_that_nobody_came_to_from_above_are_no_walk() -> None:
    walks = FolderWalks()
    assert walks.opened(line(6, 5, 1), cold=True, now_s=0) is None
    assert walks.opened(line(7, 4, 1), cold=True, now_s=0) is None


def test_a_slow_person_is_no_walk() -> None:
    walks = FolderWalks()
    walks.opened(line(5, 1), cold=True, now_s=0)
    assert walks.opened(line(6, 5, 1), cold=True, now_s=IDLE_S + 1) is None


def test_a_long_walk_is_remembered_where_it_began() -> None:
    walks = FolderWalks()
    walks.opened(line(5, 1), cold=False, now_s=0)
    for ino in range(1000, 2000):
        walks.opened(line(ino, 6, 5, 1), cold=False, now_s=(ino - 1000) / 100)
    walks.opened(line(3000, 6, 5, 1), cold=True, now_s=10)
    assert walks.opened(line(3001, 7, 5, 1), cold=True, now_s=10) == 5
