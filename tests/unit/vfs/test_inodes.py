"""Lookup counts."""

from __future__ import annotations

from cache.model import ROOT_INO, Ino
from vfs.inodes import Inodes

FIVE = Ino(5)


def test_an_inode_is_known_until_all_is_given_back() -> None:
    inodes = Inodes()
    assert not inodes.knows(FIVE)
    inodes.remember(FIVE)
    inodes.remember(FIVE)
    inodes.remember(FIVE)
    assert not inodes.forget(FIVE, 2)
    assert inodes.knows(FIVE)
    assert inodes.forget(FIVE, 1)
    assert not inodes.knows(FIVE)
    assert len(inodes) == 0


def test_dropping_is_told_once() -> None:
    inodes = Inodes()
    inodes.remember(FIVE)
    assert inodes.forget(FIVE, 9)
    assert not inodes.forget(FIVE, 1)


def test_the_root_is_always_held() -> None:
    inodes = Inodes()
    inodes.remember(ROOT_INO)
    assert not inodes.forget(ROOT_INO, 1)
    assert inodes.knows(ROOT_INO)


def test_what_is_held_at_the_end_is_told() -> None:
    inodes = Inodes()
    for ino in (ROOT_INO, FIVE, FIVE, Ino(6)):
        inodes.remember(ino)
    assert inodes.forget_all() == [FIVE, Ino(6)]
    assert inodes.forget_all() == []
