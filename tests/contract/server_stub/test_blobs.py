"""The contract of everything that keeps content: one suite, every implementation."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from server_stub.blobs import Blobs, TreeBlobs
from server_stub.drift import Drift
from server_stub.intents import Keep, Move, Put, Stow
from server_stub.tree import Place, Tree
from server_stub.vault import Room, Vault
from tests.fakes.blobs import MemoryBlobs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from server_stub.vault import Staged

HERE = Place((), "f")
THERE = Place((), "g")


@pytest.fixture(params=["tree beside its vault", "tree around its vault", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Blobs]:
    if request.param == "memory":
        yield MemoryBlobs()
        return
    root = tmp_path / "root"
    root.mkdir()
    tree = Tree(root)
    vault = Vault((root if "around" in request.param else tmp_path) / "vault")
    yield TreeBlobs(tree, vault)
    vault.close()
    tree.close()


def stage(blobs: Blobs, data: bytes) -> Staged:
    writing = blobs.begin()
    for start in range(0, len(data), 3):
        writing.write(data[start : start + 3])
    assert writing.size == len(data)
    return writing.finish(mode=0o600, modified_ns=1_000_000_000)


def read(fd: int) -> bytes:
    try:
        return os.pread(fd, 1 << 16, 0)
    finally:
        os.close(fd)


def place(blobs: Blobs, data: bytes, where: Place = HERE) -> int:
    staged = stage(blobs, data)
    blobs.perform((Put(staged=staged.name, ino=staged.ino, place=where, mode=0o644),))
    return staged.ino


def test_staged_content_is_told_by_its_digest_and_placed_whole(blobs: Blobs) -> None:
    staged = stage(blobs, b"content")
    assert (staged.size, staged.digest) == (7, hashlib.sha256(b"content").hexdigest())
    step = Put(staged=staged.name, ino=staged.ino, place=HERE)
    assert not blobs.decided((step,))
    blobs.perform((step,))
    assert blobs.decided((step,))
    assert read(blobs.open_current(("f",))) == b"content"


def test_content_that_is_given_up_leaves_nothing(blobs: Blobs) -> None:
    writing = blobs.begin()
    writing.write(b"half")
    writing.abandon()
    staged = stage(blobs, b"x")
    blobs.discard(staged.name)
    blobs.discard(staged.name)
    with pytest.raises(Drift):
        blobs.perform((Put(staged=staged.name, ino=staged.ino, place=HERE),))
    assert blobs.sweep(set(), set()) == 0


def test_what_is_replaced_is_kept_under_its_version(blobs: Blobs) -> None:
    old = place(blobs, b"old")
    staged = stage(blobs, b"new")
    steps = (
        Keep(place=HERE, ino=old, content_version="v1"),
        Put(staged=staged.name, ino=staged.ino, place=HERE, replaces=old),
    )
    blobs.perform(steps)
    assert read(blobs.open_current(("f",))) == b"new"
    assert read(blobs.open_kept("v1")) == b"old"
    assert blobs.decided(steps)


def test_a_keep_may_be_repeated_after_a_crash(blobs: Blobs) -> None:
    old = place(blobs, b"old")
    keep = Keep(place=HERE, ino=old, content_version="v1")
    blobs.perform((keep,))
    staged = stage(blobs, b"new")
    blobs.perform((keep, Put(staged=staged.name, ino=staged.ino, place=HERE, replaces=old)))
    assert read(blobs.open_kept("v1")) == b"old"


@pytest.mark.parametrize("replaces", [None, 1 << 40])
def test_content_of_somebody_else_is_never_overwritten(blobs: Blobs, replaces: int | None) -> None:
    place(blobs, b"theirs")
    staged = stage(blobs, b"mine")
    with pytest.raises((Drift, FileExistsError)):
        blobs.perform((Put(staged=staged.name, ino=staged.ino, place=HERE, replaces=replaces),))
    assert read(blobs.open_current(("f",))) == b"theirs"
    blobs.perform((Put(staged=staged.name, ino=staged.ino, place=THERE),))  # it was not lost either
    assert read(blobs.open_current(("g",))) == b"mine"


def test_steps_are_taken_together_or_not_at_all(blobs: Blobs) -> None:
    old = place(blobs, b"old")
    with pytest.raises(Drift):
        blobs.perform(
            (
                Keep(place=HERE, ino=old, content_version="v1"),
                Put(staged="nowhere", ino=1, place=HERE, replaces=old),
            )
        )
    assert read(blobs.open_current(("f",))) == b"old"
    with pytest.raises(FileNotFoundError):
        blobs.open_kept("v1")


def test_a_stowed_content_is_kept_or_gone(blobs: Blobs) -> None:
    kept, gone = place(blobs, b"kept"), place(blobs, b"gone", THERE)
    steps = (Stow(place=HERE, ino=kept, content_version="v1"),)
    assert not blobs.decided(steps)
    blobs.perform(steps)
    assert blobs.decided(steps)
    blobs.perform((Stow(place=THERE, ino=gone, content_version=None),))
    assert read(blobs.open_kept("v1")) == b"kept"
    for names in (("f",), ("g",)):
        with pytest.raises(FileNotFoundError):
            blobs.open_current(names)


def test_a_move_takes_the_content_along(blobs: Blobs) -> None:
    moved, replaced = place(blobs, b"moved"), place(blobs, b"replaced", THERE)
    with pytest.raises((Drift, FileExistsError)):
        blobs.perform((Move(source=HERE, target=THERE, ino=moved),))
    keep = Keep(place=THERE, ino=replaced, content_version="v1")
    blobs.perform((keep, Move(source=HERE, target=THERE, ino=moved, replaces=replaced)))
    assert read(blobs.open_current(("g",))) == b"moved"
    assert read(blobs.open_kept("v1")) == b"replaced"


def test_whoever_has_a_dropped_content_open_reads_on(blobs: Blobs) -> None:
    blobs.perform((Stow(place=HERE, ino=place(blobs, b"old"), content_version="v1"),))
    fd = blobs.open_kept("v1")
    blobs.drop_kept("v1")
    blobs.drop_kept("v1")
    assert read(fd) == b"old"
    with pytest.raises(FileNotFoundError):
        blobs.open_kept("v1")


def test_a_sweep_drops_what_no_row_names(blobs: Blobs) -> None:
    for version in ("v1", "v2"):
        blobs.perform((Stow(place=HERE, ino=place(blobs, version.encode()), content_version=version),))
    place(blobs, b"current")
    stage(blobs, b"stray")
    assert blobs.sweep({"v1"}, set()) == 2
    assert read(blobs.open_kept("v1")) == b"v1"
    assert read(blobs.open_current(("f",))) == b"current"
    with pytest.raises(FileNotFoundError):
        blobs.open_kept("v2")


def test_rooms_are_apart(blobs: Blobs) -> None:
    staged = stage(blobs, b"x")
    with pytest.raises(Drift):
        blobs.perform((Put(staged=staged.name, ino=staged.ino, place=HERE, room=Room.UPLOADS),))
    blobs.perform((Put(staged=staged.name, ino=staged.ino, place=HERE),))
