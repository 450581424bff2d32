"""Addresses of drives: what kind of remote, where, and whose. Pure.

    https://HOST/…  http://HOST/…                     the bundled server
    dav+https://[USER@]HOST/PATH  dav+http://…        a folder of a WebDAV server
    nextcloud+https://[USER@]HOST[/PATH]  …+http://…  a Nextcloud account

A password never stands in an address. Without TLS a password or the files would cross the network in the clear: such
an address is for this machine itself (`is_exposed`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote, urlsplit, urlunsplit


class Provider(StrEnum):
    """What speaks at the other end; the word before the `+`."""

    ANCHOR = ""
    DAV = "dav"
    NEXTCLOUD = "nextcloud"


@dataclass(frozen=True, slots=True)
class Address:
    """`text` names the drive; `url` is what is asked, without the user."""

    text: str
    provider: Provider
    url: str
    user: str | None

    @property
    def is_exposed(self) -> bool:
        """Whether others on the way could read along."""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        return parts.scheme == "http" and host not in {"localhost", "::1"} and not host.startswith("127.")


def parse_address(text: str) -> Address:
    """ValueError says what is wrong."""
    parts = urlsplit(text.strip())
    word, plus, scheme = parts.scheme.rpartition("+")
    if scheme not in {"http", "https"} or word not in set(Provider) or bool(word) is not bool(plus):
        raise ValueError(
            f"{text!r} is not the address of a drive: it begins with http://, https://, dav+https:// or nextcloud+https://"
        )
    if not parts.hostname or not _port_is_fine(text):
        raise ValueError(f"{text!r} names no host, or a port that cannot be")
    if parts.query or parts.fragment:
        raise ValueError(f"{text!r}: the address of a drive has no '?' and no '#' part")
    if parts.password is not None or (parts.username is not None and not word):
        raise ValueError(
            "the address holds a user or a password; give the token with --token-file or ANCHORFS_TOKEN"
            if not word
            else "the address holds a password; `anchorfs login` keeps it, or give it with --token-file"
        )
    user = None if parts.username is None else unquote(parts.username)
    host = parts.netloc.rpartition("@")[2]
    path = parts.path.rstrip("/")
    return Address(
        text=urlunsplit((parts.scheme, parts.netloc, path, "", "")),
        provider=Provider(word),
        url=urlunsplit((scheme, host, path, "", "")),
        user=user,
    )


def _port_is_fine(text: str) -> bool:
    try:
        return urlsplit(text).port != 0
    except ValueError:
        return False
