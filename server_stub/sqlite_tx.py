"""Writing to the SQLite index: values to rows, inside one transaction of the writer's connection.

A sequence number is given here, inside the transaction that commits it, so no reader can skip a late
committer.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from server_stub.sqlite_uploads import UploadWrites
from server_stub.sqlite_view import SqliteView
from server_stub.values import Evidence, Item, Kept, Reason, Tombstone

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator

    from server_stub.keys import Answer, Keyed

_PUT: Final = "INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class SqliteTx(SqliteView, UploadWrites):
    """`store.Tx` between BEGIN and COMMIT."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self.first_seq = self.seq = super().newest_seq()

    def newest_seq(self) -> int:
        """Counting what this transaction has changed itself."""
        return self.seq

    def put(self, item: Item) -> Item:
        """Insert or replace the item's row and give it the next sequence number; a changed parent is a
        departure.
        """
        self.seq += 1
        before = self.connection.execute("SELECT parent_id FROM items WHERE item_id = ?", (item.item_id,)).fetchone()
        if before is not None and before[0] != item.parent_id:
            self.connection.execute("INSERT INTO departures VALUES (?, ?, ?)", (self.seq, item.item_id, before[0]))
        evidence = item.evidence
        disk: tuple[int | None, ...] = (None,) * 4
        if evidence is not None:
            disk = (evidence.ino, evidence.mtime_ns, evidence.ctime_ns, evidence.size)
        fields = (
            item.item_id,
            item.parent_id,
            item.name,
            item.kind.value,
            item.size,
            item.mode,
            item.created_ns,
        )
        versions = (
            item.modified_ns,
            item.metadata_version,
            item.content_version,
            item.digest,
            item.symlink_target,
        )
        self.connection.execute(_PUT, (*fields, *versions, self.seq, *disk))
        return msgspec.structs.replace(item, seq=self.seq)

    def bury(self, item: Item, *, deleted_ns: int) -> Tombstone:
        """Replace a live row by its tombstone."""
        self.seq += 1
        tombstone = Tombstone(item=item, deleted_ns=deleted_ns, reason=Reason.DELETED, seq=self.seq)
        self.connection.execute("DELETE FROM items WHERE item_id = ?", (item.item_id,))
        self.connection.execute(
            "INSERT OR REPLACE INTO tombstones VALUES (?, ?, ?, ?, ?, ?)",
            (
                item.item_id,
                item.parent_id,
                msgspec.json.encode(item),
                deleted_ns,
                tombstone.reason.value,
                self.seq,
            ),
        )
        return tombstone

    def note_evidence(self, item_id: str, evidence: Evidence) -> None:
        """Row and tree agree again; nothing that a client sees has changed."""
        self.connection.execute(
            "UPDATE items SET disk_ino = ?, disk_mtime_ns = ?, disk_ctime_ns = ?, disk_size = ? WHERE item_id = ?",
            (evidence.ino, evidence.mtime_ns, evidence.ctime_ns, evidence.size, item_id),
        )

    def note_digest(self, item_id: str, content_version: str, digest: str) -> None:
        """The digest of exactly this content was computed; a derived fact, so no change for the feed."""
        self.connection.execute(
            "UPDATE items SET digest = ? WHERE item_id = ? AND content_version = ?",
            (digest, item_id, content_version),
        )

    def keep(self, kept: Kept) -> None:
        """An older content lies in the vault."""
        self.connection.execute(
            "INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?, ?, ?)",
            (kept.content_version, kept.item_id, kept.size, kept.digest, kept.modified_ns, kept.kept_ns),
        )

    def forget_kept(self, content_versions: Iterable[str]) -> None:
        """The vault is about to drop these."""
        self.connection.executemany("DELETE FROM kept WHERE content_version = ?", ((v,) for v in content_versions))

    def forget_before(self, before_ns: int) -> None:
        """Drop answers and tombstones of before; anchors older than a dropped tombstone expire with it."""
        self.connection.execute("DELETE FROM answers WHERE created_ns < ?", (before_ns,))
        row = self._one("SELECT max(seq) FROM tombstones WHERE deleted_ns < ?", (before_ns,))
        if row is None or row[0] is None:
            return
        floor = max(self.floor_seq(), int(row[0]))
        self.connection.execute("DELETE FROM tombstones WHERE seq <= ? AND deleted_ns < ?", (floor, before_ns))
        self.connection.execute("DELETE FROM departures WHERE seq <= ?", (floor,))
        self.set_note("floor", str(floor))

    def remember(self, keyed: Keyed, answer: Answer, *, now_ns: int) -> None:
        """Store the first answer under a key."""
        self.connection.execute(
            "INSERT INTO answers VALUES (?, ?, ?, ?, ?)",
            (keyed.token_id, keyed.key, keyed.fingerprint, msgspec.json.encode(answer), now_ns),
        )

    def add_intent(self, body: bytes) -> int:
        """Write a redo record; returns its id."""
        cursor = self.connection.execute("INSERT INTO intents (body) VALUES (?)", (body,))
        return int(cursor.lastrowid or 0)

    def drop_intent(self, intent_id: int) -> None:
        """The change is told, or was given up."""
        self.connection.execute("DELETE FROM intents WHERE intent_id = ?", (intent_id,))

    def set_note(self, key: str, value: str) -> None:
        """Set a value of the meta table."""
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def set_token_root(self, token_id: str, item_id: str) -> None:
        """Bind a token to the item that its root path means."""
        self.connection.execute("INSERT OR REPLACE INTO token_roots VALUES (?, ?)", (token_id, item_id))


class SqliteLedger(SqliteView):
    """`store.Ledger` on the writer's thread; `on_commit(seq)` is called there after a commit that made
    news.
    """

    def __init__(self, connection: sqlite3.Connection, on_commit: Callable[[int], None]) -> None:
        super().__init__(connection)
        self._on_commit = on_commit

    @contextmanager
    def transaction(self) -> Iterator[SqliteTx]:
        """BEGIN IMMEDIATE … COMMIT; rolled back when the block raises."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            tx = SqliteTx(self.connection)
            yield tx
            if tx.seq != tx.first_seq:
                tx.set_note("seq", str(tx.seq))
            self.connection.execute("COMMIT")
        except BaseException:
            self.connection.rollback()
            raise
        if tx.seq != tx.first_seq:
            self._on_commit(tx.seq)
