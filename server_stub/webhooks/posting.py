"""One POST over a connection of its own: h11 on asyncio's streams.

Law: resolved once, judged, connected to what was judged; one deadline over all of it; no redirect is followed; no more
of an answer is read than is wanted. TLS is checked against the name of the URL.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import h11

from server_stub.webhooks.targets import is_public

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server_stub.webhooks.targets import Target

ANSWER_MAX_BYTES: Final = 4_096
_HEAD_MAX_BYTES: Final = 16_384


class TargetRefused(Exception):
    """The URL leads to an address that this server does not call."""


class Unanswered(Exception):
    """No whole answer came; the text says what happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the receiver said."""

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes  # its beginning


async def post(
    target: Target, headers: Mapping[str, str], body: bytes, *, allow_private: bool, timeout_s: float
) -> Reply:
    """The answer, whatever its status. TargetRefused, Unanswered."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await _connect(target, await _judged(target, allow_private=allow_private))
            try:
                return await _exchange(target, headers, body, reader, writer)
            finally:
                writer.transport.abort()
    except TimeoutError:
        raise Unanswered(f"no answer within {timeout_s:g} s") from None
    except ssl.SSLError as error:
        raise Unanswered(f"TLS: {error.reason or 'failed'}") from error
    except OSError as error:
        raise Unanswered(error.strerror or "the connection failed") from error
    except h11.RemoteProtocolError as error:
        raise Unanswered("not an HTTP answer") from error


async def _judged(target: Target, *, allow_private: bool) -> list[str]:
    """Every address of the host. TargetRefused when one of them may not be called."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise Unanswered("the host has no address") from None
    addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
    if not allow_private and not all(is_public(address) for address in addresses):
        raise TargetRefused("the host has an address that is not public")
    return addresses


async def _connect(target: Target, addresses: list[str]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    tls = _tls() if target.is_tls else None
    name = target.host if target.is_tls else None
    for address in addresses[:-1]:
        with contextlib.suppress(OSError):
            return await asyncio.open_connection(address, target.port, ssl=tls, server_hostname=name)
    return await asyncio.open_connection(addresses[-1], target.port, ssl=tls, server_hostname=name)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


async def _exchange(
    target: Target,
    headers: Mapping[str, str],
    body: bytes,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> Reply:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_MAX_BYTES)
    own = {"host": target.host_field, "content-length": str(len(body)), "connection": "close"}
    request = h11.Request(method="POST", target=target.path, headers=list((own | dict(headers)).items()))
    for part in (request, h11.Data(data=body), h11.EndOfMessage()):
        writer.write(connection.send(part) or b"")
    with contextlib.suppress(ConnectionError):  # an answer may have come before all was read
        await writer.drain()
    response: h11.Response | None = None
    received = b""
    while len(received) < ANSWER_MAX_BYTES:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_HEAD_MAX_BYTES))
        elif isinstance(event, h11.Response):
            response = event
        elif isinstance(event, h11.Data):
            received += bytes(event.data)
        elif not isinstance(event, h11.InformationalResponse):
            break
    if response is None:
        raise Unanswered("the connection was closed without an answer")
    return Reply(status=response.status_code, headers=dict(response.headers), body=received[:ANSWER_MAX_BYTES])
