"""Each way in which programs save, on a mount: the bytes arrive, the item lives on, nothing else stays behind."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.harness.drives import Drive, attribute
from tests.harness.trees import pattern as made_up
from tests.harness.waiting import until
from tests.interop.patterns import PATTERNS
from tests.interop.rest import at_rest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.mount import Mount
    from tests.interop.patterns import Pattern

pytestmark = pytest.mark.fuse

OLD, NEW = made_up(30_000, 1), made_up(45_678, 2)
BACKUPS = {"vim_in_place": "~", "emacs": "~", "gnome": "~", "cp_reflink": ".source"}  # these leave one, as they should
# The item stays where the file itself is written, or replaced by one that the server never saw. Who renames the old
# file away first takes the item with it, as the inode on a local disk.
MOVES_THE_ITEM = {"vim_by_rename", "emacs", "gnome", "office", "package_manager"}


def _saved(mount: Mount, one: Path, served: Path, save: Pattern) -> None:
    path = one / "report.txt"
    path.write_bytes(OLD)
    path.chmod(0o640)
    at_rest(mount, one, served)
    item_id = attribute(path, "item_id")
    mount.evict(path)
    assert attribute(path, "state") == "online-only"

    with mount.paused():  # so that the server does not see what the save replaces the file by
        save(path, NEW)

    found = at_rest(mount, one, served)
    backup = BACKUPS.get(save.__name__)
    assert set(found) == {"report.txt"} | ({f"report.txt{backup}"} if backup else set())
    assert (served / "report.txt").read_bytes() == NEW
    if save.__name__ in {"vim_in_place", "emacs", "gnome"}:
        assert (served / "report.txt~").read_bytes() == OLD
    if save.__name__ not in MOVES_THE_ITEM:
        assert attribute(path, "item_id") == item_id


@pytest.mark.parametrize("save", PATTERNS, ids=lambda save: save.__name__)
def test_a_save_leaves_the_new_bytes_and_nothing_else(first: Mount, one: Path, served: Path, save: Pattern) -> None:
    """[S10.1] However a program saves … [S10.2] … do without."""
    _saved(first, one, served, save)


def test_saves_come_faster_than_they_are_sent(first: Mount, one: Path, served: Path) -> None:
    """All of them on one file, one after another, without a pause."""
    path = one / "report.txt"
    path.write_bytes(OLD)
    for number, save in enumerate(PATTERNS):
        save(path, made_up(20_000 + number, number))
    found = at_rest(first, one, served)
    assert path.read_bytes() == made_up(20_000 + len(PATTERNS) - 1, len(PATTERNS) - 1)
    assert set(found) == {"report.txt", "report.txt~", "report.txt.source"}


def test_another_machine_sees_each_save_whole(first: Mount, second: Mount, one: Path, two: Path, drive: Drive) -> None:
    """A reader elsewhere finds the old bytes or the new ones, never some of each, and never no file for good."""
    path = one / "report.txt"
    path.write_bytes(OLD)
    first.settle()
    for number, save in enumerate(PATTERNS):
        data = made_up(30_000 + number, number + 50)
        save(path, data)
        until(lambda data=data: (two / "report.txt").read_bytes() == data, f"what {save.__name__} saved")  # type: ignore[misc]
    first.settle()  # what the last one has put out of the way
    assert len(os.listdir(drive.served / one.name)) == len(os.listdir(one))  # noqa: PTH208
    second.settle()
    assert sorted(each.name for each in two.iterdir()) == sorted(each.name for each in one.iterdir())
