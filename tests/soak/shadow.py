"""Steps done in a mount and in its shadow, a local folder, side by side; any difference ends it.

What has no counterpart in the shadow changes nothing there: the bytes in the mount are evicted, the changes sent, the
mount ended and started again. What another machine does is done in the shadow as well.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from tests.harness.trees import tree_of
from tests.soak.side import Side

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.harness.mount import Mount
    from tests.soak.steps import Step

LOOK_EVERY = 40  # steps
_ALONE = frozenset({"evict", "settle", "elsewhere", "remount"})


class Difference(AssertionError):
    """The two sides do not agree."""


class Shadow:
    """`mount` and `other` are two mounts of the drive that is exported as `served`; `local` is on a local disk."""

    def __init__(self, mount: Mount, other: Mount, served: Path, local: Path) -> None:
        self._mount, self._other, self._served, self._local = mount, other, served, local

    def compare(self, name: str, steps: Sequence[Step]) -> None:
        """Do all steps in new folders of that name. Raises Difference; the folders are gone afterwards, if none."""
        with Side(self._mount.path / name) as here, Side(self._local / name) as there:
            for number, step in enumerate(steps, 1):
                if step.kind in _ALONE:
                    getattr(self, f"_{step.kind}")(step, here, there)
                elif (found := here.do(step)) != (expected := there.do(step)):
                    raise Difference(f"step {number}, {step}: {found}, and locally {expected}")
                if number % LOOK_EVERY == 0:
                    _same(tree_of(here.root, times=False), tree_of(there.root, times=False), f"step {number}")
        self._rest(here, there)

    def _rest(self, here: Side, there: Side) -> None:
        """The mount, the server, the other mount and the shadow hold the same."""
        expected = tree_of(there.root, times=False)
        _same(tree_of(here.root, times=False), expected, "the end")
        self._mount.settle()
        _same(tree_of(self._served / here.root.name, times=False), expected, "the server")
        _same(tree_of(here.root, times=False), expected, "the end, synced")
        self._other.settle()
        _same(tree_of(self._other.path / here.root.name, times=False), expected, "the other mount")
        shutil.rmtree(here.root)
        shutil.rmtree(there.root)

    def _evict(self, step: Step, here: Side, there: Side) -> None:
        """What is not open or unsent is not here any more: one folder of it, or all."""
        del there
        folder = (here.root / step.path).parent
        self._mount.evict(folder if folder.is_dir() else here.root)

    def _settle(self, step: Step, here: Side, there: Side) -> None:
        """Everything is sent; files may be open."""
        del step, here, there
        self._mount.settle()

    def _elsewhere(self, step: Step, here: Side, there: Side) -> None:
        """Another machine replaces, appends to, moves or deletes a file that is not open here."""
        here.close_all()
        there.close_all()
        self._mount.settle()
        self._other.settle()
        for root in (self._other.path / here.root.name, there.root):
            _change(Side(root), step)
        self._other.settle()
        self._mount.settle()

    def _remount(self, step: Step, here: Side, there: Side) -> None:
        """In order, or by kill -9."""
        here.close_all()
        there.close_all()
        if step.seed % 2:
            self._mount.kill()
        else:
            assert self._mount.stop() == 0, self._mount.log()
        self._mount.remount()


def _change(side: Side, step: Step) -> None:
    kind = ("save", "copy", "rename", "unlink", "truncate")[step.seed % 5]
    side.do(type(step)(kind, path=step.path, target=step.target, offset=step.offset, size=step.size, seed=step.seed))


def _same(found: dict[str, tuple[object, ...]], expected: dict[str, tuple[object, ...]], where: str) -> None:
    if found == expected:
        return
    paths = sorted(path for path in found.keys() | expected.keys() if found.get(path) != expected.get(path))
    told = [f"{path}: {found.get(path)}, and locally {expected.get(path)}" for path in paths[:4]]
    raise Difference(f"{where}: {os.linesep.join(told)}")
