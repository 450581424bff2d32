"""Steps that move more than one thing: contents back out of the vault, whole folders into it.

A folder leaves the tree by one rename and is looked through *after* it, out of everybody's reach: anything in it
that the index does not know puts it back.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from server_stub import failpoints
from server_stub.beneath import rename_new
from server_stub.clearing import opened_folder
from server_stub.drift import Drift, Undo, ino_of
from server_stub.tree import REAL_MODE_MASK, Place, Tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from server_stub.intents import Fetch, Seal, StowTree
    from server_stub.vault import Vault

Member = tuple[int, int, int] | int


class TreeSteps:
    """Fetch, Seal and StowTree."""

    def __init__(self, tree: Tree, vault: Vault) -> None:
        self._tree = tree
        self._vault = vault

    def _staged(self, names: tuple[str, ...]) -> AbstractContextManager[int]:
        return opened_folder(self._vault.staging_fd, names)

    def fetch(self, step: Fetch) -> Undo:
        """A content out of `kept/`; done already when recovery comes by again."""
        *folder, name = step.staged
        with self._staged(tuple(folder)) as fd:
            if ino_of(fd, name) != step.ino:
                rename_new(self._vault.kept_fd, step.content_version, fd, name)

        def undo() -> None:
            with self._staged(tuple(folder)) as back:
                rename_new(back, name, self._vault.kept_fd, step.content_version)

        return undo

    def seal(self, step: Seal) -> Undo:
        """The deepest folder first, so that no entry is made in a folder that has its time already."""
        for path, mode, modified_ns in step.folders:
            with self._staged((step.staged, *path)) as fd:
                os.fchmod(fd, mode & REAL_MODE_MASK)
                os.utime(fd, ns=(modified_ns, modified_ns))
                os.fsync(fd)
        return lambda: None

    def stow_tree(self, step: StowTree) -> Undo:
        """The deciding step. Drift when the folder held anything else than was to be deleted."""
        staging = self._vault.staging_fd
        with self._tree.folder(step.place.folder) as fd:
            if ino_of(staging, step.staged) != step.ino:
                if ino_of(fd, step.place.name) != step.ino:
                    raise Drift(step.place)
                rename_new(fd, step.place.name, staging, step.staged)
                failpoints.reach("stowing")
            try:
                stranger = self._stranger(step)
            except OSError:
                rename_new(staging, step.staged, fd, step.place.name)
                raise
            if stranger is None:
                return lambda: None
            rename_new(staging, step.staged, fd, step.place.name)
        *folders, name = stranger.split("/")
        raise Drift(Place((*step.place.names, *folders), name))

    def _stranger(self, step: StowTree) -> str | None:
        """A path below the folder that is not what was expected."""
        with self._staged((step.staged,)) as fd:
            found = dict(_members(fd))
        differing = {path for path, _ in found.items() ^ step.members.items()}
        return min(differing, default=None)


def _members(top_fd: int) -> Iterator[tuple[str, Member]]:
    """Everything below an open folder, without following links, one open folder at a time."""
    pending: list[tuple[str, ...]] = [()]
    while pending:
        above = pending.pop()
        with opened_folder(top_fd, above) as fd:
            with os.scandir(fd) as entries:
                names = [entry.name for entry in entries]
            for name in names:
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                path = (*above, name)
                if stat.S_ISDIR(found.st_mode):
                    pending.append(path)
                    yield "/".join(path), found.st_ino
                else:
                    yield "/".join(path), (found.st_ino, found.st_size, found.st_mtime_ns)
