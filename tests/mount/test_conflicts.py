"""Both sides change one thing while they cannot hear each other: nothing is lost, and both mounts end alike."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.harness.drives import Drive, attribute, converge, seen
from tests.harness.trees import tree_of
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.proxy import FaultProxy
    from tests.harness.mount import Mount

pytestmark = pytest.mark.fuse


class Pair:
    """One folder on two mounts, `near` and `far`; inside `apart()` the far one hears nothing."""

    def __init__(self, drive: Drive, link: FaultProxy, folder: str) -> None:
        self._drive, self._link = drive, link
        self.near = drive.mounts["one"].path / folder
        self.far = drive.mounts["far"].path / folder

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What the near one does is on the server at the end; then the far one is back, and both settle."""
        self._link.cut()
        try:
            yield
            self._drive.mounts["one"].settle()
        finally:
            self._link.mend()
        converge(self._drive.mounts["far"], self._drive.mounts["one"])
        until(lambda: tree_of(self.near) == tree_of(self.far), "both mounts to show the same")

    def give(self, name: str, content: bytes) -> None:
        """A file that both sides have."""
        (self.near / name).write_bytes(content)
        seen(self.far / name, content)
        self._drive.mounts["one"].settle()

    def contents(self) -> dict[str, bytes]:
        """What is there in the end."""
        return {str(path.relative_to(self.near)): path.read_bytes() for path in self.near.rglob("*") if path.is_file()}


@pytest.fixture
def pair(drive: Drive, far: Mount, link: FaultProxy, one: Path) -> Pair:
    """A folder of this test on both."""
    made = Pair(drive, link, one.name)
    until((far.path / one.name).is_dir, "the far mount to see the folder")
    assert list(made.far.iterdir()) == []  # a folder that was never looked into cannot be worked in offline
    return made


def _copies(contents: dict[str, bytes]) -> list[str]:
    return [name for name in contents if "(conflict " in name]


def test_both_edit_one_file(pair: Pair) -> None:
    pair.give("letter.txt", b"base")
    item_id = attribute(pair.near / "letter.txt", "item_id")
    with pair.apart():
        (pair.near / "letter.txt").write_bytes(b"near")
        (pair.far / "letter.txt").write_bytes(b"far")
    found = pair.contents()
    (copy,) = _copies(found)
    assert found == {"letter.txt": b"near", copy: b"far"}
    assert copy.startswith("letter (conflict ")
    assert copy.endswith(".txt")
    assert attribute(pair.near / "letter.txt", "item_id") == item_id
    assert attribute(pair.far / copy, "sync") == "conflict"
    assert attribute(pair.far / copy, "conflict") == item_id


def test_both_write_the_same_bytes(pair: Pair) -> None:
    pair.give("file", b"base")
    with pair.apart():
        (pair.near / "file").write_bytes(b"agreed")
        (pair.far / "file").write_bytes(b"agreed")
    assert pair.contents() == {"file": b"agreed"}


def test_one_edits_what_the_other_deletes(pair: Pair) -> None:
    pair.give("edited far", b"base")
    pair.give("edited near", b"base")
    with pair.apart():
        (pair.near / "edited far").unlink()
        (pair.far / "edited far").write_bytes(b"far wins")
        (pair.far / "edited near").unlink()
        (pair.near / "edited near").write_bytes(b"near wins")
    assert pair.contents() == {"edited far": b"far wins", "edited near": b"near wins"}


def test_both_create_one_name(pair: Pair) -> None:
    with pair.apart():
        for side, content in ((pair.near, b"near"), (pair.far, b"far")):
            (side / "folder").mkdir()
            (side / "folder" / "file").write_bytes(content)
            (side / "folder" / f"only {content.decode()}").write_bytes(content)
            (side / "same").write_bytes(b"same bytes")
    found = pair.contents()
    (copy,) = _copies(found)
    assert found.pop(copy) == b"far"
    assert found == {
        "folder/file": b"near",
        "folder/only near": b"near",
        "folder/only far": b"far",
        "same": b"same bytes",
    }


def test_one_edits_what_the_other_moves(pair: Pair) -> None:
    pair.give("file", b"base")
    (pair.near / "folder").mkdir()
    with pair.apart():
        (pair.near / "file").rename(pair.near / "folder" / "moved")
        (pair.far / "file").write_bytes(b"edited")
    assert pair.contents() == {"folder/moved": b"edited"}


def test_both_move_one_file(pair: Pair) -> None:
    pair.give("file", b"base")
    with pair.apart():
        (pair.near / "file").rename(pair.near / "near")
        (pair.far / "file").rename(pair.far / "far")
    assert pair.contents() == {"near": b"base"}


def test_two_moves_take_one_name(pair: Pair) -> None:
    pair.give("a", b"a")
    pair.give("b", b"b")
    with pair.apart():
        (pair.near / "a").rename(pair.near / "name")
        (pair.far / "b").rename(pair.far / "name")
    found = pair.contents()
    (copy,) = _copies(found)
    assert found == {"name": b"a", copy: b"b"}


def test_a_folder_is_removed_that_got_a_child(pair: Pair) -> None:
    (pair.near / "folder").mkdir()
    until((pair.far / "folder").is_dir, "the folder")
    assert list((pair.far / "folder").iterdir()) == []
    with pair.apart():
        (pair.near / "folder" / "child").write_bytes(b"unseen")
        (pair.far / "folder").rmdir()
    assert pair.contents() == {"folder/child": b"unseen"}


def test_two_folders_are_moved_into_each_other(pair: Pair) -> None:
    for name in ("a", "b"):
        (pair.near / name).mkdir()
        (pair.near / name / f"in {name}").write_bytes(name.encode())
        seen(pair.far / name / f"in {name}", name.encode())
    with pair.apart():
        (pair.near / "a").rename(pair.near / "b" / "a")
        (pair.far / "b").rename(pair.far / "a" / "b")
    assert pair.contents() == {"b/in b": b"b", "b/a/in a": b"a"}


def test_a_move_into_a_folder_that_was_deleted(pair: Pair) -> None:
    pair.give("file", b"content")
    (pair.near / "folder").mkdir()
    until((pair.far / "folder").is_dir, "the folder")
    assert list((pair.far / "folder").iterdir()) == []
    with pair.apart():
        (pair.near / "folder").rmdir()
        (pair.far / "file").rename(pair.far / "folder" / "file")
    assert list(pair.contents().values()) == [b"content"]


def test_a_mode_and_a_content_both_apply(pair: Pair) -> None:
    pair.give("script", b"base")
    with pair.apart():
        (pair.near / "script").write_bytes(b"edited")
        (pair.far / "script").chmod(0o755)
    assert pair.contents() == {"script": b"edited"}
    assert (pair.near / "script").stat().st_mode & 0o777 == 0o755


def test_a_client_that_slept_meets_an_edit(pair: Pair, far: Mount, drive: Drive) -> None:
    pair.give("file", b"base")
    descriptor = (pair.far / "file").open("r+b", buffering=0)
    far.process.send_signal(signal.SIGSTOP)  # type: ignore[union-attr]
    try:
        (pair.near / "file").write_bytes(b"edited while the other slept")
        drive.mounts["one"].settle()
    finally:
        far.process.send_signal(signal.SIGCONT)  # type: ignore[union-attr]
    descriptor.write(b"far!")
    descriptor.close()
    converge(far, drive.mounts["one"])
    until(lambda: tree_of(pair.near) == tree_of(pair.far), "both mounts to show the same")
    found = pair.contents()
    assert found.pop("file") == b"edited while the other slept"
    assert list(found.values()) == [b"far!"]
