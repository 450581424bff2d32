"""The adapter's own stored tree: what the server last told, and the feed made of it.

Every change of a row gets the next number, `seq`: so the rows after a number are the feed after an anchor, and a row's
number is its metadata_version. A row's content gets a new number whenever the bytes may have changed. What this machine
set and the server does not keep (the mode, the exact time) stands as long as the content is the same. All of it runs
on the trio thread: a row costs tens of microseconds. A commit survives the death of the process.
"""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import msgspec

from cache.model import Anchor, ItemId, Kind
from sync.remote import AnchorExpired, Tombstone
from sync.remotes.dav.facts import FILE_MODE, FOLDER_MODE, Entry, Facts, same_content, words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cache.model import Item

FIELDS = Entry.__struct_fields__
_COLUMNS = ", ".join(FIELDS)
_PUT = f"INSERT OR REPLACE INTO entry ({_COLUMNS}) VALUES ({', '.join('?' * len(FIELDS))})"  # noqa: S608
_BOOLS = ("handed_out", "listed", "gone")
TOMBSTONES_MAX = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """What this machine sent."""

    mode: int
    mtime_ns: int
    digest: str | None = None


class Mirror:
    """The stored tree at `path` (None: in memory, for one process)."""

    def __init__(self, path: Path | None) -> None:
        self._db = sqlite3.connect(":memory:" if path is None else path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._depth = 0
        if self._db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            self._db.executescript(resources.files(__package__).joinpath("schema.sql").read_text(encoding="utf-8"))
            self.set_fact("epoch", secrets.token_hex(6))
        self.epoch = self.fact("epoch") or ""
        self._seq = int(self.fact("seq") or "0")

    def close(self) -> None:
        """Give the file back."""
        self._db.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction; no await inside. Nests."""
        if not self._depth:
            self._db.execute("BEGIN IMMEDIATE")
        self._depth += 1
        try:
            yield
        except BaseException:
            self._depth -= 1
            if not self._depth:
                self._db.execute("ROLLBACK")
                self._seq = int(self.fact("seq") or "0")
            raise
        self._depth -= 1
        if not self._depth:
            self.set_fact("seq", str(self._seq))
            self._db.execute("COMMIT")

    # --- single facts

    def fact(self, name: str) -> str | None:
        """What was kept under a name."""
        row = self._db.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_fact(self, name: str, value: str) -> None:
        """Keep it."""
        self._db.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, value))

    # --- rows

    def entries(self, where: str, *values: object) -> list[Entry]:
        """The rows that fit a condition written in this package."""
        return [_entry(row) for row in self._db.execute(f"SELECT {_COLUMNS} FROM entry WHERE {where}", values)]  # noqa: S608

    def _one(self, where: str, *values: object) -> Entry | None:
        found = self.entries(f"{where} LIMIT 1", *values)
        return found[0] if found else None

    def get(self, item_id: ItemId) -> Entry | None:
        """A row, a tombstone's too."""
        return self._one("item_id = ?", item_id)

    def root(self) -> Entry | None:
        """The root, once it was seen."""
        return self._one("parent_id IS NULL AND gone = 0")

    def child(self, parent_id: ItemId, name: str) -> Entry | None:
        """What has a name in a folder."""
        return self._one("parent_id = ? AND name = ? AND gone = 0", parent_id, name)

    def children(self, parent_id: ItemId) -> list[Entry]:
        """Everything known in a folder."""
        return self.entries("parent_id = ? AND gone = 0", parent_id)

    def native(self, native_id: str) -> Entry | None:
        """By the server's own id; what is there before what was."""
        return self._one("native_id = ? ORDER BY gone", native_id)

    def names(self, item_id: ItemId) -> tuple[str, ...] | None:
        """The names from the root down; None when it, or a folder above, is gone."""
        names: list[str] = []
        current: ItemId | None = item_id
        while current is not None:
            row = self._db.execute("SELECT parent_id, name, gone FROM entry WHERE item_id = ?", (current,)).fetchone()
            if row is None or row[2]:
                return None
            current = row[0]
            if current is not None:
                names.append(row[1])
        return tuple(reversed(names))

    def is_below(self, item_id: ItemId, ancestor: ItemId) -> bool:
        """Whether a row is `ancestor`, or somewhere in it."""
        entry = self.get(item_id)
        while entry is not None and entry.item_id != ancestor:
            entry = None if entry.parent_id is None else self.get(entry.parent_id)
        return entry is not None

    def next(self) -> int:
        """The number of the next change."""
        self._seq += 1
        return self._seq

    def put(self, entry: Entry) -> Entry:
        """Write a row as it is."""
        with self.writing():
            self._db.execute(_PUT, tuple(getattr(entry, name) for name in FIELDS))
        return entry

    def change(self, entry: Entry, **fields: Any) -> Entry:  # noqa: ANN401 - the fields of a row
        """Write a row with a change that is news."""
        with self.writing():
            return self.put(msgspec.structs.replace(entry, **fields, seq=self.next()))

    def note(self, entry: Entry, **fields: Any) -> Entry:  # noqa: ANN401 - the fields of a row
        """Write a row with a change that concerns nobody else."""
        return self.put(msgspec.structs.replace(entry, **fields))

    # --- what the server tells

    def add(
        self, parent_id: ItemId | None, name: str, told: Facts, *, ours: Ours | None = None, item_id: str | None = None
    ) -> Entry:
        """Something that was not known."""
        seq = self.next()
        mode = FOLDER_MODE if told.kind is Kind.FOLDER else FILE_MODE
        return self.put(
            Entry(
                item_id=ItemId(item_id or f"i{seq}-{self.epoch}"),
                parent_id=parent_id,
                name=name,
                kind=told.kind,
                size=told.size,
                mode=mode if ours is None else ours.mode,
                mtime_ns=told.mtime_ns if ours is None else ours.mtime_ns,
                server_mtime_ns=told.mtime_ns,
                ctime_ns=told.ctime_ns,
                tag=told.tag,
                content=seq,
                digest=told.digest if ours is None else ours.digest,
                settles_s=told.settles_s,
                handed_out=ours is not None,
                permitted=words(told.permitted),
                native_id=told.native_id,
                listed=False,
                token=None,
                seq=seq,
                gone=False,
            )
        )

    def refresh(self, entry: Entry, told: Facts) -> Entry:
        """Something known was seen at its place; a change of its folder tag or settling time is no news."""
        same = same_content(entry, told)
        fields: dict[str, Any] = {"permitted": words(told.permitted), "native_id": told.native_id}
        if not same:
            fields |= {"content": self._seq + 1, "digest": told.digest, "handed_out": False}
            fields |= {"size": told.size, "settles_s": told.settles_s}
        elif told.digest is not None:
            fields["digest"] = told.digest
        if entry.kind is Kind.FILE and (not same or told.mtime_ns != entry.server_mtime_ns):
            fields["mtime_ns"] = told.mtime_ns
        quiet = {"tag": told.tag, "server_mtime_ns": told.mtime_ns}
        if any(getattr(entry, name) != value for name, value in fields.items()):
            return self.change(entry, **fields, **quiet)
        if any(getattr(entry, name) != value for name, value in quiet.items()):
            return self.note(entry, **quiet)
        return entry

    def wrote(self, entry: Entry, told: Facts, ours: Ours) -> Entry:
        """New content of ours stands there."""
        return self.change(
            entry, content=self._seq + 1, size=told.size, tag=told.tag, digest=ours.digest, mode=ours.mode,
            mtime_ns=ours.mtime_ns, server_mtime_ns=told.mtime_ns, settles_s=told.settles_s, handed_out=True,
            native_id=told.native_id, permitted=words(told.permitted),
        )  # fmt: skip

    def bury(self, entry: Entry) -> None:
        """It is gone, with all that it held."""
        with self.writing():
            for child in self.children(entry.item_id) if entry.kind is Kind.FOLDER else ():
                self.bury(child)
            self.change(entry, gone=True, listed=False)

    # --- the feed

    def newest(self) -> Anchor:
        """Where the feed stands."""
        return self.anchor(self._seq)

    def anchor(self, seq: int) -> Anchor:
        """The position after a number."""
        return Anchor(f"{self.epoch}.{seq}")

    def position(self, anchor: Anchor) -> int:
        """The number that an anchor of ours stands for; AnchorExpired."""
        epoch, _, number = anchor.partition(".")
        fits = epoch == self.epoch and number.isascii() and number.isdigit() and int(number[:18]) <= self._seq
        if not fits or int(number) < int(self.fact("floor") or "0"):
            raise AnchorExpired("an anchor of another stored tree", fresh=self.newest())
        return int(number)

    def since(self, seq: int, limit: int) -> list[Entry]:
        """Rows changed after a number, in that order."""
        return self.entries("seq > ? ORDER BY seq LIMIT ?", seq, limit)

    def prune(self) -> None:
        """Forget the oldest tombstones: whoever has not read them by now compares folder by folder."""
        row = self._db.execute(
            "SELECT seq FROM entry WHERE gone = 1 ORDER BY seq DESC LIMIT 1 OFFSET ?", (TOMBSTONES_MAX,)
        ).fetchone()
        if row is not None:
            with self.writing():
                self._db.execute("DELETE FROM entry WHERE gone = 1 AND seq <= ?", row)
                self.set_fact("floor", str(row[0]))

    # --- keys

    def sent(self, key: str) -> tuple[str, bytes | None] | None:
        """The request that a key was used for, and what was answered, if that is known."""
        row = self._db.execute("SELECT request, answer FROM sent WHERE key = ?", (key,)).fetchone()
        return None if row is None else (row[0], row[1])

    def sending(self, key: str, request: str) -> None:
        """A request is about to be sent under a key."""
        with self.writing():
            self._db.execute("INSERT OR IGNORE INTO sent VALUES (?, ?, NULL)", (key, request))
            self._db.execute(
                "DELETE FROM sent WHERE rowid < (SELECT max(rowid) FROM sent) - ? AND answer IS NOT NULL",
                (TOMBSTONES_MAX,),
            )

    def answered(self, key: str, item: Item | None) -> None:
        """What it led to (None: a removal)."""
        with self.writing():
            self._db.execute("UPDATE sent SET answer = ? WHERE key = ?", (msgspec.msgpack.encode(item), key))


def told_of(entry: Entry) -> Item | Tombstone:
    """A row as the feed tells it."""
    return Tombstone(item_id=entry.item_id, parent_id=entry.parent_id) if entry.gone else entry.item


def _entry(row: tuple[Any, ...]) -> Entry:
    values = dict(zip(FIELDS, row, strict=True))
    values |= {name: bool(values[name]) for name in _BOOLS}
    return Entry(**(values | {"kind": Kind(values["kind"])}))
