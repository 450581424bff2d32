"""One folder: which of its names differ between tree and index. Reads only; one name at a time.

Only a listing that was read to its end proves that something is gone. Names that the protocol cannot tell (not
UTF-8, sockets, mount points) are left out and counted.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from server_stub.external.sight import Covered, Sight
from server_stub.names import HIDDEN_FOLDER, holdable
from server_stub.values import Evidence, Item, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server_stub.external.doubts import Names
    from server_stub.external.sight import Eyes, Found
    from server_stub.store import View
    from server_stub.tree import Tree

_ROWS_AT_ONCE: Final = 2_000


class Astray(Exception):
    """The folder is not where the index has it: what became of it is found from above."""


@dataclass(slots=True)
class Differences:
    """What was found in one folder."""

    names: list[str] = field(default_factory=list)  # to be looked at
    evidence: Evidence | None = None  # of the folder itself, taken before it was listed
    seen: int = 0
    left_out: int = 0


class Lister:
    """Compares folders with their rows."""

    def __init__(self, tree: Tree, hidden: frozenset[tuple[int, int]], eyes: Eyes) -> None:
        self._tree = tree
        self._eyes = eyes
        self.hidden = hidden
        self.inodes_hold = True  # False while the tree is known to lie on another disk than the index remembers

    def unchanged(self, folder: Item, names: Names) -> bool:
        """Whether the folder itself says that no name came, went or was replaced. Astray, OSError."""
        with self._tree.folder(names) as fd:
            found = Evidence.of(os.fstat(fd))
            same = found == folder.evidence  # to the nanosecond: then nothing else has to be asked
            if not same:
                self._check_same(folder, fd)
        return folder.trace.listed and same

    def compare(self, view: View, folder: Item, names: Names) -> Differences:
        """The names that differ. Astray, OSError when the folder cannot be listed to its end."""
        with self._tree.folder(names) as fd:
            sight = Sight(fd, self.hidden)
            evidence = Evidence.of(sight.stat)
            self._check_same(folder, fd)
            differences = Differences(evidence=evidence)
            with os.scandir(fd) as entries:
                listed = sorted(entry.name for entry in entries)
            at_top = not names
            speakable = [name for name in listed if holdable(name) and not (at_top and name == HIDDEN_FOLDER)]
            differences.left_out = len(listed) - len(speakable)
            for name, row in _paired(view, folder.item_id, speakable):
                self._compare_name(sight, name, row, differences)
        return differences

    def _check_same(self, folder: Item, fd: int) -> None:
        if self.inodes_hold and folder.parent_id is not None and not self._eyes.is_folder_of(folder, fd):
            raise Astray(folder.item_id)

    def _compare_name(self, sight: Sight, name: str, row: Item | None, differences: Differences) -> None:
        try:
            found = sight.look_at(name)
        except Covered:
            differences.left_out += 1
            return
        differences.seen += found is not None
        if found is None and row is None:
            differences.left_out += 1
        elif not self._agrees(sight.fd, row, found):
            differences.names.append(name)

    def _agrees(self, fd: int, row: Item | None, found: Found | None) -> bool:
        """Whether row and entry are as they were, so that nothing needs to be known of either."""
        if row is None or found is None:
            return row is None and found is None
        if row.evidence is None or row.kind is not found.kind:
            return False
        if row.evidence == found.evidence or row.kind is not Kind.FOLDER:
            return row.evidence == found.evidence
        # A folder's times move with every entry, and those of its row are of the moment when it was listed.
        same = (row.evidence.ino, row.mode & 0o777) == (found.stat.st_ino, found.stat.st_mode & 0o777)
        return same and row.trace.birth_ns != 0 and row.trace.birth_ns == self._eyes.birth_ns(fd, found.name)


def _paired(view: View, folder_id: str, listed: list[str]) -> Iterator[tuple[str, Item | None]]:
    """Names of the disk and of the index in one order, with the row that stands there."""
    at, after = 0, ""
    while True:
        rows = view.children(folder_id, after=after, limit=_ROWS_AT_ONCE)
        for row in rows:
            while at < len(listed) and listed[at] < row.name:
                yield listed[at], None
                at += 1
            at += at < len(listed) and listed[at] == row.name
            yield row.name, row
        if len(rows) < _ROWS_AT_ONCE:
            break
        after = rows[-1].name
    for name in listed[at:]:
        yield name, None
