"""Uploads in the SQLite index: whole values as JSON beside the columns that are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from server_stub.uploads.values import Upload

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable


class UploadRows:
    """The part of `store.View` that knows uploads."""

    connection: sqlite3.Connection

    def upload(self, upload_id: str) -> Upload | None:
        """An upload in any state."""
        row = self.connection.execute("SELECT body FROM uploads WHERE upload_id = ?", (upload_id,)).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=Upload)

    def upload_room(self, token_id: str) -> tuple[int, int]:
        """(uploads, bytes) that the token holds in the vault."""
        row = self.connection.execute(
            "SELECT count(*), coalesce(sum(held_bytes), 0) FROM uploads "
            "WHERE token_id = ? AND state IN ('open', 'finished')",
            (token_id,),
        ).fetchone()
        return int(row[0]), int(row[1])

    def uploads_past(self, now_ns: int, limit: int) -> list[Upload]:
        """Uploads, and proofs of gone ones, whose time is over; the oldest first."""
        rows = self.connection.execute(
            "SELECT body FROM uploads WHERE expires_ns <= ? ORDER BY expires_ns LIMIT ?", (now_ns, limit)
        ).fetchall()
        return [msgspec.json.decode(row[0], type=Upload) for row in rows]

    def upload_ids(self) -> set[str]:
        """Every upload whose bytes the vault should hold."""
        rows = self.connection.execute("SELECT upload_id FROM uploads WHERE state IN ('open', 'finished')").fetchall()
        return {row[0] for row in rows}


class UploadWrites:
    """The part of `store.Tx` that knows uploads."""

    connection: sqlite3.Connection

    def put_upload(self, upload: Upload) -> None:
        """Insert or replace."""
        fields = (upload.upload_id, upload.token_id, upload.state.value, upload.held_bytes, upload.expires_ns)
        self.connection.execute(
            "INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?, ?, ?)", (*fields, msgspec.json.encode(upload))
        )

    def forget_uploads(self, upload_ids: Iterable[str]) -> None:
        """Drop the rows."""
        self.connection.executemany("DELETE FROM uploads WHERE upload_id = ?", ((one,) for one in upload_ids))
