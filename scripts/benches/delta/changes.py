"""k changes of a tree on the server's disk, and what is to be seen of them through a mount.

One is an edit. Of more, one in a hundred is the move of a folder with a hundred files, a fifth are new files, three in
twenty are deletions, the others edits. No file is changed twice in one go, so every change is one row of the feed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from scripts.benches.delta.stage import FILES_PER_FOLDER, file_name, folder_name

if TYPE_CHECKING:
    from pathlib import Path

KEPT_FOR_MOVES = 10  # one folder in so many: nothing else happens in it


class Sort(StrEnum):
    """What was done."""

    EDIT = "edit"
    CREATE = "create"
    DELETE = "delete"
    MOVE = "move"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """`path` below the root; `to` is where a folder went; `size` in bytes, of what is written."""

    sort: Sort
    path: str
    to: str = ""
    size: int = 0

    def make(self, root: Path) -> None:
        """On the server's disk."""
        target = root / self.path
        match self.sort:
            case Sort.DELETE:
                target.unlink()
            case Sort.MOVE:
                target.rename(root / self.to)
            case _:
                target.write_bytes(b"x" * self.size)

    def shows(self, mount: Path) -> bool:
        """Whether it is seen below `mount`."""
        try:
            status = (mount / (self.to or self.path)).stat()
        except FileNotFoundError:
            return self.sort is Sort.DELETE
        return self.sort is Sort.MOVE or (self.sort is not Sort.DELETE and status.st_size == self.size)


@dataclass(slots=True)
class Changer:
    """Picks what to change, by chance of a fixed seed."""

    items: int
    rounds: int = 0
    _gone: set[int] = field(default_factory=set)
    _moved: set[str] = field(default_factory=set)
    _made: int = 0
    _chance: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 - no secret

    def pick(self, count: int) -> list[Change]:
        """So many changes, mixed; what is written has one size, another one each time."""
        self.rounds += 1
        moves, creates, deletes = count // 100, count // 5, count * 3 // 20
        sorts = [Sort.CREATE] * creates + [Sort.DELETE] * deletes
        sorts += [Sort.EDIT] * (count - moves - len(sorts))
        self._chance.shuffle(sorts)
        used: set[int] = set()
        return [*(self._move(number) for number in range(moves)), *(self._pick(sort, used) for sort in sorts)]

    def _move(self, number: int) -> Change:
        """There, and the next time back."""
        name = folder_name(self._folders - 1 - number)
        places = (f"{name}-moved", name) if name in self._moved else (name, f"{name}-moved")
        self._moved ^= {name}
        return Change(sort=Sort.MOVE, path=places[0], to=places[1])

    def _pick(self, sort: Sort, used: set[int]) -> Change:
        staying = self._folders - max(1, self._folders // KEPT_FOR_MOVES)
        if sort is Sort.CREATE:
            self._made += 1
            folder = folder_name(self._chance.randrange(staying))
            return Change(sort=sort, path=f"{folder}/new-{self._made:06}.txt", size=self.rounds)
        number = 0  # the first file is never touched: with it the bench sees that a mount answers
        while number == 0 or number in used or number in self._gone:
            number = self._chance.randrange(staying * FILES_PER_FOLDER)
        used.add(number)
        self._gone.update({number} if sort is Sort.DELETE else ())
        return Change(sort=sort, path=file_name(number), size=self.rounds if sort is Sort.EDIT else 0)

    @property
    def _folders(self) -> int:
        return self.items // FILES_PER_FOLDER
