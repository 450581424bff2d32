"""WebDAV's side of a channel: addresses, the credential, refusals, and the server's clock.

`Ask.path` is an absolute path of the server, quoted. No redirect is followed: with it the credential would travel to
whoever the answer names. A refusal's named condition (RFC 4918, section 16) is the code of its error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, unquote, urlsplit

import httpx
import trio

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
from sync.remotes.answers import LIMITS, Answer, clock_of, retry_after_of, timeouts, transport_to
from sync.remotes.channel import Channel, Reply
from sync.remotes.dav.multistatus import Multistatus, condition_of, multistatus_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from sync.remotes.asking import Ask
    from sync.remotes.dav.signing import Credential

LISTING_MAX_BYTES = 256 << 20  # a folder of 200,000
HERE_MAX_BYTES = 64 << 10  # of XML: a millisecond or two
SAFE = "!$&'()*+,;=:@-._~"  # what a segment of a path may hold as it is (RFC 3986, section 3.3)

T = TypeVar("T")

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
        told = clock_of(answer.headers)
        self.server_s = self.server_s if told is None else told

    def _error_of(self, ask: Ask, reply: Reply) -> RemoteError:
        return error_of(ask, reply)


async def parsed(body: bytes, read: Callable[[Multistatus], T]) -> T:
    """What `read` makes of a 207 body; of a long one elsewhere: programs wait for this thread."""
    if len(body) <= HERE_MAX_BYTES:
        return read(multistatus_of(body))
    return await trio.to_thread.run_sync(lambda: read(multistatus_of(body)))


def error_of(ask: Ask, reply: Reply) -> RemoteError:
    """What a refusal means."""
    status, code = reply.status, condition_of(reply.body)
    text = f"HTTP {status} {code}".rstrip()
    retry_after_s = retry_after_of(reply.headers.get("retry-after"))
    if status in _PLAIN:
        return _PLAIN[status]("the server does not accept the credential (HTTP 401)" if status == 401 else text)
    if status in {423, 425, 429, 503}:
        return Busy(text, retry_after_s=retry_after_s)
    if status in {409, 412, 424}:
        return Conflict(text, code=code or "precondition_failed")
    if (400 <= status < 500 and status != 408) or status in {501, 505}:
        return Refused(text, code=code or str(status))
    return (Unknown if ask.mutates else Unreachable)(text, retry_after_s=retry_after_s)
