"""Performing the steps of an intent on the tree.

The order inside an intent is the law: SetAttributes, Keep, Fetch and Seal come first, can be undone and can be
repeated after a crash; one deciding step (Put, Move, Stow, StowTree, RemoveFolder) comes last, so nothing after
it can fail.
`Drift` means that the tree is not what the index says: somebody else wrote there. Nothing is overwritten
then.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

from server_stub import failpoints
from server_stub.beneath import rename_new
from server_stub.drift import Drift, Undo, ino_of
from server_stub.intents import AnyStep, Fetch, Keep, Move, Put, RemoveFolder, Seal, SetAttributes, Stow, StowTree
from server_stub.tree import REAL_MODE_MASK, Place, Tree
from server_stub.tree_steps import TreeSteps

if TYPE_CHECKING:
    from collections.abc import Callable

    from server_stub.vault import Vault


class Steps:
    """Carries out steps between the tree and the vault."""

    def __init__(self, tree: Tree, vault: Vault) -> None:
        self._tree = tree
        self._vault = vault
        trees = TreeSteps(tree, vault)
        self._acts: Final[dict[type, Callable[..., Undo]]] = {
            Put: self._put,
            Keep: self._keep,
            Stow: self._stow,
            StowTree: trees.stow_tree,
            Fetch: trees.fetch,
            Seal: trees.seal,
            RemoveFolder: self._remove_folder,
            Move: self._move,
            SetAttributes: self._set_attributes,
        }

    def perform(self, steps: tuple[AnyStep, ...]) -> None:
        """All of them, or none: OSError and Drift leave the tree as it was. Durable when it returns."""
        undos: list[Undo] = []
        try:
            for step in steps:
                undos.append(self._acts[type(step)](step))
                failpoints.reach(f"after-{type(step).__name__.lower()}")
        except (OSError, Drift):
            for undo in reversed(undos):
                with contextlib.suppress(OSError):  # the start-up scan settles what cannot be undone now
                    undo()
            raise
        self.sync(steps)

    def decided(self, steps: tuple[AnyStep, ...]) -> bool:
        """Whether the deciding step was done before a crash: then nothing is left but to tell the rows."""
        match steps[-1]:
            case Put(place=place, ino=ino) | Move(target=place, ino=ino):
                found = self._tree.stat(place)
                return found is not None and found.st_ino == ino
            case Stow(place=place, ino=ino) | RemoveFolder(place=place, ino=ino):
                found = self._tree.stat(place)
                return found is None or found.st_ino != ino
            case _:
                return False

    def sync(self, steps: tuple[AnyStep, ...]) -> None:
        """fsync every folder that the steps touch."""
        folders = [place.folder for step in steps for place in _touched(step)]
        self._tree.sync(*folders)
        if any(isinstance(step, Keep | Stow) for step in steps):
            os.fsync(self._vault.kept_fd)

    def _put(self, step: Put) -> Undo:
        place, staging = step.place, self._vault.room_fd(step.room)
        with self._tree.folder(place.folder) as fd:
            if ino_of(fd, place.name) != step.replaces or ino_of(staging, step.staged) != step.ino:
                raise Drift(place)
            if step.mode is not None:
                os.chmod(step.staged, step.mode & REAL_MODE_MASK, dir_fd=staging)
            if step.replaces is None:
                rename_new(staging, step.staged, fd, place.name)
            else:
                os.rename(step.staged, place.name, src_dir_fd=staging, dst_dir_fd=fd)
        return _nothing

    def _keep(self, step: Keep) -> Undo:
        kept = self._vault.kept_fd
        if ino_of(kept, step.content_version) == step.ino:
            return _nothing
        with self._tree.folder(step.place.folder) as fd:
            self._expect(fd, step.place, step.ino)
            os.link(step.place.name, step.content_version, src_dir_fd=fd, dst_dir_fd=kept, follow_symlinks=False)
        return lambda: self._vault.drop_kept(step.content_version)

    def _stow(self, step: Stow) -> Undo:
        with self._tree.folder(step.place.folder) as fd:
            self._expect(fd, step.place, step.ino)
            if step.content_version is None:
                os.unlink(step.place.name, dir_fd=fd)
            else:
                os.rename(step.place.name, step.content_version, src_dir_fd=fd, dst_dir_fd=self._vault.kept_fd)
        return _nothing

    def _remove_folder(self, step: RemoveFolder) -> Undo:
        with self._tree.folder(step.place.folder) as fd:
            self._expect(fd, step.place, step.ino)
            os.rmdir(step.place.name, dir_fd=fd)
        return _nothing

    def _move(self, step: Move) -> Undo:
        with self._tree.folder(step.source.folder) as src, self._tree.folder(step.target.folder) as dst:
            self._expect(src, step.source, step.ino)
            if step.replaces is None:
                rename_new(src, step.source.name, dst, step.target.name)
                return _nothing
            self._expect(dst, step.target, step.replaces)
            if step.replaces == step.ino:  # two links of one file: rename(2) would leave both
                os.unlink(step.source.name, dir_fd=src)
            else:
                os.rename(step.source.name, step.target.name, src_dir_fd=src, dst_dir_fd=dst)
        return _nothing

    def _set_attributes(self, step: SetAttributes) -> Undo:
        with self._tree.folder(step.place.folder) as fd:
            self._expect(fd, step.place, step.ino)
        self._tree.set_attributes(step.place, mode=step.mode, modified_ns=step.modified_ns)
        return lambda: self._tree.set_attributes(step.place, mode=step.was_mode, modified_ns=step.was_modified_ns)

    def _expect(self, folder_fd: int, place: Place, ino: int) -> None:
        if ino_of(folder_fd, place.name) != ino:
            raise Drift(place)


def _touched(step: AnyStep) -> tuple[Place, ...]:
    if isinstance(step, Move):
        return (step.source, step.target)
    if isinstance(step, Keep | Fetch | Seal):  # in the vault; Seal makes its folders durable
        return ()
    return (step.place,)


def _nothing() -> None:
    return None
