"""Bytes that lost: rejected changes, the losing side of a conflict, what the remote no longer knows. Kept for a person.

    DIR/set-aside/2026-11-21T14-03-55/folder/letter.txt       by when, and where it was in the mount

A file here is another name of the blob, made and synced before the transaction that lets go of the blob commits: a
crash between leaves a name too many, never one too few. What an open handle still writes goes to it, too; how the
bytes were before is then kept beside it. Nothing here is ever deleted by us.
"""

from __future__ import annotations

import errno
import os
import shutil
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING

from cache.on_disk import sync_file, sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cache.blobs import Blobs
    from cache.model import Content, ContentId

_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV, errno.ENOSYS})


class Aside:
    """The folder `root`, made when something is first put there. Everything here waits for the disk."""

    def __init__(self, root: Path, blobs: Blobs, is_written: Callable[[ContentId], bool]) -> None:
        self.root = root
        self._blobs = blobs
        self._is_written = is_written

    def keep_bytes(self, content: Content, path: str, now_s: int) -> Path:
        """Put a content aside under its path in the mount; returns where it is. Raises OSError."""
        target, content_id = self._free(path, now_s), content.content_id
        if content.bundled is not None:
            target.write_bytes(self._blobs.bundles.read(content.bundled, content.size))
            sync_file(target)
            return target
        blob = self._blobs.path(content_id)
        if self._is_written(content_id):
            shutil.copy2(blob, target)
            sync_file(target)
            target = self._free(path, now_s)
        try:
            os.link(blob, target)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            shutil.copy2(blob, target)  # a file system without hard links
        sync_file(target)
        return target

    def keep_link(self, points_to: str, path: str, now_s: int) -> Path:
        """Put a symlink aside."""
        target = self._free(path, now_s)
        target.symlink_to(points_to)
        return target

    def _free(self, path: str, now_s: int) -> Path:
        """A name that is free, in folders that exist and are synced."""
        stamp = datetime.fromtimestamp(now_s, tz=UTC).strftime("%Y-%m-%dT%H-%M-%S")
        parts = [part for part in path.split("/") if part not in {"", ".", ".."}] or ["nameless"]
        if sum(len(os.fsencode(part)) + 1 for part in parts) > 2000:  # beyond what a path may hold: flat
            parts = parts[-1:]
        folder = next(each for each in self._folders(stamp, parts[:-1]) if not _is_barred(each, self.root))
        _make_folders(folder, self.root.parent)
        number, name = 1, parts[-1]
        while (target := folder / name).is_symlink() or target.exists():
            number += 1
            name = f"{parts[-1][:60]}~{number}"
        return target

    def _folders(self, stamp: str, parts: list[str]) -> Iterator[Path]:
        """Where something that was put aside at a moment may go, the plain place first."""
        yield self.root.joinpath(stamp, *parts)
        for number in count(2):
            yield self.root.joinpath(f"{stamp}~{number}", *parts)


def _is_barred(folder: Path, root: Path) -> bool:
    """Whether a file stands where a folder would have to be: put aside a moment ago, when it had that name."""
    above = [folder, *folder.parents]
    within = above[: above.index(root)]
    return any(each.is_symlink() or (each.exists() and not each.is_dir()) for each in within)


def _make_folders(folder: Path, existing: Path) -> None:
    for each in reversed((folder, *folder.parents)):  # one by one: those above would get the mode of the umask
        if existing in each.parents:
            each.mkdir(mode=0o700, exist_ok=True)
    while folder != existing:
        sync_folder(folder)
        folder = folder.parent
    sync_folder(existing)
