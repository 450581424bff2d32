"""User extended attributes of items: what names and values may be, and how they change. Pure.

Names and values are bounded together, so that they fit beside a file on ext4 and a page of items stays small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from server_stub.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMESPACE: Final = "user."
RESERVED: Final = "user.anchorfs."  # the server's mark on its files, and what clients tell of theirs
NAME_MAX_BYTES: Final = 255  # XATTR_NAME_MAX of linux/limits.h
ITEM_MAX_BYTES: Final = 4096  # names and values of one item


def changed(before: Mapping[str, bytes], changes: Mapping[str, bytes | None]) -> dict[str, bytes]:
    """The attributes with these set, or with None removed; Problem too_large."""
    after = {
        name: value for name, value in (dict[str, bytes | None](before) | dict(changes)).items() if value is not None
    }
    if size_bytes(after) > ITEM_MAX_BYTES:
        raise Problem("too_large", f"names and values of extended attributes are more than {ITEM_MAX_BYTES} bytes")
    return dict(sorted(after.items()))


def size_bytes(xattrs: Mapping[str, bytes]) -> int:
    """What counts against ITEM_MAX_BYTES."""
    return sum(len(name.encode()) + len(value) for name, value in xattrs.items())


def check_name(name: str) -> str:
    """The name; Problem invalid_request when no client could have set it."""
    if not is_name(name):
        raise Problem("invalid_request", "not the name of a user extended attribute", status=422, name=name[:300])
    return name


def is_name(name: str) -> bool:
    """Whether it is in the namespace of users, not reserved, and Linux can hold it."""
    if not name.startswith(NAMESPACE) or name == NAMESPACE or name.startswith(RESERVED):
        return False
    return "\0" not in name and len(name.encode()) <= NAME_MAX_BYTES
