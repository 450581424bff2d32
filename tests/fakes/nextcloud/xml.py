"""WebDAV's XML of the fake: what was asked, and multistatus answers."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from xml.etree.ElementTree import Element

    from tests.fakes.nextcloud.account import Account, Node

DAV, OC, NC = "DAV:", "http://owncloud.org/ns", "http://nextcloud.org/ns"
INSTANCE = "ocfakeinstan"
_PREFIXES = {DAV: "d", OC: "oc", NC: "nc"}
_HEAD = f'<?xml version="1.0"?><d:multistatus xmlns:d="{DAV}" xmlns:oc="{OC}" xmlns:nc="{NC}">'


def dav_file_id(file_id: int) -> str:
    """As the property `oc:id` and the header OC-FileId tell it."""
    return f"{file_id:08}{INSTANCE}"


def parsed(body: bytes) -> Element | None:
    return ET.fromstring(body) if body.strip() else None  # noqa: S314 - of our own clients


def asked_properties(body: bytes) -> list[str]:
    """Names in Clark notation; none for allprop."""
    tree = parsed(body)
    prop = None if tree is None else tree.find(f"{{{DAV}}}prop")
    return [] if prop is None else [each.tag for each in prop]


def _quota(account: Account) -> tuple[str, str]:
    used = account.root.size
    return str(used), "-3" if account.quota_bytes is None else str(max(account.quota_bytes - used, 0))


def _of_node(account: Account, node: Node) -> dict[str, Callable[[], str]]:
    told: dict[str, Callable[[], str]] = {
        f"{{{DAV}}}resourcetype": lambda: "<d:collection/>" if node.is_folder else "",
        f"{{{DAV}}}getetag": lambda: f"&quot;{node.etag}&quot;",
        f"{{{DAV}}}getlastmodified": lambda: formatdate(node.mtime_s, usegmt=True),
        f"{{{DAV}}}displayname": lambda: escape(node.name),
        f"{{{OC}}}fileid": lambda: str(node.file_id),
        f"{{{OC}}}id": lambda: dav_file_id(node.file_id),
        f"{{{OC}}}size": lambda: str(node.size),
        f"{{{OC}}}permissions": lambda: node.permissions,
    }
    if node.is_folder:
        told |= {
            f"{{{DAV}}}quota-used-bytes": lambda: _quota(account)[0],
            f"{{{DAV}}}quota-available-bytes": lambda: _quota(account)[1],
            f"{{{OC}}}data-fingerprint": lambda: account.fingerprint,
        }
    else:
        told |= {
            f"{{{DAV}}}getcontentlength": lambda: str(node.size),
            f"{{{DAV}}}getcontenttype": lambda: "application/octet-stream",
            f"{{{NC}}}upload_time": lambda: str(node.upload_s),
        }
        if node.checksum:
            told[f"{{{OC}}}checksums"] = lambda: f"<oc:checksum>{escape(node.checksum)}</oc:checksum>"
    return told | {name: lambda value=value: escape(value) for name, value in node.properties.items()}


def row(href: str, told: Mapping[str, Callable[[], str]], asked: Iterable[str]) -> str:
    """One response: what is known of it, and what is not."""
    names = list(asked) or list(told)
    known = "".join(_element(name, told[name]()) for name in names if name in told)
    unknown = "".join(_element(name, "") for name in names if name not in told)
    parts = [(known, "200 OK"), (unknown, "404 Not Found")]
    states = "".join(
        f"<d:propstat><d:prop>{told_}</d:prop><d:status>HTTP/1.1 {status}</d:status></d:propstat>"
        for told_, status in parts
        if told_
    )
    return f"<d:response><d:href>{escape(quote(href))}</d:href>{states}</d:response>"


def node_row(account: Account, base: str, node: Node, asked: Iterable[str]) -> str:
    """The response of a file or folder; a folder's address ends in a slash."""
    href = f"{base}/{node.path}".rstrip("/") + ("/" if node.is_folder else "")
    return row(href, _of_node(account, node), asked)


def multistatus(rows: Iterable[str]) -> bytes:
    return (_HEAD + "".join(rows) + "</d:multistatus>").encode()


def problem(status: int, message: str) -> bytes:
    """As sabre/dav words a refusal."""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><d:error xmlns:d="DAV:" xmlns:s="http://sabredav.org/ns">'
        f"<s:exception>Sabre\\DAV\\Exception\\Http{status}</s:exception>"
        f"<s:message>{escape(message)}</s:message></d:error>"
    ).encode()


def _element(name: str, value: str) -> str:
    space, _, local = name[1:].partition("}")
    prefix = _PREFIXES.get(space)
    tag = f"{prefix}:{local}" if prefix else f"x:{local}"
    told = "" if prefix else f' xmlns:x="{escape(space)}"'
    return f"<{tag}{told}>{value}</{tag.split(maxsplit=1)[0]}>"
