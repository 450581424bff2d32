"""Walks and search over an index of many items, and the limits of what one request changes."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest

from server_stub.descent import Standing, descend
from server_stub.plans.trees import changed_since, tree_of
from server_stub.problems import Problem
from server_stub.values import Kind

from .rows import fill, made, on_store

if TYPE_CHECKING:
    from pathlib import Path

    from server_stub.store import Ledger, Store, View

LARGE = 100_000
PAGE = 500


def walked(view: View, scope_id: str, limit: int, depth: int | None = None) -> list[str]:
    """Names of all that a walk tells, page by page."""
    names: list[str] = []
    standing: Standing | None = Standing(scope_id)
    while standing is not None:
        items, standing = descend(view, scope_id, standing, limit=limit, depth=depth)
        assert len(items) <= limit
        names += [item.name for item in items]
    return names


def test_a_folder_of_100_000_entries_pages_in_constant_memory(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        root = made(None, "")
        names = [f"n{number:06d}" for number in range(LARGE)]
        await store.write(fill([root], (made(root, name, Kind.FILE) for name in names)))

        def pages(view: View) -> tuple[int, int]:
            """(items, bytes held at most) of a listing by pages."""
            tracemalloc.start()
            seen, after = 0, None
            while page := view.children(root.item_id, after=after, limit=PAGE):
                seen, after = seen + len(page), page[-1].name
            _, peak_bytes = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return seen, peak_bytes

        def stream(view: View) -> tuple[int, int]:
            tracemalloc.start()
            seen, standing = 0, Standing(root.item_id)
            following: Standing | None = standing
            while following is not None:
                items, following = descend(view, root.item_id, following, limit=PAGE, depth=None)
                seen += len(items)
            _, peak_bytes = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return seen, peak_bytes

        for way in (pages, stream):
            seen, peak_bytes = await store.read(way)
            assert seen == LARGE
            assert peak_bytes < 4 << 20  # a page of 500 is about one MiB; the folder would be 150

    on_store(tmp_path, scenario)


def test_a_walk_tells_the_levels_whatever_the_page(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        root = made(None, "")
        tree = {"": root}
        for path in ("a", "b", "c", "a/d", "c/e", "c/e/f", "a/d/g", "c/e/f/h"):
            above, _, name = path.rpartition("/")
            tree[path] = made(tree[above], name, Kind.FILE if name in "bgh" else Kind.FOLDER)
        await store.write(fill(tree.values()))
        for limit in (1, 2, 3, 100):
            everything = await store.read(lambda view, limit=limit: walked(view, root.item_id, limit))  # type: ignore[misc]
            assert everything == ["a", "b", "c", "d", "e", "g", "f", "h"]
        assert await store.read(lambda view: walked(view, root.item_id, 2, 2)) == ["a", "b", "c", "d", "e"]
        assert await store.read(lambda view: walked(view, tree["c"].item_id, 2)) == ["e", "f", "h"]

    on_store(tmp_path, scenario)


def test_a_walk_through_folders_without_files_ends_its_turn(tmp_path: Path) -> None:
    """A page may be empty: no reader is held for a whole tree that has nothing to tell."""

    async def scenario(store: Store) -> None:
        root = made(None, "")
        folders = [made(root, f"{number:05d}") for number in range(6_000)]
        deep = made(folders[-1], "deep")
        await store.write(fill([root], folders, [deep]))
        standing = Standing(root.item_id, 2, "", deeper=False)
        items, following = await store.read(lambda view: descend(view, root.item_id, standing, limit=PAGE, depth=None))
        assert items == []
        assert following is not None
        names = await store.read(lambda view: walked(view, root.item_id, PAGE))
        assert names == [folder.name for folder in folders] + ["deep"]

    on_store(tmp_path, scenario)


def test_a_walk_begins_its_level_again_when_its_folder_left(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        root = made(None, "")
        one, two = made(root, "1"), made(root, "2")
        inner = [made(one, "x", Kind.FILE), made(two, "y", Kind.FILE)]
        await store.write(fill([root, one, two], inner))
        gone = Standing("deleted-meanwhile", 2, "x", deeper=False)
        items, following = await store.read(lambda view: descend(view, root.item_id, gone, limit=9, depth=None))
        assert ([item.name for item in items], following) == (["x", "y"], None)

    on_store(tmp_path, scenario)


def test_steps_of_walks_and_searches_are_answered_by_indexes(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        def plans(ledger: Ledger) -> list[str]:
            queries = (
                (
                    (
                        "SELECT item_id, name FROM items WHERE parent_id = ? AND name > ? AND kind = 'folder' "
                        "ORDER BY name LIMIT 1"
                    ),
                    ("p", "n"),
                ),
                (
                    (
                        "SELECT item_id FROM items INDEXED BY items_by_name WHERE (parent_id, name) > (?, ?) "
                        "ORDER BY parent_id, name LIMIT ?"
                    ),
                    ("p", "n", 1),
                ),
                ("SELECT item FROM trash WHERE item_id = top_id AND seq < ? ORDER BY seq DESC LIMIT ?", (1, 1)),
            )
            rows = [
                ledger.connection.execute(f"EXPLAIN QUERY PLAN {query}", values).fetchall()  # type: ignore[attr-defined]
                for query, values in queries
            ]
            return [" | ".join(str(row[3]) for row in found) for found in rows]

        folders, names, tops = await store.write(plans)
        assert "items_folders" in folders
        assert "items_by_name" in names
        assert "trash_tops" in tops
        assert not [plan for plan in (folders, names, tops) if "TEMP B-TREE" in plan]

    on_store(tmp_path, scenario)


def test_what_one_request_changes_is_limited(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        root = made(None, "")
        folder = made(root, "d")
        await store.write(fill([root, folder], (made(folder, str(number), Kind.FILE) for number in range(10))))
        members = await store.read(lambda view: tree_of(view, folder, 11))
        assert len(members) == 11
        with pytest.raises(Problem, match="too_large"):
            await store.read(lambda view: tree_of(view, folder, 10))
        newest = await store.read(lambda view: view.newest_seq())
        assert await store.read(lambda view: changed_since(view, members, newest)) is False

    on_store(tmp_path, scenario)
