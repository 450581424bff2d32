"""The seam to content: what must hold of bytes, whatever keeps them.

Content is staged, then placed by one deciding step of a durable intent; what it displaces is kept under its
version first. `Drift`: the place is not what the step says, and nothing was changed. Everything blocks and
is durable when it returns. Folders and attributes are the tree's own business and no part of this seam.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from server_stub.intents import Keep, Move, Put, Stow
from server_stub.steps import Steps

if TYPE_CHECKING:
    from server_stub.tree import Tree
    from server_stub.vault import Staged, Vault

ContentStep = Put | Keep | Stow | Move


class Writing(Protocol):
    """Content on its way into the staging room."""

    @property
    def size(self) -> int:
        """Bytes so far."""
        ...

    def write(self, chunk: bytes) -> None:
        """Append; OSError when there is no room."""
        ...

    def finish(self, *, mode: int, modified_ns: int) -> Staged:
        """Durable, with its digest."""
        ...

    def abandon(self) -> None:
        """Leave nothing."""
        ...


class Blobs(Protocol):
    """The contents of one drive: staged, current, kept."""

    def begin(self) -> Writing:
        """Start staging."""
        ...

    def discard(self, name: str) -> None:
        """Drop something staged, if it is still there."""
        ...

    def perform(self, steps: tuple[ContentStep, ...]) -> None:
        """All of them or none, and again after a crash with the same end. OSError, Drift."""
        ...

    def decided(self, steps: tuple[ContentStep, ...]) -> bool:
        """Whether the deciding step, the last one, was done before a crash."""
        ...

    def open_current(self, names: tuple[str, ...]) -> int:
        """A descriptor for reading what lies at a place; OSError."""
        ...

    def open_kept(self, content_version: str) -> int:
        """A descriptor for reading an older content, whole and unchanging; OSError."""
        ...

    def drop_kept(self, content_version: str) -> None:
        """Forget an older content, if it is still there; who has it open reads on."""
        ...

    def sweep(self, kept_versions: set[str], upload_ids: set[str]) -> int:
        """At start: drop everything staged and everything that no row names; how many went."""
        ...


class TreeBlobs:
    """`Blobs` in a plain tree with the vault beside it."""

    def __init__(self, tree: Tree, vault: Vault) -> None:
        self.begin = vault.begin
        self.discard = vault.discard
        self.open_kept = vault.open_kept
        self.drop_kept = vault.drop_kept
        self.sweep = vault.sweep
        self.open_current = tree.open_file
        steps = Steps(tree, vault)
        self.perform = steps.perform
        self.decided = steps.decided
