"""The server in front of the files: who is signed in, what is announced, app passwords, and the browser's way in.

A person's own password costs the server 400 ms a request and cannot be taken back one machine at a time, so it is
traded for an app password at once and forgotten (`app_password`); where signing in needs more than a password, the
browser does it (login flow, version 2: `begin` and `granted`). An address that the server names for the flow must be
its own: whoever answers there decides whose files these are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec
import trio

from sync.remote import Denied, Gone, NotSignedIn, ProtocolViolation
from sync.remotes.asking import Ask
from sync.remotes.nextcloud.announced import OCS_HEADERS, Announced, announced_of

if TYPE_CHECKING:
    from sync.remotes.dav.exchange import DavExchange

BODY_MAX_BYTES = 1 << 20
POLL_S = 1.5
FLOW_S = 20 * 60.0  # as long as the server keeps a login that was begun

_T = TypeVar("_T")


class _User(msgspec.Struct, frozen=True):
    id: str


class _AppPassword(msgspec.Struct, frozen=True):
    apppassword: str


class _Poll(msgspec.Struct, frozen=True):
    token: str
    endpoint: str


class _Begun(msgspec.Struct, frozen=True):
    poll: _Poll
    login: str


class _Granted(msgspec.Struct, frozen=True, rename="camel"):
    login_name: str
    app_password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A login that waits for the person: `page` is to be opened in a browser."""

    page: str
    poll_path: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What the person allowed."""

    user: str
    app_password: str = field(repr=False)


class Door:
    """Requests to the server as a whole; `exchange` is based on its address. Raises RemoteError."""

    def __init__(self, exchange: DavExchange) -> None:
        self._exchange = exchange

    async def announced(self) -> Announced:
        """What can be used of it."""
        return announced_of(await self._ocs("GET", "cloud", "capabilities"))

    async def user_id(self) -> str:
        """Whose files these are: the name in their addresses, which need not be the one to sign in with."""
        return _ocs_data(await self._ocs("GET", "cloud", "user"), _User).id

    async def app_password(self) -> str | None:
        """A password for this machine, made with the person's own; None: this is one already."""
        try:
            return _ocs_data(await self._ocs("GET", "core", "getapppassword"), _AppPassword).apppassword
        except Denied:
            return None

    async def revoke(self) -> None:
        """Take back the app password that these requests are signed with."""
        await self._ocs("DELETE", "core", "apppassword")

    async def begin(self) -> Flow:
        """A login in the browser."""
        path = self._exchange.path_of(("index.php", "login", "v2"))
        begun = _decoded(await self._body(Ask(method="POST", path=path, headers=OCS_HEADERS, content=b"")), _Begun)
        page, poll = self._own(begun.login), self._own(begun.poll.endpoint)
        return Flow(page=self._exchange.origin + page, poll_path=poll, token=begun.poll.token)

    async def granted(self, flow: Flow) -> Granted:
        """Wait until the person allowed it; NotSignedIn when that took too long."""
        ask = Ask(
            method="POST",
            path=flow.poll_path,
            headers={"content-type": "application/x-www-form-urlencoded", **OCS_HEADERS},
            content=urlencode({"token": flow.token}).encode(),
        )
        with trio.move_on_after(FLOW_S):
            while True:
                try:
                    told = _decoded(await self._body(ask), _Granted)
                    return Granted(user=told.login_name, app_password=told.app_password)
                except Gone:
                    await trio.sleep(POLL_S)
        raise NotSignedIn("nobody allowed the login in the browser in time")

    def _own(self, address: str) -> str:
        """The path of an address of this very server, whose scheme or port a proxy may have hidden from it."""
        if urlsplit(address).hostname != urlsplit(self._exchange.url).hostname:
            raise ProtocolViolation("the server sends the login to another server: its own address is set up wrongly")
        return self._exchange.path_of(self._exchange.names_of(urlsplit(address).path))

    async def _ocs(self, method: str, *names: str) -> bytes:
        path = self._exchange.path_of(("ocs", "v2.php", *names)) + "?format=json"
        return await self._body(Ask(method=method, path=path, headers=OCS_HEADERS))

    async def _body(self, ask: Ask) -> bytes:
        return (await self._exchange.reply(ask, BODY_MAX_BYTES)).body


class _Data(msgspec.Struct, frozen=True):
    data: msgspec.Raw


class _Ocs(msgspec.Struct, frozen=True):
    ocs: _Data


def _ocs_data(body: bytes, kind: type[_T]) -> _T:
    return _decoded(_decoded(body, _Ocs).ocs.data, kind)


def _decoded(body: bytes | msgspec.Raw, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise ProtocolViolation("this is no Nextcloud, or its answer was changed on the way") from None
