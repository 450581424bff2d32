"""What a person decides about a real mount of a real server: [S6.1] to [S6.5] of vfs/SEMANTICS.md."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.harness.drives import attribute, converge, seen
from tests.harness.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.drives import Drive
    from tests.harness.mount import Mount

pytestmark = pytest.mark.fuse


@pytest.fixture(scope="module")
def held(drive: Drive) -> Mount:
    """A mount that holds its changes for review."""
    return drive.mount("held", "--push=review")


@pytest.fixture
def careful(held: Mount, one: Path) -> Path:
    """The test's folder on that mount."""
    folder = held.path / one.name
    until(folder.is_dir, "the folder")
    return folder


def asked(mount: Mount, *words: object, status: int = 0) -> dict[str, object]:
    """What a command tells as JSON."""
    done = mount.command(*(str(word) for word in words), "--json")
    assert done.returncode == status, done.stderr
    told = json.loads(done.stdout)
    assert isinstance(told, dict)
    return told


def test_pause_and_resume(drive: Drive, one: Path, served: Path) -> None:
    """[S6.1] After `anchorfs pause` nothing leaves this machine; it holds until `anchorfs resume`, across restarts."""
    mount = drive.mounts["one"]
    assert asked(mount, "pause", mount.path) == {"paused": True}
    (one / "file").write_bytes(b"later")
    failure = asked(mount, "sync", mount.path, "--wait", status=75)["error"]
    assert isinstance(failure, dict)
    assert failure["kind"] == "paused"
    assert mount.stop() == 75
    mount.remount()
    assert asked(mount, "status", mount.path)["paused"] is True
    assert not (served / "file").exists()
    asked(mount, "resume", mount.path)
    mount.sync()
    assert (served / "file").read_bytes() == b"later"


def test_approve_and_reject(held: Mount, careful: Path, one: Path, served: Path, drive: Drive) -> None:
    """[S6.2] Local changes wait for `anchorfs approve`. … `anchorfs reject` shows the server's state again."""
    (one / "agreed").write_bytes(b"old")
    (one / "doubtful").write_bytes(b"old")
    drive.mounts["one"].sync()
    seen(careful / "doubtful", b"old")
    (careful / "agreed").write_bytes(b"by the agent")
    (careful / "doubtful").unlink()
    (careful / "new").mkdir()
    (careful / "new" / "file").write_bytes(b"new")
    (careful / "bad").write_bytes(b"bad")
    failure = asked(held, "sync", held.path, "--wait", status=75)["error"]
    assert isinstance(failure, dict)
    assert failure["kind"] == "held"
    waiting = asked(held, "queue", held.path)["changes"]
    assert isinstance(waiting, list)
    assert {row["state"] for row in waiting} == {"held"}
    assert sorted(each.name for each in served.iterdir()) == ["agreed", "doubtful"]

    asked(held, "approve", careful / "agreed", careful / "new" / "file")
    until((served / "new" / "file").exists, "what was approved")
    until(lambda: (served / "agreed").read_bytes() == b"by the agent", "what was approved")
    told = asked(held, "reject", careful)["rejected"]
    assert isinstance(told, list)
    (kept,) = [row["kept"] for row in told if row["kept"]]
    with open(kept, "rb") as file:  # noqa: PTH123 - a path as the command told it
        assert file.read() == b"bad"
    assert asked(held, "status", held.path)["set_aside_files"] == 1
    assert sorted(each.name for each in careful.iterdir()) == ["agreed", "doubtful", "new"]
    assert (careful / "doubtful").read_bytes() == b"old"
    held.sync()
    assert not (served / "bad").exists()
    nothing = asked(held, "reject", held.path, status=1)["error"]
    assert isinstance(nothing, dict)
    assert (nothing["kind"], nothing["message"]) == ("nothing-held", "no change is held in this mount")


def test_a_waiting_move_is_called_so(held: Mount, careful: Path, one: Path, drive: Drive) -> None:
    (one / "folder").mkdir()
    for name in ("first", "second"):
        (one / name).write_bytes(b"bytes")
    drive.mounts["one"].sync()
    for name in ("first", "second"):
        seen(careful / name, b"bytes")
    (careful / "first").rename(careful / "renamed")
    (careful / "second").rename(careful / "folder" / "second")
    lines = [line.split(maxsplit=2) for line in held.command("queue", held.path).stdout.splitlines()]
    changes = {change: rest for state, change, rest in lines if state == "held"}
    assert sorted(changes) == ["move", "rename"]
    assert changes["rename"].startswith(f"{careful}/first to renamed ")
    assert changes["move"].startswith(f"{careful}/second to {careful}/folder/second ")
    told = held.command("reject", careful).stdout.splitlines()
    assert sorted(told) == [f"rejected: move /{one.name}/{new}" for new in ("folder/second", "renamed")]


def test_conflicts_are_listed_and_resolved(drive: Drive, one: Path, two: Path) -> None:
    """[S6.4] `anchorfs conflicts` lists the copies …; `resolve PATH --keep original|copy|both` settles one."""
    first, second = drive.mounts["one"], drive.mounts["two"]
    left = {"original": {b"theirs"}, "copy": {b"mine"}, "both": {b"mine", b"theirs"}}
    for keep in left:
        (one / keep).write_bytes(b"base")
        seen(two / keep, b"base")
    asked(second, "pause", second.path)
    for keep in left:
        (two / keep).write_bytes(b"mine")
        (one / keep).write_bytes(b"theirs")
    first.sync()
    asked(second, "resume", second.path)
    converge(second, first)
    told = asked(second, "conflicts", "list", second.path)["conflicts"]
    assert isinstance(told, list)
    copies = {row["original"].rpartition("/")[2]: row["copy"] for row in told}
    assert copies.keys() == left.keys()
    for keep, copy in copies.items():
        asked(second, "conflicts", "resolve", second.path / copy.lstrip("/"), "--keep", keep)
    converge(second, first)
    for keep, contents in left.items():
        assert {each.read_bytes() for each in one.iterdir() if each.name.startswith(keep)} == contents
        assert (two / keep).read_bytes() == (b"mine" if keep == "copy" else b"theirs")
        assert attribute(two / keep, "sync") == "synced"
    assert asked(second, "conflicts", second.path) == {"conflicts": []}


def test_activity_tells_who_changed_what(drive: Drive, one: Path, two: Path) -> None:
    """[S6.5] `anchorfs activity [PATH]` tells what changed, whether from here or from the server."""
    first, second = drive.mounts["one"], drive.mounts["two"]
    assert list(two.iterdir()) == []
    with subprocess.Popen(
        [*second._program(), "activity", str(two), "--follow", "--json"],
        env=second.environment, stdout=subprocess.PIPE, text=True,
    ) as following:  # fmt: skip
        try:
            (one / "file").write_bytes(b"1")
            converge(first, second)
            seen(two / "file", b"1")
            (two / "file").rename(two / "moved")
            converge(second, first)
            os.unlink(one / "moved")  # noqa: PTH108
            converge(first, second)
            assert following.stdout is not None
            told = [json.loads(following.stdout.readline()) for _ in range(4)]
        finally:
            following.terminate()
    assert [(row["who"], row["what"], row["path"].rpartition("/")[2]) for row in told[1:]] == [
        ("server", "created", "file"),
        ("here", "moved", "moved"),
        ("server", "removed", "moved"),
    ]
    done = first.command("activity", str(one / "moved"), "--json")
    assert [json.loads(line)["who"] for line in done.stdout.splitlines()] == ["server", "here"]
