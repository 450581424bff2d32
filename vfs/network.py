"""The way to the server: which of this machine's addresses its packets leave from.

It is looked at whenever the kernel tells that a link, an address or a route changed (rtnetlink(7)). Only another way
concerns a mount: the networks of containers come and go. No packet is sent to find it: a datagram socket has its route
chosen when it is connected.
"""

from __future__ import annotations

import errno
import logging
import socket
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import trio

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)

QUIET_S = 0.2  # one change of a network is told in many pieces
LOOKUP_S = 3.0  # a resolver that cannot be reached is not waited for
NEWS_BYTES = 64 << 10
_LINK, _IPV4_ADDRESS, _IPV4_ROUTE, _IPV6_ADDRESS, _IPV6_ROUTE = 0x1, 0x10, 0x40, 0x100, 0x400  # linux/rtnetlink.h
_GROUPS = _LINK | _IPV4_ADDRESS | _IPV4_ROUTE | _IPV6_ADDRESS | _IPV6_ROUTE

Target = tuple[socket.AddressFamily, Any]


class Reaction(Protocol):
    """What follows another way. `moved`: connections from before cannot live; else they may, if the old one is back."""

    async def __call__(self, *, moved: bool) -> None: ...


async def watch_way(url: str, react: Reaction, news: trio.socket.SocketType | None = None) -> None:
    """Call `react` whenever the way to the server of `url` is lost, found or another one, until cancelled.

    Returns at once where the kernel tells no such news; `news` stands in for it in tests.
    """
    listening = news or _open_news()
    if listening is None:
        return
    parts = urlsplit(url)
    with listening:
        targets = await _targets(parts.hostname or "", parts.port or 0)
        before = used = sources(targets)
        while True:
            await _next_news(listening)
            now = sources(targets)
            if now == before:  # its name may lead elsewhere now
                targets = await _targets(parts.hostname or "", parts.port or 0) or targets
                now = sources(targets)
            if now == before:
                continue
            log.info("the way to the server is %s now", f"from {', '.join(sorted(now))}" if now else "lost")
            before = now
            await react(moved=bool(now) and not used <= now)
            used = now or used


def sources(targets: Sequence[Target]) -> frozenset[str]:
    """Addresses of this machine from which any of `targets` is reached; none: there is no way."""
    found = set()
    for family, address in targets:
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
            try:
                probe.connect(address)
            except OSError:
                continue
            found.add(str(probe.getsockname()[0]))
    return frozenset(found)


async def _targets(host: str, port: int) -> list[Target]:
    with trio.move_on_after(LOOKUP_S):
        try:
            found = await trio.socket.getaddrinfo(host, port or 1, type=socket.SOCK_DGRAM)
        except OSError as error:
            log.debug("%s: %s", host, error)
        else:
            return [(family, address) for family, _, _, _, address in found]
    return []


def _open_news() -> trio.socket.SocketType | None:
    try:
        plain = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        plain.bind((0, _GROUPS))
    except OSError as error:  # a sandbox that forbids it: polling finds the changes, later
        log.debug("no news of the network: %s", error)
        return None
    return trio.socket.from_stdlib_socket(plain)


async def _next_news(news: trio.socket.SocketType) -> None:
    """Return when there was some, and it is quiet again."""
    await _read(news)
    quiet = False
    while not quiet:
        with trio.move_on_after(QUIET_S) as patience:
            await _read(news)
        quiet = patience.cancelled_caught


async def _read(news: trio.socket.SocketType) -> None:
    try:
        await news.recv(NEWS_BYTES)
    except OSError as error:
        if error.errno != errno.ENOBUFS:  # there was more than it could hold: news, too
            raise
