"""Random work on files as data: drawn from a seed, so that it can be done again, and made shorter."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDERS = ("", "", "d/", "e/", "d/f/")
NAMES = ("a", "b", "c", "ü")
SLOTS = 6  # open files, and as many mappings
PAGE_BYTES = 4096
OFFSET_MAX_BYTES = 6 << 20  # beyond 4 MiB a file is sent in pieces, and then only what changed
ACCESS = (os.O_RDWR, os.O_RDWR, os.O_RDWR | os.O_CREAT, os.O_RDWR | os.O_CREAT, os.O_RDONLY, os.O_WRONLY,
          os.O_RDWR | os.O_TRUNC, os.O_RDWR | os.O_APPEND, os.O_RDWR | os.O_CREAT | os.O_EXCL)  # fmt: skip
# How often each kind of step is drawn.
KINDS = {
    "open": 16, "close": 8, "again": 2,
    "pwrite": 16, "write": 6, "pread": 14, "read": 3, "ftruncate": 6, "allocate": 2, "copy_range": 3, "send": 1,
    "map": 4, "map_write": 8, "map_read": 5, "map_sync": 2, "unmap": 3, "fsync": 3,
    "fstat": 3, "stat": 4, "truncate": 4, "rename": 6, "unlink": 5, "mkdir": 3, "rmdir": 1, "list": 2, "chmod": 1,
    "utime": 1, "link": 1, "save": 5, "copy": 3, "look": 2,
    "evict": 4, "settle": 1, "elsewhere": 2, "remount": 0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One step. Every step has all fields and uses those that its kind needs; `seed` makes its bytes."""

    kind: str
    slot: int = 0
    other: int = 0
    path: str = ""
    target: str = ""
    offset: int = 0
    size: int = 0
    flags: int = 0
    seed: int = 0

    @property
    def data(self) -> bytes:
        """What it writes."""
        return random.Random(self.seed).randbytes(self.size)


def drawn(seed: int, length: int, *, remounts: bool = False) -> tuple[Step, ...]:
    """The work of a seed. With `remounts` the mount is ended, or killed, and started again now and then."""
    chance = random.Random(seed)
    weights = KINDS | {"remount": 1 if remounts else 0}
    return tuple(_step(chance, weights) for _ in range(length))


def _step(chance: random.Random, weights: dict[str, int]) -> Step:
    return Step(
        kind=chance.choices(list(weights), list(weights.values()))[0],
        slot=chance.randrange(SLOTS),
        other=chance.randrange(SLOTS),
        path=_path(chance),
        target=_path(chance),
        offset=_place(chance),
        size=chance.choice((0, 1, 100, PAGE_BYTES, PAGE_BYTES + 1, 3 * PAGE_BYTES, 70_000, 300_000)),
        flags=chance.choice(ACCESS),
        seed=chance.randrange(1 << 30),
    )


def _path(chance: random.Random) -> str:
    return chance.choice(FOLDERS) + chance.choice(NAMES)


def _place(chance: random.Random) -> int:
    """Mostly near the start, often at or beside the edge of a page."""
    near = int(OFFSET_MAX_BYTES ** chance.random())
    edge = near // PAGE_BYTES * PAGE_BYTES + chance.choice((-1, 0, 1))
    return max(0, chance.choice((0, near, edge)))


def shorter(
    steps: tuple[Step, ...], still: Callable[[tuple[Step, ...]], bool], *, tries: int = 300
) -> tuple[Step, ...]:
    """As few of these steps as are needed for `still` to be true of them."""
    size = max(len(steps) // 2, 1)
    while size:
        for fewer in tuple(_without(steps, size)) if tries > 0 else ():
            tries -= 1
            if tries >= 0 and set(fewer) < set(steps) and still(fewer):
                steps = fewer
                break
        else:
            size //= 2
    return steps


def _without(steps: tuple[Step, ...], size: int) -> Iterator[tuple[Step, ...]]:
    """The steps with so many left out at each place; from the end, where most can go."""
    for start in range(max(len(steps) - size, 0), -1, -size):
        yield steps[:start] + steps[start + size :]
