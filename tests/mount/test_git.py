"""git, whole: a clone in the mount is worked in, pushed from, and still sound when all of it comes from the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.drives import Drive, forget_everything
from tests.harness.trees import pattern, succeed

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.fuse

_IDENTITY = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
}


def git(folder: Path, *words: str | Path) -> str:
    """Run git there, with nobody's settings."""
    return succeed("git", "-C", folder, *words, **_IDENTITY)


def _origin(folder: Path) -> Path:
    """A bare repository with a history, made outside of the mount."""
    work = folder / "work"
    work.mkdir()
    git(work, "init", "--quiet", "--initial-branch=main")
    for commit in range(8):
        for number in range(12):
            path = work / f"d{number % 4}" / f"f{number}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(pattern(500 + 300 * number, commit * 31 + number).hex().encode())
        (work / "link").unlink(missing_ok=True)
        (work / "link").symlink_to(f"d0/f{commit}.txt")
        (work / "run.sh").write_text(f"#!/bin/sh\necho {commit}\n")
        (work / "run.sh").chmod(0o755)
        git(work, "add", "-A")
        git(work, "commit", "--quiet", "-m", f"commit {commit}")
    bare = folder / "origin.git"
    succeed("git", "clone", "--quiet", "--bare", work, bare, **_IDENTITY)
    return bare


def assert_sound(clone: Path) -> None:
    """Nothing differs from the commit, and every object is whole."""
    assert git(clone, "status", "--porcelain") == ""
    assert "error" not in git(clone, "fsck", "--full", "--strict").lower()


def test_a_clone_is_worked_in_and_pushed_and_survives_an_empty_cache(lonely: Drive, tmp_path: Path) -> None:
    origin = _origin(tmp_path)
    mount = lonely.mount("one")
    clone = mount.path / "clone"
    git(tmp_path, "clone", "--quiet", "--no-local", origin, clone)
    assert_sound(clone)

    (clone / "d1" / "f1.txt").write_text("edited in the mount\n")
    git(clone, "mv", "d2/f2.txt", "d3/renamed.txt")
    git(clone, "rm", "--quiet", "d0/f0.txt")
    (clone / "new.txt").write_text("new\n")
    git(clone, "add", "-A")
    git(clone, "commit", "--quiet", "-m", "from the mount")
    git(clone, "switch", "--quiet", "-c", "side", "HEAD~3")
    git(clone, "switch", "--quiet", "main")
    git(clone, "gc", "--quiet")
    git(clone, "push", "--quiet", "origin", "main", "side")
    assert_sound(clone)
    head = git(clone, "rev-parse", "HEAD")
    assert git(origin, "rev-parse", "main") == head

    mount.sync(60)
    forget_everything(mount)
    assert_sound(clone)
    assert git(clone, "rev-parse", "HEAD") == head
    assert (clone / "d3" / "renamed.txt").is_file()
    served = lonely.served / "clone"
    assert git(served, "-c", f"safe.directory={served}", "rev-parse", "HEAD") == head
    assert not list(lonely.served.rglob("*conflict*"))


def test_a_bare_repository_in_the_mount_takes_pushes(lonely: Drive, tmp_path: Path) -> None:
    origin = _origin(tmp_path)
    mount = lonely.mount("one")
    succeed("git", "clone", "--quiet", "--bare", "--no-local", origin, mount.path / "bare.git", **_IDENTITY)
    work = tmp_path / "work"
    git(work, "remote", "add", "drive", mount.path / "bare.git")
    (work / "more.txt").write_text("more\n")
    git(work, "add", "-A")
    git(work, "commit", "--quiet", "-m", "more")
    git(work, "push", "--quiet", "drive", "main")
    forget_everything(mount)
    git(mount.path / "bare.git", "fsck", "--full", "--strict")
    git(tmp_path, "clone", "--quiet", "--no-local", mount.path / "bare.git", tmp_path / "again")
    assert git(tmp_path / "again", "rev-parse", "HEAD") == git(work, "rev-parse", "HEAD")


def test_a_rebase_and_a_second_worktree(lonely: Drive, tmp_path: Path) -> None:
    """What rewrites many files at once, and a work tree that points into another one's repository."""
    mount = lonely.mount("one")
    clone, beside = mount.path / "clone", mount.path / "beside"
    git(tmp_path, "clone", "--quiet", "--no-local", _origin(tmp_path), clone)
    git(clone, "switch", "--quiet", "-c", "topic", "HEAD~3")
    for number in range(3):
        (clone / f"topic{number}.txt").write_text(f"{number}\n")
        git(clone, "add", "-A")
        git(clone, "commit", "--quiet", "-m", f"topic {number}")
    git(clone, "rebase", "--quiet", "main")
    assert git(clone, "rev-list", "--count", "main..topic").strip() == "3"
    git(clone, "worktree", "add", "--quiet", beside, "main")
    (beside / "d1" / "f1.txt").write_text("in the second work tree\n")
    git(beside, "commit", "--quiet", "-a", "-m", "beside")
    git(clone, "rebase", "--quiet", "main")
    assert (clone / "d1" / "f1.txt").read_text() == "in the second work tree\n"
    for tree in (clone, beside):
        assert_sound(tree)
    mount.sync(60)
    heads = [git(tree, "rev-parse", "HEAD") for tree in (clone, beside)]
    forget_everything(mount)
    for tree in (clone, beside):
        assert_sound(tree)
    assert [git(tree, "rev-parse", "HEAD") for tree in (clone, beside)] == heads
    git(clone, "worktree", "remove", beside)
    assert not beside.exists()
    assert not list(lonely.served.rglob("*conflict*"))
