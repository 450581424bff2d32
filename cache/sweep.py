"""Finds what an end that was not orderly may have left anywhere: contents without a node, blobs without a row.

A piece at a time, so that a mount of a million files opens at once: the first piece at the opening (all there is, in a
small cache), the others by the janitor. Each piece is one transaction's work: no blob of a running creation is seen.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from cache import bundles, contents, dropped, strays
from cache.db import get_meta, set_meta

if TYPE_CHECKING:
    import sqlite3

    from cache.blobs import Blobs
    from cache.model import ContentId
    from cache.opened import OpenContents
    from cache.rescue import Rescue

PIECE = 5000  # rows, or blobs, looked at in one transaction: some tens of milliseconds


class Sweep:
    """One search through everything; begun again by the next opening when it does not come to its end."""

    def __init__(self, connection: sqlite3.Connection, blobs: Blobs, rescue: Rescue, opened: OpenContents) -> None:
        self._blobs = blobs
        self._after: int | None = 0
        self._rescue, self._opened = rescue, opened
        self._files = blobs.census()
        self._bundles = blobs.bundles.ids()
        self.due = get_meta(connection, "sweep") == "due"

    def step(self, connection: sqlite3.Connection) -> list[ContentId]:
        """One piece; returns clean contents without a node, which are to be deleted when nobody has them open."""
        loose: list[ContentId] = []
        if self._after is not None:
            loose, self._after = contents.orphans(connection, self._after, PIECE)
        if self._after is None and self._look_at_blobs(connection) and self._look_at_bundles(connection):
            set_meta(connection, "sweep", "done")
            self.due = False
        self._rescue.report()
        return loose

    def _look_at_blobs(self, connection: sqlite3.Connection) -> bool:
        """A piece of them; whether it was the last."""
        seen = list(islice(self._files, PIECE))
        for content_id, marked in seen:
            content = contents.get(connection, content_id)
            if content is None or content.bundled is not None:  # its bytes are in the bundle: it never came out
                self._clear(connection, content_id)
            elif marked and self._opened.get(content_id) is None:
                strays.compare(connection, self._blobs, self._rescue, content_id)
        return len(seen) < PIECE

    def _look_at_bundles(self, connection: sqlite3.Connection) -> bool:
        seen = list(islice(self._bundles, PIECE))
        for bundle_id in seen:
            if not bundles.is_named(connection, bundle_id):
                self._blobs.bundles.delete(bundle_id)
        return len(seen) < PIECE

    def _clear(self, connection: sqlite3.Connection, content_id: ContentId) -> None:
        if dropped.is_dropped(connection, content_id):  # somebody is about to delete it
            self._blobs.delete(content_id)
        else:
            strays.clear(self._blobs, self._rescue, content_id)
