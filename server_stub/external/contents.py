"""Whether a file that was touched still holds the bytes that the index knows.

Size and mtime in nanoseconds tell an edit; ctime, which nobody can put back, tells an edit whose time was put back.
A rename and a chmod move ctime too, so a ctime that nothing else explains is answered by the bytes themselves: those
of a small file at once, those of a larger one off the writer's thread (`rereading`), by an answer that holds for the
evidence of the bytes that were read and for no other. Two edits of the same size within one tick of the file system's
clock (a few milliseconds before Linux 6.13), with a look between them, cannot be told apart.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from server_stub.values import Evidence, Item, Kind

if TYPE_CHECKING:
    from server_stub.external.doubts import Names
    from server_stub.external.sight import Found
    from server_stub.tree import Tree

Known = Callable[[Item, Evidence], bool | None]  # whether a file with this evidence has the item's bytes, if known

_STEP_BYTES: Final = 1 << 20
_AT_ONCE_MAX_BYTES: Final = 64 << 10  # read in less time than the commit takes that follows
_READ_MAX_BYTES: Final = 256 << 20  # a larger one is told as new content


def unread(_row: Item, _now: Evidence) -> None:
    """`Known` before anything was read."""


def same_content(tree: Tree, row: Item, found: Found, names: Names, *, explained: bool, known: Known) -> bool | None:
    """Whether the content_version still holds; None: only the bytes can tell, and they are too many to be read here.
    `explained`: it is known why ctime or the inode are others.
    """
    before, now = row.evidence, found.evidence
    if row.kind is Kind.FOLDER or before is None:
        return row.kind is Kind.FOLDER
    if row.kind is Kind.SYMLINK:
        return row.symlink_target == found.target
    if (before.size, before.mtime_ns) != (now.size, now.mtime_ns):
        return False
    if explained or before == now or not now.size:
        return True
    if row.digest is None or now.size > _READ_MAX_BYTES:
        return False
    if now.size <= _AT_ONCE_MAX_BYTES:
        told = read(tree, names)
        return told is not None and told[1] == row.digest
    return known(row, now)


def read(tree: Tree, names: Names) -> tuple[Evidence, str] | None:
    """The SHA-256 of a file, and of which file it is: None when it changes meanwhile, or cannot be read."""
    try:
        fd = tree.open_file(names)
    except OSError:
        return None
    try:
        before = Evidence.of(os.fstat(fd))
        digest = hashlib.sha256()
        while chunk := os.read(fd, _STEP_BYTES):
            digest.update(chunk)
        return (before, digest.hexdigest()) if Evidence.of(os.fstat(fd)) == before else None
    except OSError:
        return None
    finally:
        os.close(fd)
