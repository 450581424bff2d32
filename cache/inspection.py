"""What a state directory holds, told without changing it, whether a mount has it open or not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache import contents, fsck, tree
from cache.blobs import Blobs
from cache.db import SCHEMA_VERSION, get_meta
from cache.errors import NoDriveHere, StateUnusable
from cache.model import ContentId, Ino
from cache.pinfile import PinFile
from cache.rescue import kept_files

if TYPE_CHECKING:
    from pathlib import Path

LARGEST = 5


@dataclass(frozen=True, slots=True)
class Held:
    """A file and what it takes."""

    path: str
    held_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """As the catalog says; a mount may know a little more. Sizes in bytes."""

    url: str
    entries: int
    whole_files: int
    partial_files: int
    held_bytes: int
    dirty_bytes: int  # of files that the server does not have yet
    unsent_changes: int
    pins: int
    rescued_files: int  # unsent bytes that lost their place
    set_aside_files: int  # the losing side of what was decided
    largest: list[Held]
    verified_files: int | None  # None: not asked for
    damaged: list[str]  # paths


def inspect(directory: Path, *, verify: bool = False) -> Inspection:
    """Look; `verify` also hashes every whole clean content. Raises StateUnusable."""
    path = directory / "state.db"
    if not path.is_file():
        raise NoDriveHere("no state file there", path=str(path.parent))
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != SCHEMA_VERSION:
                raise StateUnusable("the state is of another version", path=str(path), version=version)
            return _inspect(connection, directory, verify=verify)
    except sqlite3.DatabaseError as error:
        raise StateUnusable(f"the state file cannot be read: {error}", path=str(path)) from error


def _inspect(connection: sqlite3.Connection, directory: Path, *, verify: bool) -> Inspection:
    usage = contents.usage(connection)
    whole, partial = connection.execute(
        """SELECT coalesce(sum(held_bytes >= size), 0), coalesce(sum(held_bytes < size), 0)
           FROM content WHERE held_bytes > 0"""
    ).fetchone()
    verified, damaged = _verify(connection, Blobs(directory / "blobs")) if verify else (None, [])
    return Inspection(
        url=get_meta(connection, "url") or "",
        entries=_count(connection, "node"),
        whole_files=whole,
        partial_files=partial,
        held_bytes=usage.held_bytes,
        dirty_bytes=usage.dirty_bytes,
        unsent_changes=_count(connection, "journal"),
        pins=len(PinFile(directory).load(only_look=True)[1]),
        rescued_files=kept_files(directory / "rescued"),
        set_aside_files=kept_files(directory / "set-aside"),
        largest=_largest(connection),
        verified_files=verified,
        damaged=damaged,
    )


def _count(connection: sqlite3.Connection, table: str) -> int:
    (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608  # a name of ours
    return int(count)


def _largest(connection: sqlite3.Connection) -> list[Held]:
    rows = connection.execute(
        "SELECT ino, held_bytes FROM content WHERE held_bytes > 0 ORDER BY held_bytes DESC LIMIT ?", (LARGEST,)
    ).fetchall()
    return [Held(tree.path_of(connection, Ino(ino)), held) for ino, held in rows]


def _verify(connection: sqlite3.Connection, blobs: Blobs) -> tuple[int, list[str]]:
    """How many were read, and the paths of those with other bytes than the remote told."""
    verified, damaged = 0, []
    for (number,) in connection.execute("SELECT content_id FROM content WHERE dirty = 0 AND held_bytes > 0").fetchall():
        same = fsck.is_as_told(connection, blobs, ContentId(number))
        verified += same is not None
        if same is False:
            (ino,) = connection.execute("SELECT ino FROM content WHERE content_id = ?", (number,)).fetchone()
            damaged.append(tree.path_of(connection, Ino(ino)))
    return verified, damaged
