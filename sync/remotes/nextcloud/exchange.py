"""A WebDAV channel to a whole Nextcloud: its base is the server's address, not that of somebody's files.

Session cookies are kept: with one a request is answered in half the time (15 ms against 27 with an app password alone),
as the server has looked the password up already. They live as long as this channel, go to its own server only, and are
dropped when a request is answered 401.
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import trio

from sync.remote import NotSignedIn
from sync.remotes.dav.exchange import LISTING_MAX_BYTES, DavExchange
from sync.remotes.dav.multistatus import Multistatus, multistatus_of

if TYPE_CHECKING:
    import httpx

    from sync.remote import RemoteError
    from sync.remotes.answers import Answer
    from sync.remotes.asking import Ask
    from sync.remotes.channel import Reply

COOKIES_MAX = 32
LONG_BYTES = 256 << 10  # of XML: read in a thread, as it takes longer than programs should wait
_COOKIE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,128})=([\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]{0,4096})(?:;|$)")


class NextcloudExchange(DavExchange):
    """See the module."""

    _cookies: dict[str, str]

    def _request(self, ask: Ask) -> httpx.Request:
        request = super()._request(ask)
        if cookies := self._kept():
            request.headers["cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        return request

    def _noted(self, answer: Answer) -> None:
        super()._noted(answer)
        for told in answer.headers.get_list("set-cookie"):
            found = _COOKIE.match(told)
            if found is not None and found[2] == "deleted":  # as PHP takes one back
                self._kept().pop(found[1], None)
            elif found is not None and len(self._kept()) < COOKIES_MAX:
                self._kept()[found[1]] = found[2]

    def _error_of(self, ask: Ask, reply: Reply) -> RemoteError:
        error = super()._error_of(ask, reply)
        if isinstance(error, NotSignedIn):
            self._kept().clear()
        return error

    def _kept(self) -> dict[str, str]:
        if not hasattr(self, "_cookies"):
            self._cookies = {}
        return self._cookies

    async def looked(self, ask: Ask) -> tuple[Multistatus, int]:
        """A 207 answer, and the server's clock (whole seconds since the epoch) as that very answer tells it."""
        reply = await self.reply(ask, LISTING_MAX_BYTES)
        if len(reply.body) < LONG_BYTES:
            return multistatus_of(reply.body), clock_of(reply.headers)
        return await trio.to_thread.run_sync(multistatus_of, reply.body), clock_of(reply.headers)


def clock_of(headers: httpx.Headers) -> int:
    """Seconds since the epoch of the Date of an answer; 0, at which nothing is settled, when none is told."""
    try:
        return int(parsedate_to_datetime(headers.get("date", "")).timestamp())
    except (ValueError, OverflowError):
        return 0
