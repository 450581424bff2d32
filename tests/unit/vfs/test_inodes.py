"""Lookup counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache.model import ROOT_INO, Ino
from vfs.inodes import Inodes

if TYPE_CHECKING:
    import pytest

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


def test_absences_are_remembered_as_long_as_the_folder() -> None:
    inodes = Inodes()
    inodes.remember(FIVE)
    inodes.remember_absence(FIVE, "a")
    assert inodes.may_miss(FIVE, "a")
    assert not inodes.may_miss(FIVE, "b")
    assert not inodes.may_miss(ROOT_INO, "a")
    inodes.forget(FIVE, 1)
    assert not inodes.may_miss(FIVE, "a")


def test_beyond_the_bound_any_name_may_have_been_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfs.inodes.ABSENCES_KEPT", 2)
    inodes = Inodes()
    inodes.remember(FIVE)
    for name in ("a", "a", "b", "c"):
        assert inodes.may_miss(FIVE, "unseen") is (name == "c")
        inodes.remember_absence(FIVE, name)
    assert inodes.may_miss(FIVE, "unseen")
    inodes.forget(FIVE, 1)
    assert not inodes.may_miss(FIVE, "unseen")
