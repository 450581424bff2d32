"""When to look: the server's push channel where it has one that works, else the ETag of the root, asked adaptively.

One question costs the server 15 to 28 ms. It is asked often while things change and rarely while nothing does, and a
file that has to be looked at again is waited for by the server's clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from sync.remote import RemoteError
from sync.remotes.nextcloud.push import checked_url, notices
from sync.remotes.nextcloud.walk import due_s, is_changed

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from sync.remotes.nextcloud.places import Places

SOON_S, SELDOM_S, SLOWER = 2.0, 30.0, 1.5
AGAIN_S = 600.0  # a push channel that did not work is tried again after so long


class Hints:
    """See the module; `url` is the server's."""

    def __init__(self, url: str, user: str, password: str, tls: ssl.SSLContext | None) -> None:
        self._url, self._user, self._password, self._tls = url, user, password, tls
        self._avoid_push_until = 0.0

    async def tell(self, places: Places, push_url: str | None) -> AsyncIterator[None]:
        """Yields whenever something may have changed."""
        if push_url is not None and trio.current_time() >= self._avoid_push_until:
            heard = False
            try:
                async for _ in self._pushed(push_url):
                    heard = True
                    yield None
            except RemoteError:
                if heard:  # it worked; whoever listens comes back
                    raise
                self._avoid_push_until = trio.current_time() + AGAIN_S
        yield None
        async for _ in self._polled(places, forever=push_url is None):
            yield None

    async def _pushed(self, push_url: str) -> AsyncIterator[None]:
        url = checked_url(push_url, self._url)
        async for _ in notices(url, self._user, self._password, self._tls):
            yield None

    async def _polled(self, places: Places, *, forever: bool) -> AsyncIterator[None]:
        pause_s, before = SOON_S, places.ledger.root()
        while forever or trio.current_time() < self._avoid_push_until:
            await trio.sleep(pause_s)
            root = await places.at("")
            moved = root is not None and (is_changed(root) or before is None or before.etag != root.etag)
            before = root
            due = any(due_s(each) <= places.clock_s for each in places.ledger.unsettled())
            if due or moved:
                pause_s = SOON_S
                yield None
            else:
                pause_s = min(pause_s * SLOWER, SELDOM_S)
