"""What a worker may claim about its files: what it was told was done, and what may have been done when it was told no.

A content is bytes (a file), str (where a symlink points), None (a folder), or ABSENT. An interrupted change may have
been done in part where it takes several system calls; one that the kernel does at once was done or was not.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Absent(Enum):
    """Nothing has that name."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT
Content = bytes | str | None | Absent


@dataclass(frozen=True, slots=True)
class Change:
    """What a piece of work does to some paths; `at_once`: all of it or nothing. `between`: what else may be there."""

    before: Mapping[str, Content]
    after: Mapping[str, Content]
    at_once: bool = False
    between: Mapping[str, Content] | None = None

    def explains(self, found: Mapping[str, Content]) -> bool:
        """Whether the change, interrupted somewhere, may have left this."""
        if self.at_once:
            return found in (dict(self.before), dict(self.after))
        return all(self._explains(path, each) for path, each in found.items())

    def _explains(self, path: str, found: Content) -> bool:
        old, new = self.before[path], self.after[path]
        return _part_of(found, old, new) or _part_of(found, old, (self.between or {}).get(path, new))


def _part_of(found: Content, old: Content, new: Content) -> bool:
    """The beginning of the new bytes, and then nothing or the rest of the old ones."""
    if found in (old, new):
        return True
    if not isinstance(found, bytes) or not isinstance(new, bytes):
        return False
    same = next(
        (at for at, (one, other) in enumerate(zip(found, new, strict=False)) if one != other), min(len(found), len(new))
    )
    rest = found[same:]
    return not rest or (isinstance(old, bytes) and rest == old[len(found) - len(rest) :])


def look(path: Path) -> Content:
    """What is there now; raises OSError when that cannot be told."""
    try:
        told = path.lstat()
        if stat.S_ISLNK(told.st_mode):
            return str(path.readlink())
        return None if stat.S_ISDIR(told.st_mode) else path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT


class View:
    """A worker's own tree, in which nobody else works: path → content."""

    def __init__(self) -> None:
        self.tree: dict[str, bytes | str | None] = {}

    def take(self, found: Mapping[str, Content]) -> None:
        """This is there now."""
        for path, content in found.items():
            if content is ABSENT:
                self.tree.pop(path, None)
            else:
                self.tree[path] = content

    def get(self, path: str) -> Content:
        """What is claimed to be there."""
        return self.tree.get(path, ABSENT)

    def files(self) -> list[str]:
        """Files by path."""
        return [path for path, content in self.tree.items() if isinstance(content, bytes)]

    def folders(self) -> list[str]:
        """Folders by path; the top is ""."""
        return ["", *(path for path, content in self.tree.items() if content is None)]

    def below(self, folder: str) -> list[str]:
        """Everything in a folder, at any depth, and the folder."""
        return [path for path in self.tree if path == folder or path.startswith(f"{folder}/")]
