"""Uploads under passing names, and those of them that nobody goes on with: these are taken away again.

A name bears the identity of this stored tree, so none is ever another client's. It is noted before its bytes are sent,
and forgotten when it has its own name or is cleared away. What is still noted a day later, by the server's clock, and
that no request of this process is about, was left behind: it is removed as it was seen, or not at all.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cache.model import Kind
from sync.remote import RemoteError
from sync.remotes.dav.looking import RESERVED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sync.remotes.dav.facts import Facts
    from sync.remotes.dav.looking import Names
    from sync.remotes.dav.server import Server

LEFTOVER_S = 86_400.0  # a passing file that is older was left behind by somebody who died
ROUND_MAX = 20


def is_left_behind(told: Facts, now_s: float) -> bool:
    """Whether a passing file, as a server tells it, is so old by the server's clock; one without a time is not."""
    return told.kind is Kind.FILE and 0 < told.mtime_ns / 1e9 < now_s - LEFTOVER_S


class Passing:
    """The name of one request's bytes until they have their own."""

    def __init__(self, server: Server, name: str) -> None:
        self._server, self.name = server, name

    def note(self, folder: Names) -> None:
        """They are about to be sent into a folder."""
        self._server.mirror.note_passing(self.name, folder, self._server.exchange.server_s)

    def forget(self) -> None:
        """Nothing is there under this name any more."""
        self._server.mirror.forget_passing(self.name)


class Leftovers:
    """Of one stored tree."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._going_on: Counter[str] = Counter()

    @contextmanager
    def going_on(self, key: str) -> Iterator[Passing]:
        """While a request is under way."""
        name = f"{RESERVED}up-{self._server.mirror.epoch}-{hashlib.sha256(key.encode()).hexdigest()[:20]}"
        self._going_on[name] += 1
        try:
            yield Passing(self._server, name)
        finally:
            self._going_on[name] -= 1
            self._going_on += Counter()  # drops what is down to zero

    async def clear_old(self) -> None:
        """Remove what was left behind; what a server refuses, or does not answer, is tried again another day."""
        mirror, before_s = self._server.mirror, self._server.exchange.server_s - LEFTOVER_S
        for name, folder_id in mirror.passing(before_s=before_s, limit=ROUND_MAX):
            if name in self._going_on:
                continue
            passing, folder = Passing(self._server, name), mirror.names(folder_id)
            if folder is None or await self._is_cleared((*folder, name)):
                passing.forget()
            else:
                passing.note(folder)

    async def _is_cleared(self, names: Names) -> bool:
        """Whether nothing is there any more."""
        server = self._server
        try:
            told = await server.looker.look(names)
            if told is None:
                return True
            if not is_left_behind(told, server.exchange.server_s):
                return False

            async def same() -> bool:
                now = await server.looker.look(names)
                return now is not None and (now.tag, now.size, now.mtime_ns) == (told.tag, told.size, told.mtime_ns)

            await server.remove_file(names, told.tag, same)
        except RemoteError:
            return False
        return True
