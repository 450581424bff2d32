"""Listings that the kernel keeps are right: with changes here and elsewhere, by whoever reads."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.harness.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.mount import Mount

pytestmark = pytest.mark.fuse

# Not by opendir(3): it asks for the folder's time of last access, which the kernel does not know after a listing.
_COUNT = """
import ctypes, os, sys
fd, buffer, total = int(sys.argv[1]), ctypes.create_string_buffer(1 << 15), 0
os.lseek(fd, 0, os.SEEK_SET)
while (count := ctypes.CDLL(None).getdents64(fd, buffer, len(buffer))) > 0:
    total += count
print(total)
"""


def names_in(folder: Path | int) -> list[str]:
    """The names in a folder, or in an open one that is read from its beginning, in order."""
    return sorted(os.listdir(folder))  # noqa: PTH208 - pathlib reads no descriptor


def bytes_listed(fd: int) -> int:
    """How long a listing another process reads through a descriptor; raises TimeoutExpired when nobody answers."""
    told = subprocess.run(
        [sys.executable, "-c", _COUNT, str(fd)], pass_fds=(fd,), timeout=DEADLINE_S, check=True, capture_output=True
    )
    return int(told.stdout)


def test_a_second_listing_needs_nobody_to_answer(mount: Mount) -> None:
    for number in range(300):
        (mount.path / f"file-{number:03}").touch()
    mount.settle()
    fd = os.open(mount.path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        first = bytes_listed(fd)
        assert first > 300 * 24
        os.kill(mount.pid, signal.SIGSTOP)
        try:
            assert bytes_listed(fd) == first
        finally:
            os.kill(mount.pid, signal.SIGCONT)
    finally:
        os.close(fd)


def test_an_open_folder_that_is_rewound_shows_what_came_from_elsewhere(one: Path, two: Path) -> None:
    (one / "folder").mkdir()
    (one / "folder" / "first").touch()
    until(lambda: (two / "folder").is_dir() and names_in(two / "folder") == ["first"], "the folder to arrive")
    fd = os.open(two / "folder", os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert names_in(fd) == ["first"]
        (one / "folder" / "second").touch()
        until(lambda: names_in(fd) == ["first", "second"], "the new name")
        (one / "folder" / "first").unlink()
        until(lambda: names_in(fd) == ["second"], "the old name to go")
    finally:
        os.close(fd)


def test_a_listing_follows_its_folder_to_another_place(mount: Mount) -> None:
    (mount.path / "from" / "folder").mkdir(parents=True)
    (mount.path / "to").mkdir()

    def above(path: Path) -> int:
        """The inode number that the listing tells for ".."."""
        told = subprocess.run(["ls", "-ia", "-f", str(path)], check=True, capture_output=True, text=True).stdout
        return next(int(number) for number, name in map(str.split, told.splitlines()) if name == "..")

    assert above(mount.path / "from" / "folder") == (mount.path / "from").stat().st_ino
    (mount.path / "from" / "folder").rename(mount.path / "to" / "folder")
    assert above(mount.path / "to" / "folder") == (mount.path / "to").stat().st_ino


@pytest.mark.parametrize("seed", range(2))
def test_random_changes_on_both_sides_are_listed_as_they_are(one: Path, two: Path, seed: int) -> None:
    """While they are made, what stays is listed once by whoever lists; and in the end all is as it is."""
    chance = random.Random(seed)
    stay = {f"stays-{number:02}" for number in range(40)}
    one, two = one / f"of-{seed}", two / f"of-{seed}"
    (one / "folder").mkdir(parents=True)
    for name in sorted(stay):
        (one / "folder" / name).touch()
    until(lambda: (two / "folder").is_dir() and set(names_in(two / "folder")) == stay, "the folder to arrive")
    there: set[str] = set()
    for number in range(120):
        side = chance.choice([one, two]) / "folder"
        known = sorted(each for each in there if (side / each).exists())
        name = chance.choice(known) if known and chance.random() < 0.5 else f"name-{number}"
        if name in there:
            (side / name).unlink()
        else:
            (side / name).touch()
        there ^= {name}
        assert (name in names_in(side)) == (name in there)
        for path in (one, two):
            names = [entry.name for entry in os.scandir(path / "folder")]
            assert len(names) == len(set(names))
            assert stay <= set(names)
    for path in (one, two):
        until(lambda path=path: set(names_in(path / "folder")) == stay | there, "all changes to be listed")
