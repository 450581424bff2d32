"""Older contents, the trash and search, by the commands, on a real mount of a real server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.harness.drives import attribute, converge, seen

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.drives import Drive
    from tests.harness.mount import Mount

pytestmark = pytest.mark.fuse


def told(mount: Mount, *words: object, status: int = 0) -> dict[str, list[dict[str, object]]]:
    done = mount.command(*(str(word) for word in words), "--json")
    assert done.returncode == status, done.stderr
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


def test_an_older_content_comes_back_and_the_newer_stays_a_version(first: Mount, one: Path) -> None:
    file = one / "letter.txt"
    for text in (b"first", b"second"):
        file.write_bytes(text)
        first.sync()
    versions = told(first, "versions", file)["versions"]
    assert [row["size"] for row in versions] == [6, 5]
    told(first, "restore", file)
    seen(file, b"first")
    again = told(first, "versions", file)["versions"]
    assert [row["size"] for row in again] == [5, 6, 5]
    told(first, "restore", file, "--version", again[1]["content_version"])
    seen(file, b"second")


def test_a_file_with_unsent_changes_is_not_restored_over(drive: Drive, one: Path) -> None:
    mount = drive.mounts["one"]
    file = one / "letter.txt"
    file.write_bytes(b"first")
    mount.sync()
    told(mount, "pause", mount.path)
    try:
        file.write_bytes(b"not sent")
        failure = told(mount, "restore", file, status=1)["error"]
        assert isinstance(failure, dict)
        assert failure["kind"] == "unsent-changes"
        assert file.read_bytes() == b"not sent"
    finally:
        told(mount, "resume", mount.path)


def test_what_was_deleted_comes_back_from_the_trash(drive: Drive, one: Path, two: Path) -> None:
    mount, other = drive.mounts["one"], drive.mounts["two"]
    (one / "kept").mkdir()
    file = one / "kept" / "letter.txt"
    file.write_bytes(b"dear")
    mount.sync()
    item_id = attribute(file, "item_id")
    file.unlink()
    converge(mount, other)
    deleted = [row["path"] for row in told(mount, "trash", mount.path)["trash"]]
    assert f"{one.name}/kept/letter.txt" in deleted
    told(mount, "restore", file)
    seen(file, b"dear")
    seen(two / "kept" / "letter.txt", b"dear")
    assert attribute(file, "item_id") == item_id
    nothing = told(mount, "restore", one / "never", status=1)["error"]
    assert isinstance(nothing, dict)
    assert nothing["kind"] == "not-in-trash"


def test_search_finds_what_was_never_listed_here(drive: Drive, first: Mount, one: Path, served: Path) -> None:
    deep = served / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (deep / "Needle-in-the-hay").write_bytes(b"")
    drive.server.scan()
    wanted = f"{one.name}/a/b/c/Needle-in-the-hay"
    assert [row["path"] for row in told(first, "search", "needle-IN", first.path)["found"]] == [wanted]
    plain = first.command("search", "needle", str(first.path))
    assert plain.stdout.strip() == str(first.path / wanted)


def test_the_commands_tell_what_cannot_be(first: Mount, one: Path) -> None:
    folder = one / "folder"
    folder.mkdir()
    for words, kind in ((("versions", folder), "not-a-file"), (("restore",), "usage")):
        failure = told(first, *words, status=2 if kind == "usage" else 1)["error"]
        assert isinstance(failure, dict)
        assert failure["kind"] == kind
