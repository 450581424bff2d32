"""Whether a file that was touched still holds the bytes that the index knows.

Size and mtime in nanoseconds tell an edit; ctime, which nobody can put back, tells an edit whose time was put back.
A rename and a chmod move ctime too, so a ctime that nothing else explains is answered by the bytes themselves. Two
edits of the same size within one tick of the file system's clock (a few milliseconds before Linux 6.13), with a look
between them, cannot be told apart; an edit through mmap is seen when the kernel writes it back.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final

from server_stub.values import Item, Kind

if TYPE_CHECKING:
    from server_stub.external.doubts import Names
    from server_stub.external.sight import Found
    from server_stub.tree import Tree

_STEP_BYTES: Final = 1 << 20
_READ_MAX_BYTES: Final = 256 << 20  # the writer waits meanwhile; a larger one is told as new content


def same_content(tree: Tree, row: Item, found: Found, names: Names, *, explained: bool) -> bool:
    """Whether the content_version still holds. `explained`: it is known why ctime or the inode are others."""
    before, now = row.evidence, found.evidence
    if row.kind is Kind.FOLDER or before is None:
        return row.kind is Kind.FOLDER
    if row.kind is Kind.SYMLINK:
        return row.symlink_target == found.target
    if (before.size, before.mtime_ns) != (now.size, now.mtime_ns):
        return False
    if explained or before == now or not now.size:
        return True
    return row.digest is not None and now.size <= _READ_MAX_BYTES and _digest(tree, names) == row.digest


def _digest(tree: Tree, names: Names) -> str | None:
    try:
        fd = tree.open_file(names)
    except OSError:
        return None
    try:
        digest = hashlib.sha256()
        while chunk := os.read(fd, _STEP_BYTES):
            digest.update(chunk)
        return digest.hexdigest()
    except OSError:
        return None
    finally:
        os.close(fd)
