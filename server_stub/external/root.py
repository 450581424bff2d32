"""Whether the exported directory is the one that the index belongs to.

A disk that is not mounted, or another one mounted in its place, must never look like a drive whose files were all
deleted. A tree that was restored to another disk is known by the root's mark, or by what it holds.
"""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from server_stub.instants import clamped
from server_stub.values import Evidence, Item, Kind, Trace, new_id, new_version

if TYPE_CHECKING:
    from server_stub.external.sight import Eyes
    from server_stub.store import Ledger, View
    from server_stub.tree import Tree

_KNOWN_MAX = 1_000  # names at the top that are compared
_ON_EVERY_DISK = frozenset({"lost+found"})


class RootReplaced(Exception):
    """The exported directory is not the one that this state belongs to."""


class Ground(StrEnum):
    """What the inodes that the index remembers are worth."""

    SAME = "same"
    RESTORED = "restored"  # the same tree on another disk: only names and marks still say something


def check_root(view: View, tree: Tree, eyes: Eyes) -> Ground:
    """RootReplaced when nothing speaks for this tree."""
    root = view.item(view.root_id() or "")
    found = tree.root_stat()
    there = os.stat(tree.path)  # noqa: PTH116 - only whether the path still leads to the open folder
    if (there.st_dev, there.st_ino) != (found.st_dev, found.st_ino):
        raise RootReplaced(f"{tree.path} leads to another directory than at the start: was a disk mounted there?")
    if root is None or root.evidence is None:
        return Ground.SAME
    birth_ns = eyes.birth_ns(tree.root_fd, ".")
    told = bool(birth_ns and root.trace.birth_ns)
    if root.evidence.ino == found.st_ino and (not told or birth_ns == root.trace.birth_ns):
        return Ground.SAME
    if eyes.mark(tree.root_fd, ".") == root.item_id:
        return Ground.RESTORED
    known = {item.name for item in view.children(root.item_id, limit=_KNOWN_MAX)} - _ON_EVERY_DISK
    if known and known.isdisjoint(tree.root_names()):
        raise RootReplaced(f"{tree.path} holds nothing of what this state knows: a disk not mounted?")
    return Ground.RESTORED


def make_root(ledger: Ledger, tree: Tree, eyes: Eyes, now_ns: int) -> str:
    """The first row of a new state; its item_id."""
    found = tree.root_stat()
    root = Item(
        item_id=new_id(now_ns),
        parent_id=None,
        name="",
        kind=Kind.FOLDER,
        size=0,
        mode=found.st_mode & 0o777,
        created_ns=now_ns,
        modified_ns=clamped(found.st_mtime_ns),
        metadata_version=new_version(),
    )
    evidence, trace = _settled(tree, eyes, root.item_id)
    with ledger.transaction() as tx:
        tx.put(msgspec.structs.replace(root, evidence=evidence, trace=trace))
        tx.set_note("root_id", root.item_id)
    return root.item_id


def adopt_root(ledger: Ledger, tree: Tree, eyes: Eyes) -> None:
    """The tree was walked where it lies now: from here on its inodes hold again."""
    root_id = ledger.root_id() or ""
    with ledger.transaction() as tx:
        tx.note_disk(root_id, *_settled(tree, eyes, root_id))


def _settled(tree: Tree, eyes: Eyes, root_id: str) -> tuple[Evidence, Trace]:
    marked = eyes.write(tree.root_fd, ".", root_id)
    return Evidence.of(tree.root_stat()), Trace(birth_ns=eyes.birth_ns(tree.root_fd, "."), marked=marked)
