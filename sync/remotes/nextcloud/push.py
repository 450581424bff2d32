"""notify_push: a websocket of the server on which it says that files changed. Only ever a reason to look.

The server hears the name and the password as its first two messages, so the channel has to be as private as the drive
itself: wss wherever the drive is https, and on the drive's own host or one below its domain, since a wrong address
would be handed the password. A silent channel is tested by a ping; without an answer in time it is lost.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError

from sync.remote import NotSignedIn, ProtocolViolation, RemoteError, Unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from wsproto.events import Event

CONNECT_S = 15.0
QUIET_S = 60.0  # then a ping; proxies close what is silent for longer than a minute or two
ANSWER_S = 15.0
MESSAGE_MAX_BYTES = 256 << 10
RECEIVE_BYTES = 64 << 10
CHANGED = frozenset({"notify_file", "notify_file_id"})


def checked_url(push_url: str, drive_url: str) -> str:
    """The address, if the password may go there; ProtocolViolation."""
    push, drive = urlsplit(push_url), urlsplit(drive_url)
    secure = push.scheme == "wss" or (push.scheme == "ws" and drive.scheme == "http")
    here, there = drive.hostname or "", push.hostname or ""
    if not secure or (there != here and not there.endswith(f".{here}")) or push.username is not None:
        raise ProtocolViolation("the server names a push channel that may not be told the password")
    return push_url


async def notices(url: str, user: str, password: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    """Once when connected, then whenever files changed; Unreachable when the channel is lost, NotSignedIn."""
    socket = _Socket(await _connected(url, tls))
    try:
        await socket.shake_hands(url)
        await socket.say(user)
        await socket.say(password)
        if await socket.hear(ANSWER_S) != "authenticated":
            raise NotSignedIn("the push channel did not take the password")
        yield None
        while True:
            message = await socket.next()
            if message.split(" ", 1)[0] in CHANGED:
                yield None
    finally:
        await trio.aclose_forcefully(socket.stream)


async def _connected(url: str, tls: ssl.SSLContext | None) -> trio.abc.Stream:
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "wss"
    try:
        with trio.fail_after(CONNECT_S):
            stream = await trio.open_tcp_stream(host, parts.port or (443 if secure else 80))
            if not secure:
                return stream
            context = tls or ssl.create_default_context()
            return trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
    except (OSError, trio.TooSlowError) as error:
        raise Unreachable(f"no push channel: {type(error).__name__}") from None


class _Socket:
    """A websocket over a stream."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._waiting: list[Event] = []
        self._text: list[str] = []

    async def shake_hands(self, url: str) -> None:
        """Unreachable when the server speaks no websocket there."""
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        await self._send(Request(host=parts.netloc, target=target))
        with self._in_time(ANSWER_S):
            while True:
                event = await self._event()
                if isinstance(event, AcceptConnection):
                    return
                if isinstance(event, RejectConnection):
                    raise Unreachable(f"the push channel was refused: HTTP {event.status_code}")

    async def say(self, text: str) -> None:
        """Send a message."""
        await self._send(TextMessage(data=text))

    async def next(self) -> str:
        """The next message; a ping in every silence."""
        while True:
            with trio.move_on_after(QUIET_S):
                return await self.hear(float("inf"))
            await self._send(Ping())
            with self._in_time(ANSWER_S):
                while not isinstance(event := await self._event(), Pong):
                    if isinstance(event, TextMessage):
                        self._waiting.insert(0, event)
                        break  # whoever speaks is there

    async def hear(self, within_s: float) -> str:
        """The next message, whole."""
        with self._in_time(within_s):
            while True:
                event = await self._event()
                if not isinstance(event, TextMessage):
                    continue
                self._text.append(event.data)
                if sum(map(len, self._text)) > MESSAGE_MAX_BYTES:
                    raise ProtocolViolation("a message without an end on the push channel")
                if event.message_finished:
                    text = "".join(self._text)
                    self._text.clear()
                    return text

    async def _event(self) -> Event:
        while True:
            while self._waiting:
                event = self._waiting.pop(0)
                if isinstance(event, CloseConnection):
                    raise Unreachable("the push channel was closed")
                if not isinstance(event, Ping):
                    return event
                await self._send(event.response())
            with _lost():
                self._protocol.receive_data(bytes(await self.stream.receive_some(RECEIVE_BYTES)) or None)
                self._waiting += self._protocol.events()

    async def _send(self, event: Event) -> None:
        with _lost():
            await self.stream.send_all(self._protocol.send(event))

    @staticmethod
    @contextlib.contextmanager
    def _in_time(within_s: float) -> Iterator[None]:
        try:
            with trio.fail_after(within_s):
                yield
        except trio.TooSlowError:
            raise Unreachable("the push channel does not answer") from None


@contextlib.contextmanager
def _lost() -> Iterator[None]:
    try:
        yield
    except RemoteError:
        raise
    except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, ProtocolError) as error:
        raise Unreachable(f"the push channel was lost: {type(error).__name__}") from None
