"""Writing to the SQLite index: values to rows, inside one transaction of the writer's connection.

A sequence number is given here, inside the transaction that commits it, so no reader can skip a late
committer.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from server_stub.sqlite_activity import ActivityWrites
from server_stub.sqlite_outside import OutsideWrites
from server_stub.sqlite_rows import lineage_text
from server_stub.sqlite_trash import TrashWrites
from server_stub.sqlite_uploads import UploadWrites
from server_stub.sqlite_view import SqliteView
from server_stub.sqlite_webhooks import WebhookWrites
from server_stub.values import Item, Kept, Tombstone

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from server_stub.keys import Answer, Keyed

_PUT: Final = "INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class SqliteTx(SqliteView, ActivityWrites, WebhookWrites, UploadWrites, TrashWrites, OutsideWrites):
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
        before = self.connection.execute("SELECT parent_id FROM items WHERE item_id = ?", (item.item_id,)).fetchone()
        moves = before is not None and before[0] != item.parent_id
        left = [item_id for item_id, _ in self.lineage(item.item_id)] if moves else []
        written = self.add(item)
        if left:
            self._depart(item, left)
        return written

    def add(self, item: Item) -> Item:
        """The same for one that is known to be new, or to stay in its folder."""
        self.seq += 1
        evidence = item.evidence
        disk: tuple[int | None, ...] = (None,) * 4
        if evidence is not None:
            disk = (evidence.ino, evidence.mtime_ns, evidence.ctime_ns, evidence.size)
        trace = (item.trace.birth_ns, item.trace.marked, item.trace.listed)
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
        xattrs = msgspec.json.encode(item.xattrs) if item.xattrs else None
        self.connection.execute(_PUT, (*fields, *versions, self.seq, *disk, *trace, xattrs))
        return msgspec.structs.replace(item, seq=self.seq)

    def bury(self, item: Item, *, deleted_ns: int) -> Tombstone:
        """Replace a live row by its tombstone."""
        self.seq += 1
        lineage = tuple(reversed(self.buried_lineage(item.item_id, item.parent_id)))
        tombstone = Tombstone(item=item, deleted_ns=deleted_ns, seq=self.seq, lineage=lineage)
        self.connection.execute("DELETE FROM items WHERE item_id = ?", (item.item_id,))
        self.connection.execute(
            "INSERT OR REPLACE INTO tombstones VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                item.item_id,
                item.parent_id,
                msgspec.json.encode(item),
                deleted_ns,
                tombstone.reason.value,
                self.seq,
                lineage_text(lineage),
            ),
        )
        return tombstone

    def revive(self, item: Item) -> Item:
        """A deleted item lives again, out of the trash, perhaps elsewhere: then it left where it was."""
        before = self.tombstone(item.item_id)
        self.connection.execute("DELETE FROM tombstones WHERE item_id = ?", (item.item_id,))
        self.drop_trash((item.item_id,))
        revived = self.put(item)
        if before is not None and before.item.parent_id not in {None, item.parent_id}:
            self._depart(item, before.lineage)
        return revived

    def _depart(self, item: Item, lineage: Sequence[str]) -> None:
        """The item, already at its new place, left the folder that its lineage told until now."""
        target = [item_id for item_id, _ in self.lineage(item.item_id)]
        self.connection.execute(
            "INSERT INTO departures VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                self.seq,
                item.item_id,
                item.kind.value,
                lineage[-2],
                lineage_text(lineage),
                lineage_text(target),
                time.time_ns(),
            ),
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
        """The vault is about to drop these, and the trash what needs them."""
        content_versions = list(content_versions)
        self.drop_trash_needing(content_versions)
        self.connection.executemany("DELETE FROM kept WHERE content_version = ?", ((v,) for v in content_versions))

    def forget_before(self, before_ns: int) -> None:
        """Drop answers of before."""
        self.connection.execute("DELETE FROM answers WHERE created_ns < ?", (before_ns,))

    def lift_floor(self, floor: int) -> None:
        """Anchors below the floor expire, with the proofs that only they needed."""
        if floor <= self.floor_seq():
            return
        self.connection.execute("DELETE FROM tombstones WHERE seq <= ?", (floor,))
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
