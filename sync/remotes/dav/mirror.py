"""The adapter's own stored tree: what the server last told, and the feed made of it.

A row's number is its metadata_version; its content gets a number whenever the bytes may have changed. What this machine
set and the server does not keep (the mode, the exact time) stands as long as the content is the same. All of it runs
on the trio thread: a row costs tens of microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import msgspec

from cache.model import ItemId, Kind
from sync.remote import Tombstone
from sync.remotes.dav.facts import FILE_MODE, FOLDER_MODE, Entry, Facts, same_content, words
from sync.remotes.stored_tree import StoredTree

if TYPE_CHECKING:
    from pathlib import Path

    from cache.model import Item

FIELDS = Entry.__struct_fields__
_COLUMNS = ", ".join(FIELDS)
_PUT = f"INSERT OR REPLACE INTO entry ({_COLUMNS}) VALUES ({', '.join('?' * len(FIELDS))})"  # noqa: S608
_BOOLS = ("handed_out", "listed", "gone")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """What this machine sent."""

    mode: int
    mtime_ns: int
    digest: str | None = None


class Mirror(StoredTree):
    """The rows of a server that is told by addresses only."""

    def __init__(self, path: Path | None) -> None:
        super().__init__(path, resources.files(__package__).joinpath("schema.sql").read_text(encoding="utf-8"))

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

    def at(self, names: tuple[str, ...]) -> Entry | None:
        """What stands at an address."""
        entry = self.root()
        for name in names:
            entry = None if entry is None else self.child(entry.item_id, name)
        return entry

    def is_below(self, item_id: ItemId, ancestor: ItemId) -> bool:
        """Whether a row is `ancestor`, or somewhere in it."""
        entry = self.get(item_id)
        while entry is not None and entry.item_id != ancestor:
            entry = None if entry.parent_id is None else self.get(entry.parent_id)
        return entry is not None

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

    def since(self, seq: int, limit: int) -> list[Entry]:
        """Rows changed after a number, in that order."""
        return self.entries("seq > ? ORDER BY seq LIMIT ?", seq, limit)

    # --- uploads under passing names: see leftovers

    def note_passing(self, name: str, folder: tuple[str, ...], since_s: float) -> None:
        """It is about to be sent, or still there."""
        entry = self.at(folder)
        if entry is not None:
            self._db.execute("INSERT OR REPLACE INTO passing VALUES (?, ?, ?)", (name, entry.item_id, since_s))

    def forget_passing(self, name: str) -> None:
        """It is not there any more."""
        self._db.execute("DELETE FROM passing WHERE name = ?", (name,))

    def passing(self, *, before_s: float, limit: int) -> list[tuple[str, ItemId]]:
        """Those that were noted before a time of the server, and their folders."""
        return self._db.execute(
            "SELECT name, folder_id FROM passing WHERE since_s < ? ORDER BY since_s LIMIT ?", (before_s, limit)
        ).fetchall()


def told_of(entry: Entry) -> Item | Tombstone:
    """A row as the feed tells it."""
    return Tombstone(item_id=entry.item_id, parent_id=entry.parent_id) if entry.gone else entry.item


def _entry(row: tuple[Any, ...]) -> Entry:
    values = dict(zip(FIELDS, row, strict=True))
    values |= {name: bool(values[name]) for name in _BOOLS}
    return Entry(**(values | {"kind": Kind(values["kind"])}))
