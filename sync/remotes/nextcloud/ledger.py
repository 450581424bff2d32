"""The adapter's own tree: which id is where, under which tags it was last seen, and a feed of what changed in it.

Law: an anchor is (epoch, place in the feed) of this ledger, so a page can be told again after a crash, and a ledger
that was lost makes every anchor a foreign one. Answers overtake each other: whoever looks at the server holds a `Look`
from before the request on, and what another look recorded meanwhile is not taken from it. An entry that its folder
does not list any more is only `missing`; gone it is when the server was asked for its id and has none.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cache.model import Anchor, ItemId, Kind, Version
from sync.remote import AnchorExpired, Tombstone
from sync.remotes.nextcloud.ledger_file import LedgerFile
from sync.remotes.nextcloud.rows import COLUMNS, Entry, entry_of, told_anew, values_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from sync.remotes.nextcloud.entries import Seen

TOMBSTONES_KEPT = 50_000  # places in the feed: whoever asks for ids of longer ago is told that they are unknown
_PUT = f"INSERT OR REPLACE INTO entry ({', '.join(COLUMNS)}, seq) VALUES ({', '.join('?' * (len(COLUMNS) + 1))})"  # noqa: S608 - names of columns
_LIVE = "SELECT * FROM entry WHERE NOT gone AND "


@dataclass(slots=True, eq=False)
class Look:
    """A request for the state of entries; `overtaken`: recorded by others since it was sent."""

    overtaken: set[str] = field(default_factory=set)


class Ledger(LedgerFile):
    """Reads are indexed; writes are of what one answer told."""

    def __init__(self, path: Path | None) -> None:
        super().__init__(path)
        self._looks: list[Look] = []

    # --- the feed

    def anchor(self, seq: int | None = None) -> Anchor:
        """Of a place, or of the newest."""
        return Anchor(f"{self.epoch}.{self.seq if seq is None else seq}")

    def place_of(self, anchor: Anchor) -> int:
        """The place that an anchor stands for; AnchorExpired when it is of another ledger."""
        epoch, _, seq = anchor.rpartition(".")
        if epoch != self.epoch or not seq.isdecimal() or int(seq) > self.seq:
            raise AnchorExpired("the server's files were told apart anew", fresh=self.anchor())
        return int(seq)

    def since(self, seq: int, limit: int) -> list[Entry | Tombstone]:
        """Newest states after a place, in feed order."""
        rows = self._db.execute("SELECT * FROM entry WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit))
        return [_state(row) for row in rows.fetchall()]

    def seq_of(self, item_id: ItemId) -> int:
        """An entry's place."""
        return int(self._db.execute("SELECT seq FROM entry WHERE id = ?", (item_id,)).fetchone()[0])

    # --- looking

    def get(self, item_id: ItemId) -> Entry | Tombstone | None:
        """What is known of an id."""
        row = self._db.execute("SELECT * FROM entry WHERE id = ?", (item_id,)).fetchone()
        return None if row is None else _state(row)

    def entry(self, item_id: ItemId) -> Entry | None:
        """What is known of an id, if it is there."""
        state = self.get(item_id)
        return state if isinstance(state, Entry) else None

    def root(self) -> Entry | None:
        """The root, once it was seen."""
        row = self._db.execute(f"{_LIVE} parent IS NULL").fetchone()
        return None if row is None else entry_of(row)

    def children(self, item_id: ItemId) -> list[Entry]:
        """What was last seen in a folder."""
        rows = self._db.execute(f"{_LIVE} parent = ? AND NOT missing", (item_id,))
        return [entry_of(row) for row in rows.fetchall()]

    def below(self, item_id: ItemId) -> list[Entry]:
        """Everything known below a folder, parents first."""
        found, queue = list[Entry](), [item_id]
        while queue:
            for row in self._db.execute(f"{_LIVE} parent = ?", (queue.pop(0),)).fetchall():
                found.append(entry_of(row))
                queue += [found[-1].id] if found[-1].kind is Kind.FOLDER else []
        return found

    def missing(self) -> list[ItemId]:
        """What left its folder for an unknown place."""
        return [ItemId(row["id"]) for row in self._db.execute(f"{_LIVE} missing").fetchall()]

    def unsettled(self) -> list[Entry]:
        """Files whose ETag does not prove their content yet."""
        return [entry_of(row) for row in self._db.execute(f"{_LIVE} NOT settled").fetchall()]

    def path(self, item_id: ItemId) -> str | None:
        """Where an entry is below the root, without a slash at either end; None: unknown."""
        names: list[str] = []
        for _ in range(1000):
            entry = self.entry(item_id)
            if entry is None:
                return None
            if entry.parent is None:
                return "/".join(reversed(names))
            names.append(entry.name)
            item_id = entry.parent
        return None

    def at(self, path: str) -> Entry | None:
        """What was last seen at a path."""
        entry = self.root()
        for name in filter(None, path.split("/")):
            if entry is None:
                return None
            row = self._db.execute(
                f"{_LIVE} parent = ? AND name = ? ORDER BY missing, seq DESC", (entry.id, name)
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

    def record(self, told: Seen, parent: ItemId | None, now_s: int, look: Look) -> Entry:
        """An entry as it was told; as it is known, when somebody else recorded it since the question was sent."""
        return self._record([(told, parent)], now_s, look)[0]

    def record_listing(self, folder: Seen, children: Sequence[Seen], now_s: int, look: Look) -> list[Entry]:
        """All children of a folder. What was in it and is not told now is missing."""
        folder_id = ItemId(folder.file_id)
        with self._transaction():
            before = {entry.id for entry in self.children(folder_id)}
            entries = self._record([(child, folder_id) for child in children], now_s, look)
            lost = before - {entry.id for entry in entries} - look.overtaken
            self._db.executemany("UPDATE entry SET missing = 1 WHERE id = ?", [(each,) for each in lost])
            clean = not look.overtaken & before
            self._db.execute("UPDATE entry SET listed_etag = ? WHERE id = ?", (folder.etag if clean else "", folder_id))
        return [entry for entry in entries if entry.parent == folder_id]

    def keep(self, item_id: ItemId, *, mode: int, mtime_ns: int) -> None:
        """Mode and exact time as set here, which the server does not keep."""
        self._db.execute(
            "UPDATE entry SET mode = ?, mtime_ns = ?, kept_at_s = mtime_s WHERE id = ?", (mode, mtime_ns, item_id)
        )

    def keep_version(self, item_id: ItemId, version: Version | None) -> None:
        """The content is the same though its tags changed: its token stays."""
        self._db.execute("UPDATE entry SET version = ? WHERE id = ?", (version, item_id))

    def lose(self, item_id: ItemId) -> None:
        """Where it is has to be asked."""
        self._db.execute("UPDATE entry SET missing = 1 WHERE id = ? AND NOT gone", (item_id,))

    def bring_in(self, item_id: ItemId) -> None:
        """A folder that nobody listed holds something known: a walk lists it."""
        with self._transaction():
            self.to_be_listed(item_id)
            self._reach(item_id)

    def to_be_listed(self, item_id: ItemId) -> None:
        """Something in this folder is known, but not everything."""
        self._db.execute("UPDATE entry SET listed_etag = '' WHERE id = ?", (item_id,))

    def bury(self, item_ids: Iterable[ItemId], look: Look) -> list[Tombstone]:
        """These are gone, except what somebody else saw since."""
        told: list[Tombstone] = []
        with self._transaction():
            for item_id in item_ids:
                entry = self.entry(item_id)
                if entry is not None and item_id not in look.overtaken:
                    self._db.execute(
                        "UPDATE entry SET gone = 1, missing = 0, settled = 1, seq = ? WHERE id = ?",
                        (self._next(), item_id),
                    )
                    told.append(Tombstone(item_id=item_id, parent_id=entry.parent))
                    self._overtake(item_id, look)
            self._db.execute("DELETE FROM entry WHERE gone AND seq < ?", (self.seq - TOMBSTONES_KEPT,))
        return told

    def begin_epoch(self, fingerprint: str) -> None:
        """The server's data are other data: every anchor is foreign from here on, and every folder to be listed."""
        with self._transaction():
            self._set("epoch", secrets.token_hex(8))
            self._set("fingerprint", fingerprint)
            self._db.execute("UPDATE entry SET listed_etag = '' WHERE listed_etag IS NOT NULL")
        self.epoch = self._fact("epoch")

    # --- inside

    def _record(self, told: Sequence[tuple[Seen, ItemId | None]], now_s: int, look: Look) -> list[Entry]:
        entries: list[Entry] = []
        with self._transaction():
            newest = self.seq
            for seen, parent in told:
                row = self._db.execute("SELECT * FROM entry WHERE id = ?", (seen.file_id,)).fetchone()
                known = None if row is None or row["gone"] else entry_of(row)
                if known is not None and seen.file_id in look.overtaken:
                    entries.append(known)
                    continue
                fresh, news = told_anew(known, seen, parent, now_s)
                newest += news
                if fresh != known or row["missing"]:
                    self._db.execute(_PUT, (*values_of(fresh), newest if news else row["seq"]))
                entries.append(fresh)
                self._overtake(fresh.id, look)
            self._set("seq", str(newest))
        return entries

    def _reach(self, item_id: ItemId) -> None:
        """A walk has to come by here: the folders above are to be listed too, if they never were."""
        entry = self.entry(item_id)
        while entry is not None and entry.parent is not None:
            entry = self.entry(entry.parent)
            if entry is not None and entry.listed_etag is None:
                self.to_be_listed(entry.id)

    def _overtake(self, item_id: ItemId, look: Look) -> None:
        for other in self._looks:
            if other is not look:
                other.overtaken.add(item_id)


def _state(row: sqlite3.Row) -> Entry | Tombstone:
    if row["gone"]:
        return Tombstone(item_id=ItemId(row["id"]), parent_id=row["parent"])
    return entry_of(row)
