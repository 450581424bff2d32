"""WebDAV's side of a channel: addresses, the credential, refusals, and the server's clock.

`Ask.path` is an absolute path of the server, quoted. No redirect is followed: with it the credential would travel to
whoever the answer names. A refusal's named condition (RFC 4918, section 16) is the code of its error.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

import httpx

from sync.remote import (
    Busy,
    Conflict,
    Denied,
    Gone,
    NameRefused,
    NotSignedIn,
    Permanent,
    ProtocolViolation,
    QuotaFull,
    Refused,
    RemoteError,
    Unknown,
    Unreachable,
)
from sync.remotes.anchor.problems import retry_after_of
from sync.remotes.answers import LIMITS, Answer, timeouts, transport_to
from sync.remotes.channel import Channel, Reply
from sync.remotes.dav.multistatus import Multistatus, condition_of, multistatus_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from sync.remotes.asking import Ask
    from sync.remotes.dav.signing import Credential

LISTING_MAX_BYTES = 256 << 20  # a folder of 200,000
SAFE = "!$&'()*+,;=:@-._~"  # what a segment of a path may hold as it is (RFC 3986, section 3.3)

_PLAIN: dict[int, type[Permanent]] = {
    401: NotSignedIn,
    403: Denied,
    404: Gone,
    410: Gone,
    414: NameRefused,
    507: QuotaFull,
}


def checked_base(url: str) -> str:
    """http(s)://host[:port]/path/, ending in a slash; ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("the address of a WebDAV server begins with http:// or https:// and names a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("the address of a WebDAV server holds no password, query or fragment")
    return url.rstrip("/") + "/"


class DavExchange(Channel):
    """A pool of connections to one server, and the folder there that is the root."""

    def __init__(
        self,
        url: str,
        credential: Credential | None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        limits: httpx.Limits = LIMITS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.url = checked_base(url)
        parts = urlsplit(self.url)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self._base = tuple(unquote(each) for each in parts.path.split("/") if each)
        self._headers = {"accept": "*/*", "accept-encoding": "identity", "user-agent": "anchorfs"}
        if credential is not None:
            self._headers["authorization"] = credential.header()
        self.server_s = 0.0  # its clock, as last told, seconds since the epoch
        super().__init__(lambda: transport or transport_to(self.url, limits=limits, tls=tls))

    # --- addresses

    def path_of(self, names: Sequence[str], *, folder: bool = False) -> str:
        """The quoted path of what lies below the root by these names; a folder's ends in a slash."""
        path = "/" + "/".join(quote(name, safe=SAFE) for name in (*self._base, *names))
        return path + "/" if folder and not path.endswith("/") else path

    def url_of(self, names: Sequence[str], *, folder: bool = False) -> str:
        """The same with the server: what Destination and `If` want."""
        return self.origin + self.path_of(names, folder=folder)

    def names_of(self, href: str) -> tuple[str, ...]:
        """The names below the root of an address that a server told; ProtocolViolation for one elsewhere.

        Only its path counts: servers behind a proxy name hosts that nobody outside knows.
        """
        try:
            parts = urlsplit(href)
            raw = parts.path.split("/")
            names = tuple(unquote(each, errors="strict") for each in raw if each)
        except ValueError as error:
            raise ProtocolViolation(f"a malformed address: {error}") from None
        if names[: len(self._base)] != self._base or any(each in {".", ".."} for each in names):
            raise ProtocolViolation("an address outside of the drive")
        return names[len(self._base) :]

    # --- the channel

    def _request(self, ask: Ask) -> httpx.Request:
        return httpx.Request(
            ask.method,
            httpx.URL(self.origin).copy_with(raw_path=ask.path.encode("ascii")),
            headers={**self._headers, **ask.headers},
            content=ask.content,
            extensions=timeouts(ask),
        )

    def _noted(self, answer: Answer) -> None:
        told = answer.headers.get("date")
        if told is not None:
            try:
                self.server_s = parsedate_to_datetime(told).timestamp()
            except (ValueError, OverflowError):
                return

    def _error_of(self, ask: Ask, reply: Reply) -> RemoteError:
        return error_of(ask, reply)

    async def multistatus(self, ask: Ask) -> Multistatus:
        """A 207 answer, read."""
        return multistatus_of((await self.reply(ask, LISTING_MAX_BYTES)).body)


def error_of(ask: Ask, reply: Reply) -> RemoteError:
    """What a refusal means."""
    status, code = reply.status, condition_of(reply.body)
    text = f"HTTP {status} {code}".rstrip()
    retry_after_s = retry_after_of(reply.headers.get("retry-after"))
    if status in {401, 403, 404, 410, 414, 507}:
        plain: dict[int, type[Permanent]] = {
            401: NotSignedIn,
            403: Denied,
            404: Gone,
            410: Gone,
            414: NameRefused,
            507: QuotaFull,
        }
        return plain[status]("the server does not accept the credential (HTTP 401)" if status == 401 else text)
    if status in {423, 425, 429, 503}:
        return Busy(text, retry_after_s=retry_after_s)
    if status in {409, 412, 424}:
        return Conflict(text, code=code or "precondition_failed")
    if (400 <= status < 500 and status != 408) or status in {501, 505}:
        return Refused(text, code=code or str(status))
    return (Unknown if ask.mutates else Unreachable)(text, retry_after_s=retry_after_s)
