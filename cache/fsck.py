"""Checks a state directory: the laws of the catalog (`cache.invariants`), and those that join it to the blobs.

Nothing is changed here. `check` is for a directory that nobody has open; `examine` for a running store between two
transactions, where open files and requests under way are no faults.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from cache import bundles, contents, items, lock, ranges, tree
from cache.blobs import Blobs
from cache.db import SCHEMA_VERSION
from cache.digest import digest_of_part
from cache.errors import NoDriveHere, StateUnusable
from cache.invariants import LAWS
from cache.model import Content, ContentId
from cache.trouble import trouble

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOB_LAWS = {
    "catalog": "the catalog's own file is whole: SQLite finds neither damage nor a broken reference",
    "item": "what the remote told of an item can be read, and is shown under the name that it must have here",
    "residency": "ranges of a content are decodable, within its size, and sum up to what the row tells",
    "dirty-is-whole": "of bytes that exist nowhere else, all are here",
    "row-has-blob": "a content has its blob",
    "blob-has-row": "a blob has its row, a bundle at least one",
    "blob-size": "a blob of clean bytes is as long as the row tells, and one of dirty bytes too once written down",
    "mark": "a blob of dirty bytes bears the mark that keeps it from being taken for a stray",
    "digest": "clean bytes that are all here hash to the digest that the remote told for them",
}
_HEALS = frozenset({"row-has-blob", "blob-has-row", "blob-size"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach of a law; `heals`: the next mount puts it right by itself."""

    law: str
    subject: str
    detail: str
    heals: bool = False
    content_id: ContentId | None = None

    def __str__(self) -> str:
        return f"{self.law}: {self.subject}: {self.detail}"


def laws() -> dict[str, str]:
    """Every law by name, with the sentence that states it."""
    return {**{law.name: law.sentence for law in LAWS}, **BLOB_LAWS}


def check(directory: Path, *, deep: bool = False) -> list[Finding]:
    """Everything that is wrong with a state directory; `deep` also hashes every whole clean content.

    Raises CacheInUse when a mount has it open, StateUnusable when there is no readable catalog of this version,
    OSError.
    """
    path = directory / "state.db"
    if not path.is_file():
        raise NoDriveHere("no state file there", path=str(path.parent))
    held = lock.take(directory)
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return _catalog(connection, path) or list(
                _findings(connection, Blobs(directory / "blobs"), deep=deep, running=False)
            )
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_READONLY_ROLLBACK:  # only who may write can undo it
            return [Finding("catalog", path.name, "killed while it was made: its beginning is undone", heals=True)]
        if trouble(error).passes:
            raise OSError(f"{path} cannot be read: {error}") from error
        raise StateUnusable(f"the state file cannot be read: {error}", path=str(path)) from error
    finally:
        os.close(held)


def examine(connection: sqlite3.Connection, blobs: Blobs, *, deep: bool = False) -> list[Finding]:
    """What is wrong with the state of a running store; what open files and requests under way explain is left out."""
    return [each for each in _findings(connection, blobs, deep=deep, running=True) if not each.heals]


