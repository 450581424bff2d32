"""The adapter's own tree: which id is where, under which tags it was last seen, and a feed of what changed in it.

Law: answers overtake each other: whoever looks at the server holds a `Look` from before the request on, and what
another look recorded meanwhile is not taken from it. An entry that its folder does not list any more is only `missing`;
gone it is when the server was asked for its id and has none. A listing is one transaction, a long one in a thread:
beside it the trio thread reads the tree as it was before, and whoever wants to write waits for a turn. A file that
cannot be read is begun anew: everything in it can be asked again, but for modes and exact times set here.
"""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, TypeVar

import trio

from cache.model import ItemId, Version
from sync.remote import Tombstone
from sync.remotes.nextcloud.rows import COLUMNS, Entry, entry_of, told_anew, values_of
from sync.remotes.stored_tree import StoredTree, connected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sync.remotes.nextcloud.entries import Seen

T = TypeVar("T")

HERE_MAX_ROWS = 50  # written on the trio thread: a millisecond or two
_PUT = f"INSERT OR REPLACE INTO entry ({', '.join(COLUMNS)}, seq) VALUES ({', '.join('?' * (len(COLUMNS) + 1))})"  # noqa: S608 - names of columns
_LOSE_BELOW = """WITH RECURSIVE below (item_id) AS (
        SELECT item_id FROM entry WHERE NOT gone AND parent_id = ?
        UNION SELECT entry.item_id FROM entry JOIN below ON entry.parent_id = below.item_id WHERE NOT gone)
    UPDATE entry SET missing = 1 WHERE item_id IN (SELECT item_id FROM below)"""
_LIVE = "SELECT * FROM entry WHERE NOT gone AND "


@dataclass(slots=True, eq=False)
class Look:
    """A request for the state of entries; `overtaken`: recorded by others since it was sent."""

    overtaken: set[str] = field(default_factory=set)


