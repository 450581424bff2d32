"""Finds what an end that was not orderly may have left anywhere: contents without a node, blobs without a row.

A piece at a time, so that a mount of a million files opens at once: the first piece at the opening (all there is, in a
small cache), the others by the janitor. Each piece is one transaction's work: no blob of a running creation is seen.
What must be hashed is hashed between transactions, and judged only if nothing happened to it meanwhile.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import trio

from cache import bundles, contents, dropped, strays
from cache.db import get_meta, set_meta
from cache.digest import digest_of, digest_of_file
from cache.errors import LocalError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from cache.blobs import Blobs
    from cache.db import Database
    from cache.model import ContentId
    from cache.opened import OpenContents
    from cache.rescue import Rescue
    from cache.strays import Suspect

log = logging.getLogger(__name__)

PIECE = 5000  # rows, or blobs, looked at in one transaction: some tens of milliseconds


class Sweep:
    """One search through everything; begun again by the next opening when it does not come to its end."""

    def __init__(self, db: Database, blobs: Blobs, rescue: Rescue, opened: OpenContents) -> None:
        self._db, self._blobs = db, blobs
        self._after: int | None = 0
        self._rescue, self._opened = rescue, opened
        self._files = blobs.census()
        self._bundles = blobs.bundles.ids()
        self._suspects: list[Suspect] = []
        self._is_whole = True  # else something could not be looked at: that is the next opening's
        self.due = get_meta(db.reader, "sweep") == "due"

    def begin(self) -> list[ContentId]:
        """The first piece, before any task runs; returns as `go_on`."""
        loose = self._db.write_now(self._look)
        for each in self._taken():
            with self._passing_over():
                digest = digest_of_file(self._blobs.path(each.content.content_id))
                self._db.write_now(partial(self._judge, each, digest))
        if self._is_whole and not self.due:
            self._db.write_now(_note_end)
        return loose

    async def go_on(self) -> list[ContentId]:
        """The next piece; returns clean contents without a node, which are to be deleted when nobody has them open.

        Nobody waits while bytes are hashed. Not cancelled: what is not compared must keep its mark.
        """
        with trio.CancelScope(shield=True):
            try:
                loose = await self._db.write(self._look)
            except (LocalError, OSError):
                self._is_whole = False
                raise
            for each in self._taken():
                with self._passing_over():
                    digest = await self._digest(each.content.content_id)
                    await self._db.write(partial(self._judge, each, digest))
            if self._is_whole and not self.due:
                await self._db.write(_note_end)
        return loose

    @contextmanager
    def _passing_over(self) -> Iterator[None]:
        """What cannot be read, or put aside, keeps its mark and holds up nothing else."""
        try:
            yield
        except FileNotFoundError:
            pass  # deleted meanwhile
        except (LocalError, OSError) as error:
            self._is_whole = False
            log.warning("bytes that may not have been sent cannot be looked at: %s", error)

    def _taken(self) -> list[Suspect]:
        taken, self._suspects = self._suspects, []
        return taken

    async def _digest(self, content_id: ContentId) -> str:
        fd = self._blobs.open(content_id, writable=False)
        try:
            _, digest = await digest_of(fd)
        finally:
            os.close(fd)
        return digest

    def _judge(self, suspect: Suspect, digest: str, connection: sqlite3.Connection) -> None:
        if self._opened.get(suspect.content.content_id) is None:
            strays.judge(connection, self._blobs, self._rescue, suspect, digest)
            self._rescue.report()

    def _look(self, connection: sqlite3.Connection) -> list[ContentId]:
        loose: list[ContentId] = []
        if self._after is not None:
            loose, self._after = contents.orphans(connection, self._after, PIECE)
        if self._after is None and self._look_at_blobs(connection) and self._look_at_bundles(connection):
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
                found = strays.suspect(connection, self._blobs, content_id)
                self._suspects += [] if found is None else [found]
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


def _note_end(connection: sqlite3.Connection) -> None:
    set_meta(connection, "sweep", "done")
