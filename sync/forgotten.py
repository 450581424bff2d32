"""Whether the remote has lost changes that it told, as one that was put back to a backup has.

From when it says so until everything that is known here was compared, a version here that the remote does not show may
be the last copy of what it lost. What others changed in that time cannot be told from it: a copy too many, no loss.
The note of it is durable: a comparison that breaks off is gone on with by the next one.

An answer to something else may be the first word of it, before the feed is read again: who is about to take in another
version than the one that is here asks the feed first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cache import contents, items, tree
from cache.db import get_meta, set_meta
from cache.model import Anchor, Item
from sync.remote import AnchorExpired

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from cache.store import LocalStore
    from sync.remote import Remote, Tombstone

_NOTE: Final = "changes_lost"


async def begin(store: LocalStore) -> None:
    """The remote says that it lost what it had told."""
    await store.db.write(lambda connection: set_meta(connection, _NOTE, "yes"))
    await store.save()  # what is held of each file is looked at


async def ask_before(store: LocalStore, remote: Remote, told: Iterable[Item | Tombstone | None]) -> None:
    """Before an answer is taken in that takes bytes away that are here; raises RemoteError."""
    reader, anchor = store.db.reader, get_meta(store.db.reader, "anchor")
    if anchor is None or under_way(reader) or not any(_takes_away(reader, each) for each in told):
        return
    try:
        await remote.changes(Anchor(anchor))  # the puller takes in what it tells
    except AnchorExpired as expired:
        if expired.lost:
            await begin(store)


def _takes_away(connection: sqlite3.Connection, told: Item | Tombstone | None) -> bool:
    node = None if told is None else tree.by_item(connection, told.item_id)
    held = None if node is None or node.content_id is None else contents.get(connection, node.content_id)
    if held is None or held.dirty:
        return False
    return not isinstance(told, Item) or held.version != told.content_version


def under_way(connection: sqlite3.Connection) -> bool:
    """Whether something may still be shown here that it lost."""
    return get_meta(connection, _NOTE) is not None


def end_if_compared(connection: sqlite3.Connection) -> None:
    """After a comparison: it ends when nothing is left to be asked for."""
    if not items.doubtful(connection, 1):
        connection.execute("DELETE FROM meta WHERE key = ?", (_NOTE,))
