"""Webhooks in the SQLite index: whole values as JSON beside the columns that are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from server_stub.webhooks.values import Webhook

if TYPE_CHECKING:
    import sqlite3


class WebhookRows:
    """The part of `store.View` that knows webhooks."""

    connection: sqlite3.Connection

    def webhook(self, webhook_id: str) -> Webhook | None:
        """A webhook in any state."""
        row = self.connection.execute("SELECT body FROM webhooks WHERE webhook_id = ?", (webhook_id,)).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=Webhook)

    def webhooks(self, token_id: str | None = None) -> list[Webhook]:
        """All of a token, or of everybody; the oldest first."""
        rows = self.connection.execute(
            "SELECT body FROM webhooks WHERE ?1 IS NULL OR token_id = ?1 ORDER BY webhook_id", (token_id,)
        ).fetchall()
        return [msgspec.json.decode(row[0], type=Webhook) for row in rows]


class WebhookWrites:
    """The part of `store.Tx` that knows webhooks."""

    connection: sqlite3.Connection

    def put_webhook(self, webhook: Webhook) -> None:
        """Insert or replace."""
        fields = (webhook.webhook_id, webhook.token_id, msgspec.json.encode(webhook))
        self.connection.execute("INSERT OR REPLACE INTO webhooks VALUES (?, ?, ?)", fields)

    def drop_webhook(self, webhook_id: str) -> None:
        """Gone, with what was on its way."""
        self.connection.execute("DELETE FROM webhooks WHERE webhook_id = ?", (webhook_id,))
