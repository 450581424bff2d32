"""Which folder every inotify watch stands for: a tree of watches, so that renaming a folder changes one entry. Pure.

A watch descriptor stays with its folder wherever that is moved.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server_stub.watching.notices import FolderNames


@dataclass(slots=True)
class _Watched:
    parent: int | None  # None: the root, or taken out of the tree
    name: str
    children: dict[str, int] = field(default_factory=dict)


class Watches:
    """Watch descriptors by parent and name."""

    def __init__(self) -> None:
        self._watched: dict[int, _Watched] = {}
        self._root = -1

    def __len__(self) -> int:
        return len(self._watched)

    def __contains__(self, watch: int) -> bool:
        return watch in self._watched

    def set_root(self, watch: int) -> None:
        """The exported folder."""
        self._root = watch
        self._watched[watch] = _Watched(parent=None, name="")

    def child(self, parent: int, name: str) -> int | None:
        """The watch of a folder by its name in another."""
        folder = self._watched.get(parent)
        return None if folder is None else folder.children.get(name)

    def place(self, watch: int, parent: int, name: str) -> None:
        """The folder lies here now, wherever it lay before; what was known under that name is taken out."""
        if watch == self._root or parent not in self._watched or self._is_below(parent, watch):
            return
        before = self.child(parent, name)
        if before is not None and before != watch:
            self.take_out(before)
        self.take_out(watch)
        watched = self._watched.setdefault(watch, _Watched(parent=None, name=name))
        watched.parent, watched.name = parent, name
        self._watched[parent].children[name] = watch

    def take_out(self, watch: int) -> None:
        """It has no place in the tree now, nor has what lies below; `place` puts it back with all of that."""
        watched = self._watched.get(watch)
        if watched is None or watched.parent is None:
            return
        siblings = self._watched[watched.parent].children
        if siblings.get(watched.name) == watch:
            del siblings[watched.name]
        watched.parent = None

    def drop(self, watch: int) -> None:
        """The kernel watches it no longer."""
        self.take_out(watch)
        watched = self._watched.pop(watch, None)
        for child in () if watched is None else watched.children.values():
            self._watched[child].parent = None

    def below(self, watch: int) -> Iterator[int]:
        """The folder's watch and all below it."""
        order = [watch] if watch in self._watched else []
        for each in order:
            order.extend(self._watched[each].children.values())
        yield from order

    def names(self, watch: int) -> FolderNames | None:
        """The path below the root; None when it has no place in the tree."""
        parts: list[str] = []
        while watch != self._root:
            watched = self._watched.get(watch)
            if watched is None or watched.parent is None:
                return None
            parts.append(watched.name)
            watch = watched.parent
        return tuple(reversed(parts))

    def _is_below(self, watch: int, folder: int) -> bool:
        at: int | None = watch
        while at is not None:
            if at == folder:
                return True
            at = self._watched[at].parent
        return False