def _catalog(connection: sqlite3.Connection, path: Path) -> list[Finding]:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != SCHEMA_VERSION:
        raise StateUnusable("the state is of another version", path=str(path), version=version)
    damage = [str(row[0]) for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    damage += [f"{row[0]} refers to a missing {row[2]}" for row in connection.execute("PRAGMA foreign_key_check")]
    return [Finding("catalog", "state.db", each) for each in damage]


def _findings(connection: sqlite3.Connection, blobs: Blobs, *, deep: bool, running: bool) -> Iterator[Finding]:
    for law in LAWS:
        for subject, detail in connection.execute(law.query):
            yield Finding(law.name, str(subject), str(detail), law.heals)
    unreadable = list(_items(connection))
    yield from unreadable
    deep = deep and not unreadable  # a digest stands in such a row
    known: set[ContentId] = set()  # those in bundles have no blob of their own
    for number, bundle in connection.execute("SELECT content_id, bundle FROM content").fetchall():
        known.update([ContentId(number)] if bundle is None else [])
        yield from _content(connection, blobs, ContentId(number), deep=deep, running=running)
    for content_id in blobs.ids():
        if content_id not in known:
            yield _finding("blob-has-row", content_id, "a blob that no row knows")
    for bundle_id in blobs.bundles.ids():
        if not bundles.is_named(connection, bundle_id):
            yield Finding("blob-has-row", f"bundle {bundle_id}", "a bundle that no row knows", heals=True)


def _items(connection: sqlite3.Connection) -> Iterator[Finding]:
    for item_id, shown_name in connection.execute("SELECT item_id, shown_name FROM item"):
        try:
            item = items.get(connection, item_id)
        except (ValueError, KeyError, msgspec.MsgspecError) as error:
            yield Finding("item", str(item_id), str(error))
            continue
        if item is not None and items.shown_name(item) != shown_name:
            yield Finding("item", str(item_id), f"{item.name} shown as {shown_name}")


def _content(
    connection: sqlite3.Connection, blobs: Blobs, content_id: ContentId, *, deep: bool, running: bool
) -> Iterator[Finding]:
    content = contents.get(connection, content_id)
    if content is None:
        return
    yield from _residency(connection, content)
    try:
        size = _length(blobs, content)
    except FileNotFoundError:
        yield _finding("row-has-blob", content_id, "no blob")
        return
    if content.dirty and not blobs.is_marked(content_id):
        yield _finding("mark", content_id, "not marked")
    if size != content.size and not (running and content.dirty):
        yield _finding("blob-size", content_id, f"{size} is not {content.size}")
    elif deep:
        yield from _digest(connection, blobs, content)


def _length(blobs: Blobs, content: Content) -> int:
    """Of its blob, or of what is there of it in its bundle."""
    if content.bundled is None:
        return blobs.size(content.content_id)
    length = blobs.bundles.length(content.bundled.bundle_id) - content.bundled.start
    return min(max(length, 0), content.size)


def _residency(connection: sqlite3.Connection, content: Content) -> Iterator[Finding]:
    held, stored = connection.execute(
        "SELECT held_bytes, resident FROM content WHERE content_id = ?", (content.content_id,)
    ).fetchone()
    try:
        ranges.decode(stored)
    except ValueError as error:
        yield _finding("residency", content.content_id, str(error))
        return
    if held > ranges.total(content.resident):  # less where a local write left holes
        yield _finding("residency", content.content_id, f"{held} is more than {ranges.total(content.resident)}")
    if content.resident and content.resident[-1][1] > content.size:
        yield _finding("residency", content.content_id, f"beyond the size {content.size}")
    if content.dirty and not content.whole:
        yield _finding("dirty-is-whole", content.content_id, f"{content.resident_bytes} of {content.size}")


def _digest(connection: sqlite3.Connection, blobs: Blobs, content: Content) -> Iterator[Finding]:
    if is_as_told(connection, blobs, content.content_id) is False:
        yield _finding("digest", content.content_id, "other bytes than the remote told")


def is_as_told(connection: sqlite3.Connection, blobs: Blobs, content_id: ContentId) -> bool | None:
    """Whether clean bytes that are all here hash to the remote's digest; None where that cannot be said."""
    content = contents.get(connection, content_id)
    node = None if content is None else tree.by_ino(connection, content.ino)
    item = None if node is None or node.item_id is None else items.get(connection, node.item_id)
    if content is None or content.dirty or not content.whole or item is None or item.digest is None:
        return None
    if item.content_version != content.version:
        return None
    if content.size == 0 and node is not None and node.content_id != content_id:
        return None  # nobody's: it was given up, and where there is no byte only that tells
    try:
        fd, start = blobs.open_at(content_id, content.bundled)
    except FileNotFoundError:  # evicted meanwhile, or a finding of its own
        return None
    try:
        return item.digest == digest_of_part(fd, start, None if content.bundled is None else start + content.size)
    finally:
        os.close(fd)


def _finding(law: str, content_id: ContentId, detail: str) -> Finding:
    return Finding(law, f"content {content_id}", detail, heals=law in _HEALS, content_id=content_id)
