"""Real programs put real trees into the mount and take them out again; nothing is different afterwards."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sysconfig
from typing import TYPE_CHECKING

import pytest

from tests.harness.drives import Drive, attribute, forget_everything
from tests.harness.trees import pattern, succeed, tree_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.fuse

FEWEST_FILES = 1500  # what counts as a real tree here
needs_rsync = pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")


def _library(target: Path) -> Path:
    """The standard library's sources, and a few things that it lacks: symlinks, odd modes, an empty file."""
    left_out = shutil.ignore_patterns("test", "tests", "site-packages", "dist-packages", "__pycache__", "*.so", "*.a")
    shutil.copytree(sysconfig.get_path("stdlib"), target, symlinks=True, ignore=left_out)
    for number in range(max(0, FEWEST_FILES - sum(1 for each in target.rglob("*") if each.is_file()))):
        part = target / "more" / f"{number % 7}" / f"part {number}.txt"
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(f"number {number}\n" * (number % 50))
    (target / "link").symlink_to("os.py")
    (target / "json" / "up").symlink_to("../nowhere")
    (target / "naïve name, with spaces.txt").write_text("ü\n")
    (target / "secret").write_text("mine")
    (target / "secret").chmod(0o600)
    (target / "run.sh").write_text("#!/bin/sh\n")
    (target / "run.sh").chmod(0o755)
    os.utime(target / "run.sh", ns=(1, 1_234_567_890_123_456_789))
    return target


def test_the_standard_library_goes_in_and_out_unchanged(lonely: Drive, tmp_path: Path) -> None:
    source = _library(tmp_path / "library")
    expected = tree_of(source)
    assert sum(1 for facts in expected.values() if facts[0] == "file") >= FEWEST_FILES
    mount = lonely.mount("one")

    succeed("cp", "-a", source, mount.path / "library")
    succeed("diff", "-r", "--no-dereference", source, mount.path / "library")
    mount.sync(60)
    assert tree_of(lonely.served / "library") == expected

    forget_everything(mount)
    succeed("cp", "-a", mount.path / "library", tmp_path / "out")
    succeed("diff", "-r", "--no-dereference", source, tmp_path / "out")
    assert tree_of(tmp_path / "out") == expected
    assert tree_of(mount.path / "library") == expected


def _small_tree(root: Path) -> Path:
    for number in range(60):
        path = root / f"d{number % 5}" / f"file {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pattern(number * 777, number))
        path.chmod(0o640 if number % 2 else 0o755)
        os.utime(path, ns=(0, 1_700_000_000_000_000_001 + number))
    (root / "link").symlink_to("d1/file 1")
    (root / "empty").mkdir()
    return root


def test_tar_packs_and_unpacks_in_the_mount(one: Path, tmp_path: Path) -> None:
    source = _small_tree(tmp_path / "source")
    succeed("tar", "-C", source.parent, "--format=posix", "-cf", one / "in.tar", "source")
    succeed("tar", "-C", one, "-xpf", one / "in.tar")
    assert tree_of(one / "source") == tree_of(source)
    succeed("tar", "-C", one, "--format=posix", "-czf", one / "out.tgz", "source")
    (tmp_path / "back").mkdir()
    succeed("tar", "-C", tmp_path / "back", "-xzpf", one / "out.tgz")
    assert tree_of(tmp_path / "back" / "source") == tree_of(source)


@needs_rsync
def test_rsync_copies_updates_and_deletes(one: Path, served: Path, drive: Drive, tmp_path: Path) -> None:
    source = _small_tree(tmp_path / "source")
    succeed("rsync", "-a", f"{source}/", one / "copy")
    assert tree_of(one / "copy") == tree_of(source)

    (source / "d1" / "file 1").write_bytes(b"other bytes")
    (source / "d2" / "file 2").unlink()
    shutil.rmtree(source / "d3")
    (source / "d4" / "file 4").rename(source / "d0" / "moved")
    (source / "new").mkdir()
    (source / "new" / "file").write_text("new")
    before = attribute_or_none(one / "copy" / "d1" / "file 1")
    with drive.mounts["one"].paused():
        succeed("rsync", "-a", "--delete", f"{source}/", one / "copy")
    assert tree_of(one / "copy") == tree_of(source)
    assert succeed("rsync", "-ain", "--delete", f"{source}/", one / "copy") == ""

    drive.mounts["one"].sync()
    assert tree_of(served / "copy") == tree_of(source)
    assert before is None or attribute(one / "copy" / "d1" / "file 1", "item_id") == before
    succeed("rsync", "-a", f"{one}/copy/", tmp_path / "back")
    assert tree_of(tmp_path / "back") == tree_of(source)


def attribute_or_none(path: Path) -> str | None:
    """The item's id, None while the server has not given one."""
    try:
        return attribute(path, "item_id")
    except OSError:
        return None


@pytest.mark.parametrize("journal", ["delete", "truncate", "wal"])
def test_a_sqlite_database_lives_in_the_mount(
    one: Path, served: Path, drive: Drive, tmp_path: Path, journal: str
) -> None:
    path = one / "data.db"
    connection = sqlite3.connect(path)
    # Shared memory over FUSE is this machine's own affair; sqlite can do without it, as for any network folder.
    connection.execute("PRAGMA locking_mode = exclusive" if journal == "wal" else "PRAGMA locking_mode = normal")
    assert connection.execute(f"PRAGMA journal_mode = {journal}").fetchone() == (journal,)
    connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT)")
    for start in range(0, 400, 100):
        with connection:
            connection.executemany("INSERT INTO t VALUES (?, ?)", ((n, str(n) * 50) for n in range(start, start + 100)))
    connection.execute("DELETE FROM t")
    connection.rollback()
    connection.execute("VACUUM")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()

    drive.mounts["one"].sync()
    assert {each.name for each in served.iterdir()} - {"data.db-journal"} == {"data.db"}
    shutil.copy(served / "data.db", tmp_path / "copy.db")
    for database in (path, tmp_path / "copy.db"):
        opened = sqlite3.connect(database)
        assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert opened.execute("SELECT count(*), sum(n) FROM t").fetchone() == (400, sum(range(400)))
        opened.close()
