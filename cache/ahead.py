"""What comes next in a walk through the local tree: reads only, each bounded, fit for the trio thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache.model import Ino

if TYPE_CHECKING:
    import sqlite3

_FOLDERS = 64  # looked through in one step
_SCAN = 1000  # entries looked at in one step, however many of them are here already
_BARE = """SELECT ino, size, kind = 'file' AND item_id IS NOT NULL AND content_id IS NULL AND size BETWEEN 1 AND ?,
                  name
           FROM node WHERE parent = ? AND {key} > ? ORDER BY {key} LIMIT ?"""
_BY_INO, _BY_NAME = _BARE.format(key="ino"), _BARE.format(key="name")


@dataclass(frozen=True, slots=True)
class Place:
    """In a folder, behind a file: by inode number, or by name."""

    folder: Ino
    after: int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one look ahead may find at most."""

    count: int
    total_bytes: int
    each_bytes: int


def gather(
    connection: sqlite3.Connection, start: Place, top: Ino | None, budget: Budget
) -> tuple[list[Ino], Place | None]:
    """The next placeholders, and where to go on; None: there is nothing beyond.

    Without `top` only those of the same folder, with it those of the folders that follow within `top` too.
    """
    chosen: list[Ino] = []
    room_bytes = budget.total_bytes
    place: Place | None = start
    for _ in range(_FOLDERS):
        if place is None or len(chosen) == budget.count:
            break
        rows = _scan(connection, place, budget.each_bytes)
        for ino, size, bare, name in rows:
            if bare and (size > room_bytes or len(chosen) == budget.count):
                return chosen, place
            if bare:
                chosen.append(Ino(ino))
                room_bytes -= size
            place = Place(place.folder, name if isinstance(place.after, str) else ino)
        if len(rows) < _SCAN:
            place = None if top is None else _beyond(connection, place, top)
    return chosen, place


def _scan(connection: sqlite3.Connection, place: Place, each_bytes: int) -> list[tuple[int, int, int, str]]:
    sql = _BY_NAME if isinstance(place.after, str) else _BY_INO
    return connection.execute(sql, (each_bytes, place.folder, place.after, _SCAN)).fetchall()


def _beyond(connection: sqlite3.Connection, place: Place, top: Ino) -> Place | None:
    folder = next_folder(connection, place.folder, top)
    return None if folder is None else Place(folder, "" if isinstance(place.after, str) else 0)


def next_folder(connection: sqlite3.Connection, folder: Ino, top: Ino) -> Ino | None:
    """The folder that a walk in depth comes to after `folder`, within `top`."""
    below = _folder_after(connection, folder, 0)
    current = folder
    while below is None and current != top:
        row = connection.execute("SELECT parent FROM node WHERE ino = ?", (current,)).fetchone()
        if row is None or row[0] is None:
            return None
        below, current = _folder_after(connection, Ino(row[0]), current), Ino(row[0])
    return below


def lineage(connection: sqlite3.Connection, ino: Ino) -> tuple[Ino, ...]:
    """A folder, its parent, and so on up to the root."""
    found: list[Ino] = []
    current: int | None = ino
    while current is not None:
        found.append(Ino(current))
        row = connection.execute("SELECT parent FROM node WHERE ino = ?", (current,)).fetchone()
        current = None if row is None else row[0]
    return tuple(found)


def _folder_after(connection: sqlite3.Connection, parent: Ino, after: int) -> Ino | None:
    row = connection.execute(
        "SELECT ino FROM node INDEXED BY node_folders WHERE parent = ? AND kind = 'folder' AND ino > ? "
        "ORDER BY ino LIMIT 1",
        (parent, after),
    ).fetchone()
    return None if row is None else Ino(row[0])
