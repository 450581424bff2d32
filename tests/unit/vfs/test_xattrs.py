"""Attributes that the drive does not have, by their namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from cache.errors import NoAttribute, NotSupported
from cache.model import Ino, Kind, Node
from vfs import xattrs

if TYPE_CHECKING:
    from cache.store import LocalStore

FILE = Node(
    ino=Ino(5), parent=Ino(1), name="f", kind=Kind.FILE, size=0, mode=0o644, mtime_ns=0, ctime_ns=0, item_id=None,
    content_id=None, symlink_target=None, listed=False, writable=True, held_bytes=0,
)  # fmt: skip
NOWHERE = cast("LocalStore", None)  # nothing is asked of it


@pytest.mark.parametrize("name", [b"security.selinux", b"system.posix_acl_access", b"system.posix_acl_default"])
def test_a_namespace_that_the_drive_does_not_have_is_said_to_be_unsupported(name: bytes) -> None:
    with pytest.raises(NotSupported):
        xattrs.get(NOWHERE, FILE, name)


@pytest.mark.parametrize("name", [b"user.anchorfs.colour", b"user.anchorfs."])
def test_an_unknown_fact_is_not_there(name: bytes) -> None:
    with pytest.raises(NoAttribute):
        xattrs.get(NOWHERE, FILE, name)
