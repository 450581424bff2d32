"""The server is gone: what is held is read, everything is changed, for as long as wanted, and all of it arrives later.

200 changes, with `--long` 4,000; the mount is killed and started again in between.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.harness.trees import tree_of
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness.drives import Drive

pytestmark = pytest.mark.fuse
FOLDERS = 10
HELD = {f"folder{number}/held{number}": b"held %d" % number for number in range(FOLDERS)}


class Work:
    """Changes at random, and what must have come of them."""

    def __init__(self, root: Path) -> None:
        self._root, self._chance, self._count = root, random.Random(7), 0
        self.tree = dict(HELD)

    def some(self, changes: int) -> None:
        """So many more."""
        for _ in range(changes):
            self._count += 1
            self._chance.choice((self._make, self._make, self._edit, self._move, self._remove))()

    def _any(self) -> str:
        return self._chance.choice(list(self.tree))

    def _make(self) -> None:
        name = f"folder{self._chance.randrange(FOLDERS)}/made{self._count}"
        self._write(name, b"made %d" % self._count)

    def _edit(self) -> None:
        self._write(self._any(), b"edited %d" % self._count)

    def _write(self, name: str, data: bytes) -> None:
        (self._root / name).write_bytes(data)
        self.tree[name] = data

    def _move(self) -> None:
        name, target = self._any(), f"folder{self._chance.randrange(FOLDERS)}/moved{self._count}"
        (self._root / name).rename(self._root / target)
        self.tree[target] = self.tree.pop(name)

    def _remove(self) -> None:
        name = self._any()
        (self._root / name).unlink()
        del self.tree[name]


def contents(root: Path) -> dict[str, bytes]:
    """Files, by their paths."""
    return {str(each.relative_to(root)): each.read_bytes() for each in root.rglob("*") if each.is_file()}


def test_thousands_of_changes_arrive_later(lonely: Drive, often: Callable[[int, int], int]) -> None:
    for name, data in HELD.items():
        (lonely.served / name).parent.mkdir()
        (lonely.served / name).write_bytes(data)
    lonely.server.scan()
    link = lonely.link()
    mount = lonely.mount("one", url=link.url)
    assert contents(mount.path) == HELD
    changes = often(200, 4_000)
    link.cut()
    until(lambda: mount.status()["connection"] == "offline", "the mount to notice")

    work = Work(mount.path)
    work.some(changes // 2)
    assert contents(mount.path) == work.tree
    mount.kill()
    mount.remount()
    work.some(changes // 2)
    assert contents(mount.path) == work.tree
    assert contents(lonely.served) == HELD, "it was to be gone"

    link.mend()
    until(lambda: mount.status()["queue_pending"] == 0, "all to be sent", deadline_s=often(60, 1_200))
    mount.settle()
    assert contents(lonely.served) == work.tree
    assert tree_of(lonely.served) == tree_of(mount.path)
