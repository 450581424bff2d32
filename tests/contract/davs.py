"""Clients of real WebDAV servers; what a server honours is found out once."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import trio

from sync.remotes.dav.exchange import DavExchange
from sync.remotes.dav.mirror import Mirror
from sync.remotes.dav.remote import DavRemote
from sync.retrying import Backoff, Retrying
from tests.harness.cyrus import Cyrus
from tests.harness.davs import Apache, DavServer, Rclone, Wsgidav

if TYPE_CHECKING:
    from sync.remote import Remote

POLL_S = 0.3
SERVERS: dict[str, type[DavServer]] = {each.name: each for each in (Apache, Wsgidav, Rclone, Cyrus)}


class RunningDav:
    """A server, and what its clients have in common."""

    def __init__(self, server: DavServer) -> None:
        self.server = server
        self._habits = trio.run(_found_out, server)

    def client(self) -> Remote:
        """A new client with a stored tree of its own; it is as patient as a mount is."""
        mirror = Mirror(None)
        mirror.set_fact("habits", self._habits)
        direct = DavRemote(DavExchange(self.server.url, self.server.credential), mirror, poll_s=POLL_S)
        return Retrying(direct, random=random.Random(1), backoff=Backoff(deadline_s=15.0, first_s=0.05, longest_s=0.5))


async def _found_out(server: DavServer) -> str:
    mirror = Mirror(None)
    remote = DavRemote(DavExchange(server.url, server.credential), mirror)
    await remote.root()
    habits = mirror.fact("habits")
    await remote.aclose()
    assert habits is not None
    return habits
