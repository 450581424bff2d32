"""The walk below a folder, breadth first, in steps that remember nothing but where they stand. Pure reading.

Level N tells the items N folders below the scope, by path. Its folders are found again from the scope for each
level by the index of folders alone, so memory is one path whatever the tree holds. The tree may change between two
steps: an item may then be told twice; a folder that moved is told by the feed after the anchor, and listed again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from server_stub.store import View
    from server_stub.values import Item

_STEPS_MAX: Final = 5_000  # folders entered and left in one go, so that a reader is never held for long


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """In the folder, behind this name, on the way through a level; `deeper`: the level had folders so far."""

    folder_id: str
    level: int = 1
    after: str = ""
    deeper: bool = False


def descend(
    view: View, scope_id: str, standing: Standing, *, limit: int, depth: int | None
) -> tuple[list[Item], Standing | None]:
    """The next at most `limit` items, perhaps none, and where to go on; None: all was told."""
    walk = _Walk(view, scope_id, standing)
    items: list[Item] = []
    for _ in range(_STEPS_MAX):
        items += walk.step(limit - len(items))
        if not walk.path and not walk.next_level(depth):
            return items, None
        if len(items) >= limit:
            break
    return items, walk.standing()


class _Walk:
    """One run over one snapshot: the folders from the scope down to where the walk stands."""

    def __init__(self, view: View, scope_id: str, standing: Standing) -> None:
        self._view = view
        self._scope_id = scope_id
        self._level = standing.level
        self._after = standing.after
        self._deeper = standing.deeper
        self.path = self._path_to(standing.folder_id)
        if not self.path:  # the folder left the scope: the level begins again
            self.path, self._after = [(scope_id, "")], ""

    def _path_to(self, folder_id: str) -> list[tuple[str, str]]:
        lineage = self._view.lineage(folder_id)
        start = next((at for at, (item_id, _) in enumerate(lineage) if item_id == self._scope_id), len(lineage))
        path = lineage[start:]
        return path if len(path) <= self._level else []

    def step(self, room: int) -> list[Item]:
        """Tell the children of a folder just above the level, or enter the next folder, or leave this one."""
        folder_id, _ = self.path[-1]
        if len(self.path) < self._level:
            following = self._view.next_folder(folder_id, self._after)
            if following is None:
                self._leave()
            else:
                self.path.append(following)
                self._after = ""
            return []
        items = self._view.children(folder_id, after=self._after, limit=room)
        self._deeper = self._deeper or any(item.is_folder for item in items)
        if len(items) < room:
            self._leave()
        else:
            self._after = items[-1].name
        return items

    def _leave(self) -> None:
        _, self._after = self.path.pop()

    def next_level(self, depth: int | None) -> bool:
        """Begin the next level from the scope; False when nothing lies deeper, or nothing deeper was asked for."""
        if not self._deeper or (depth is not None and self._level >= depth):
            return False
        self.path, self._after = [(self._scope_id, "")], ""
        self._level, self._deeper = self._level + 1, False
        return True

    def standing(self) -> Standing:
        """Where this run ends."""
        return Standing(self.path[-1][0], self._level, self._after, self._deeper)
