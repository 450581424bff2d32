"""Listing a folder page by page, and its link count."""

from __future__ import annotations

import sqlite3
from importlib import resources
from typing import TYPE_CHECKING

import pytest

from cache import bulk, tree
from cache.model import Ino, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = 500  # more than two pages
FOLDERS = 3
TOP = Ino(1)


@pytest.fixture
def catalog() -> Iterator[sqlite3.Connection]:
    """One folder with files and some folders."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(resources.files("cache").joinpath("schema.sql").read_text(encoding="utf-8"))
    insert = "INSERT INTO node (parent, name, kind, size, mode, mtime_ns, ctime_ns) VALUES (?, ?, ?, 0, 420, 0, 0)"
    connection.execute(insert, (None, "", "folder"))
    connection.executemany(insert, [(TOP, f"file-{number}", "file") for number in range(FILES)])
    connection.executemany(insert, [(TOP, f"folder-{number}", "folder") for number in range(FOLDERS)])
    yield connection
    connection.close()


def test_every_child_comes_once_and_in_order_across_pages(catalog: sqlite3.Connection) -> None:
    numbers = [node.ino for node in tree.children(catalog, TOP)]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == FILES + FOLDERS


def test_a_listing_goes_on_after_any_child(catalog: sqlite3.Connection) -> None:
    everything = list(tree.children(catalog, TOP))
    for at in (0, 207, 208, 209, FILES + FOLDERS - 1):
        assert list(tree.children(catalog, TOP, everything[at].ino)) == everything[at + 1 :]


def test_a_child_removed_between_two_pages_is_not_told(catalog: sqlite3.Connection) -> None:
    listing = tree.children(catalog, TOP)
    first = next(listing)
    last = list(tree.children(catalog, TOP))[-1]
    catalog.execute("DELETE FROM node WHERE ino = ?", (last.ino,))
    assert last.ino not in {first.ino, *(node.ino for node in listing)}


def test_folders_are_counted_without_seeing_the_files(catalog: sqlite3.Connection) -> None:
    assert tree.count_folders(catalog, TOP) == FOLDERS
    asked: list[str] = []
    catalog.set_trace_callback(asked.append)
    tree.count_folders(catalog, TOP)
    catalog.set_trace_callback(None)
    plan = catalog.execute(f"EXPLAIN QUERY PLAN {asked[0]}").fetchall()
    assert "INDEX node_folders" in plan[0][3], plan


def test_nodes_say_what_the_catalog_holds(catalog: sqlite3.Connection) -> None:
    node = tree.child(catalog, TOP, "folder-1")
    assert node is not None
    assert (node.parent, node.kind, node.mode, node.listed, node.writable) == (TOP, Kind.FOLDER, 420, False, True)


def test_paths_of_a_ring_come_to_an_end(catalog: sqlite3.Connection) -> None:
    """It must never be; but who is told of it must not be gone round in for ever either."""
    first, second, third = (node.ino for node in tree.children(catalog, TOP) if node.kind is Kind.FOLDER)
    catalog.execute("UPDATE node SET parent = ? WHERE ino = ?", (second, first))
    catalog.execute("UPDATE node SET parent = ? WHERE ino = ?", (first, second))
    steps = iter(range(300))  # far more than it takes to look 4,096 folders up
    catalog.set_progress_handler(lambda: next(steps, -1) < 0, 1000)
    assert bulk.paths(catalog, [first, third]) == {third: "/folder-2"}
    assert tree.path_of(catalog, first).startswith("?/")