class Ledger(StoredTree):
    """Reads are indexed; writes are of what one answer told."""

    def __init__(self, path: Path | None) -> None:
        schema = resources.files(__package__).joinpath("ledger.sql").read_text(encoding="utf-8")
        super().__init__(path, schema, begun_anew=True)
        if path is not None:
            self._reader = connected(path)
            self._reader.execute("PRAGMA query_only = ON")
        self._db.row_factory = self._reader.row_factory = sqlite3.Row
        self._looks: list[Look] = []

    async def _write(self, change: Callable[[], T], *, rows: int) -> T:
        """One transaction. One of many rows is carried out in a thread, beside those who read; in memory there is one
        connection only, on which they would see half of it."""
        if rows <= HERE_MAX_ROWS or self._reader is self._db:
            return await self.write_here(change)

        def transaction() -> T:
            with self.writing():
                return change()

        async with self._turn:
            return await trio.to_thread.run_sync(transaction)

    # --- the feed

    def since(self, seq: int, limit: int) -> list[tuple[int, Entry | Tombstone]]:
        """Newest states after a number, and the number of each, in that order."""
        rows = self._reader.execute("SELECT * FROM entry WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit))
        return [(row["seq"], _state(row)) for row in rows.fetchall()]

    # --- looking

    def get(self, item_id: ItemId) -> Entry | Tombstone | None:
        """What is known of an id."""
        row = self._reader.execute("SELECT * FROM entry WHERE item_id = ?", (item_id,)).fetchone()
        return None if row is None else _state(row)

    def entry(self, item_id: ItemId) -> Entry | None:
        """What is known of an id, if it is there."""
        state = self.get(item_id)
        return state if isinstance(state, Entry) else None

    def root(self) -> Entry | None:
        """The root, once it was seen."""
        row = self._reader.execute(f"{_LIVE} parent_id IS NULL").fetchone()
        return None if row is None else entry_of(row)

    def missing(self) -> list[ItemId]:
        """What left its folder for an unknown place."""
        return [ItemId(row["item_id"]) for row in self._reader.execute(f"{_LIVE} missing").fetchall()]

    def changed_folders(self) -> list[ItemId]:
        """What was listed under another ETag than it has, or is to be listed."""
        rows = self._reader.execute(f"{_LIVE} kind = 'folder' AND listed_etag <> etag AND NOT missing")
        return [ItemId(row["item_id"]) for row in rows.fetchall()]

    def unsettled(self) -> list[Entry]:
        """Files whose ETag does not prove their content yet."""
        return [entry_of(row) for row in self._reader.execute(f"{_LIVE} NOT settled").fetchall()]

    def path(self, item_id: ItemId) -> str | None:
        """Where an entry is below the root, without a slash at either end; None: unknown."""
        names = self.names(item_id)
        return None if names is None else "/".join(names)

    def at(self, path: str) -> Entry | None:
        """What was last seen at a path."""
        entry = self.root()
        for name in filter(None, path.split("/")):
            if entry is None:
                return None
            row = self._reader.execute(
                f"{_LIVE} parent_id = ? AND name = ? ORDER BY missing, seq DESC", (entry.item_id, name)
            ).fetchone()
            entry = None if row is None else entry_of(row)
        return entry

    @contextmanager
    def looking(self) -> Iterator[Look]:
        """Around a request and the recording of its answer."""
        look = Look()
        self._looks.append(look)
        try:
            yield look
        finally:
            self._looks.remove(look)

    # --- recording

    async def record(self, told: Seen, parent: ItemId | None, now_s: int, look: Look) -> Entry:
        """An entry as it was told; as it is known, when somebody else recorded it since the question was sent."""
        others = self._others(look)
        return (await self.write_here(lambda: self._record([(told, parent)], now_s, look, others)))[0]

    async def record_listing(self, folder: Seen, children: Sequence[Seen], now_s: int, look: Look) -> list[Entry]:
        """All children of a folder. What was in it and is not told now is missing."""
        folder_id, others = ItemId(folder.file_id), self._others(look)

        def change() -> list[Entry]:
            rows = self._db.execute(
                "SELECT item_id FROM entry WHERE NOT gone AND parent_id = ? AND NOT missing", (folder_id,)
            )
            before = {row["item_id"] for row in rows.fetchall()}
            entries = self._record([(child, folder_id) for child in children], now_s, look, others)
            lost = before - {entry.item_id for entry in entries} - look.overtaken
            self._db.executemany("UPDATE entry SET missing = 1 WHERE item_id = ?", [(each,) for each in lost])
            listed = "" if look.overtaken & before else folder.etag
            self._db.execute("UPDATE entry SET listed_etag = ? WHERE item_id = ?", (listed, folder_id))
            return [entry for entry in entries if entry.parent_id == folder_id]

        return await self._write(change, rows=len(children))

    async def keep(self, item_id: ItemId, *, mode: int, mtime_ns: int) -> None:
        """Mode and exact time as set here, which the server does not keep."""
        await self._update("mode = ?, mtime_ns = ?, kept_at_s = mtime_s", item_id, mode, mtime_ns)

    async def keep_version(self, item_id: ItemId, version: Version | None) -> None:
        """The content is the same though its tags changed: its token stays."""
        await self._update("version = ?", item_id, version)

    async def bring_in(self, item_id: ItemId) -> None:
        """A folder that nobody listed holds something known: a walk lists it, and comes by there."""
        to_be_listed, entry = [item_id], self.entry(item_id)
        while entry is not None and entry.parent_id is not None:
            entry = self.entry(entry.parent_id)
            if entry is not None and entry.listed_etag is None:
                to_be_listed.append(entry.item_id)
        for each in to_be_listed:
            await self._update("listed_etag = ''", each)

    async def bury(self, item_ids: Sequence[ItemId], look: Look) -> None:
        """The server was asked for these and has none of them: they are gone, except what somebody else saw since. What
        was below them is missing."""
        others = self._others(look)

        def change() -> None:
            for item_id in item_ids:
                if item_id in look.overtaken:
                    continue
                buried = self._db.execute(
                    "UPDATE entry SET gone = 1, missing = 0, settled = 1, seq = ? WHERE item_id = ? AND NOT gone",
                    (self.next(), item_id),
                )
                if buried.rowcount:
                    self._db.execute(_LOSE_BELOW, (item_id,))
                    _overtake(item_id, others)

        await self._write(change, rows=HERE_MAX_ROWS + 1)  # a folder may have held any number

    async def begin_epoch(self, fingerprint: str) -> None:
        """The server's data are other data: every anchor is foreign from here on, and every folder to be listed."""
        epoch, before = secrets.token_hex(6), self.epoch

        def change() -> None:
            self.set_fact("epoch", epoch)
            self.set_fact("lost_epoch", before)
            self.set_fact("fingerprint", fingerprint)
            self._db.execute("UPDATE entry SET listed_etag = '' WHERE listed_etag IS NOT NULL")

        await self._write(change, rows=HERE_MAX_ROWS + 1)
        self.epoch = epoch

    async def forget_oldest(self) -> None:
        """As `prune`."""
        floor = self.to_prune()
        if floor is not None:
            await self._write(lambda: self.forget_to(floor), rows=HERE_MAX_ROWS + 1)

    # --- what is no entry

    @property
    def fingerprint(self) -> str | None:
        """The server's, when it was last looked at."""
        return self.fact("fingerprint")

    async def note_fingerprint(self, fingerprint: str) -> None:
        """As first told."""
        await self.write_here(lambda: self.set_fact("fingerprint", fingerprint))

    def upload(self, upload_id: str) -> ItemId | None:
        """The file that an upload became."""
        row = self._reader.execute("SELECT committed FROM upload WHERE id = ?", (upload_id,)).fetchone()
        return None if row is None else row["committed"]

    async def note_upload(self, upload_id: str, item_id: ItemId) -> None:
        """It became a file."""
        await self.write_here(
            lambda: self._db.execute("INSERT OR REPLACE INTO upload VALUES (?, ?)", (upload_id, item_id))
        )

    # --- inside

    def _record(
        self, told: Sequence[tuple[Seen, ItemId | None]], now_s: int, look: Look, others: Sequence[Look]
    ) -> list[Entry]:
        entries: list[Entry] = []
        for seen, parent in told:
            row = self._db.execute("SELECT * FROM entry WHERE item_id = ?", (seen.file_id,)).fetchone()
            known = None if row is None or row["gone"] else entry_of(row)
            if known is not None and seen.file_id in look.overtaken:
                entries.append(known)
                continue
            fresh, news = told_anew(known, seen, parent, now_s)
            if fresh != known or row["missing"]:
                self._db.execute(_PUT, (*values_of(fresh), self.next() if news else row["seq"]))
            entries.append(fresh)
            _overtake(fresh.item_id, others)
        return entries

    async def _update(self, fields: str, item_id: ItemId, *values: object) -> None:
        """What is no news."""
        await self.write_here(
            lambda: self._db.execute(f"UPDATE entry SET {fields} WHERE item_id = ?", (*values, item_id))  # noqa: S608 - written here
        )

    def _others(self, look: Look) -> list[Look]:
        """Those that are under way by now; one that begins later asks for what is newer than this answer."""
        return [other for other in self._looks if other is not look]


def _overtake(item_id: ItemId, looks: Sequence[Look]) -> None:
    for look in looks:
        look.overtaken.add(item_id)


def _state(row: sqlite3.Row) -> Entry | Tombstone:
    if row["gone"]:
        return Tombstone(item_id=ItemId(row["item_id"]), parent_id=row["parent_id"])
    return entry_of(row)
