"""Where a webhook may lead: its URL taken apart, and which addresses the server connects to for somebody else. Pure.

Law: a name proves nothing; every address that it resolves to is judged, and the connection is made to the judged
address itself, so that a second answer of the name service changes nothing.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_TEXT: Final = re.compile(r"[\x21-\x7e]{1,2048}")
_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}")
_PORTS: Final = {"http": 80, "https": 443}
# Beyond what the registries call not global: addresses that lead to others inside (tunnels, translators), and
# services of clouds that answer their own machines on public addresses.
_REFUSED: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "::/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2001::/32",
        "2002::/16",
        "fec0::/10",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A URL taken apart."""

    is_tls: bool
    host: str  # without brackets
    port: int
    host_field: str  # as the Host header wants it
    path: str  # with the query


def parse_target(url: str) -> Target:
    """The parts of an absolute http or https URL; ValueError for one that is not, or that says who asks."""
    if not _TEXT.fullmatch(url):
        raise ValueError("a URL is 1 to 2,048 printable ASCII characters")
    parts = urlsplit(url)
    if parts.scheme not in _PORTS:
        raise ValueError("the scheme is https or http")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("a URL with a user or a fragment is not taken")
    host, port = parts.hostname or "", parts.port
    if ":" in host and "%" not in host:
        ipaddress.IPv6Address(host)
    elif not _HOST.fullmatch(host):
        raise ValueError("no host in the URL")
    if port == 0:
        raise ValueError("no such port")
    named = f"[{host}]" if ":" in host else host
    return Target(
        is_tls=parts.scheme == "https",
        host=host,
        port=port or _PORTS[parts.scheme],
        host_field=named if port is None else f"{named}:{port}",
        path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
    )


def is_public(text: str) -> bool:
    """Whether the address belongs to the public network: no loopback, private, link-local, multicast, reserved,
    translated or metadata address.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:  # a scope id, or no address
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if any(address.version == network.version and address in network for network in _REFUSED):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)
