"""A folder of Apache's mod_dav, mounted: what a second writer does there, and the whole conflict table against it."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.harness.davs import Apache
from tests.harness.mount import Mount
from tests.harness.waiting import until
from vfs.requests import Request, Verb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.fuse


@pytest.fixture(scope="module")
def apache() -> Iterator[Apache]:
    missing = Apache.missing()
    if missing is not None:
        pytest.skip(missing)
    with Apache() as server:
        yield server


@pytest.fixture(scope="module")
def mount(apache: Apache, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    options = ("-o", "write_back_delay=0.05,poll_interval=1")
    with Mount(f"dav+{apache.url}", tmp_path_factory.mktemp("webdav"), arguments=options) as mounted:
        yield mounted


class Sides:
    """One folder: `here` in the mount, `there` on the server's disk."""

    def __init__(self, mount: Mount, apache: Apache, name: str) -> None:
        self.mount, self._apache = mount, apache
        self.here, self.there = mount.path / name, apache.root / name

    def give(self, name: str, content: bytes = b"base") -> None:
        """A file that both have, its tag a strong one: what is written next is told apart from it."""
        (self.here / name).parent.mkdir(exist_ok=True)
        (self.here / name).write_bytes(content)
        self.mount.settle()

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What is done to `here` is sent after everything that is done to `there`."""
        self.mount.ask(Request(verb=Verb.PAUSE))
        try:
            yield
            self._apache.own()
        finally:
            self.mount.ask(Request(verb=Verb.RESUME))
        self.mount.settle()
        until(lambda: held(self.here) == held(self.there), "both to be alike")

    def contents(self) -> dict[str, bytes]:
        """The files of both."""
        return {name: data for name, data in held(self.there).items() if data is not None}


def held(folder: Path) -> dict[str, bytes | None]:
    """Files with their bytes, folders with None; mod_dav's own folder is not the drive's."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if ".DAV" not in path.parts}
    return {name: path.read_bytes() if path.is_file() else None for name, path in found.items()}


@pytest.fixture
def sides(mount: Mount, apache: Apache, request: pytest.FixtureRequest) -> Sides:
    made = Sides(mount, apache, request.node.name)
    made.here.mkdir()
    mount.settle()
    return made


def copies(contents: dict[str, bytes]) -> list[str]:
    return [name for name in contents if "(conflict " in name]


def test_what_is_written_here_is_there_and_the_reverse(sides: Sides) -> None:
    (sides.here / "ours").write_bytes(b"a" * 100_000)
    (sides.here / "a b%20ü?#").write_bytes(b"odd")
    sides.mount.settle()
    assert sides.contents() == {"ours": b"a" * 100_000, "a b%20ü?#": b"odd"}
    (sides.there / "theirs").write_bytes(b"foreign")
    (sides.there / "folder").mkdir()
    (sides.there / "folder" / "deep").write_bytes(b"deep")
    until(lambda: (sides.here / "folder" / "deep").read_bytes() == b"deep", "the foreign folder")
    assert (sides.here / "theirs").read_bytes() == b"foreign"


def test_a_foreign_rename_keeps_the_inode(sides: Sides) -> None:
    sides.give("file", b"content")
    sides.give("folder/inside", b"inside")
    before = [(sides.here / each).stat().st_ino for each in ("file", "folder", "folder/inside")]
    (sides.there / "file").rename(sides.there / "renamed")
    (sides.there / "folder").rename(sides.there / "elsewhere")
    until((sides.here / "elsewhere" / "inside").exists, "the renamed folder")
    until((sides.here / "renamed").exists, "the renamed file")
    assert [(sides.here / each).stat().st_ino for each in ("renamed", "elsewhere", "elsewhere/inside")] == before


def test_what_the_server_cannot_keep_is_refused_or_stays_here(sides: Sides) -> None:
    sides.give("file")
    (sides.here / "file").chmod(0o640)
    os.utime(sides.here / "file", ns=(1_600_000_000_123_456_789, 1_600_000_000_123_456_789))
    with pytest.raises(PermissionError):
        (sides.here / "link").symlink_to("file")
    with pytest.raises(OSError, match="not supported"):
        os.setxattr(sides.here / "file", "user.a", b"1")
    sides.mount.settle()
    status = (sides.here / "file").stat()
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o640, 1_600_000_000_123_456_789)


def test_content_against_content(sides: Sides) -> None:
    sides.give("letter.txt")
    with sides.apart():
        (sides.here / "letter.txt").write_bytes(b"ours")
        (sides.there / "letter.txt").write_bytes(b"theirs")
    found = sides.contents()
    (copy,) = copies(found)
    assert found == {"letter.txt": b"theirs", copy: b"ours"}


def test_content_against_the_same_content(sides: Sides) -> None:
    sides.give("file")
    with sides.apart():
        (sides.here / "new").write_bytes(b"same bytes")
        (sides.there / "new").write_bytes(b"same bytes")
    assert sides.contents() == {"file": b"base", "new": b"same bytes"}


def test_content_against_a_rename(sides: Sides) -> None:
    sides.give("file")
    (sides.here / "folder").mkdir()
    sides.mount.settle()
    assert list((sides.here / "folder").iterdir()) == []
    with sides.apart():
        (sides.here / "file").write_bytes(b"edited")
        (sides.there / "file").rename(sides.there / "folder" / "file")
    assert sides.contents() == {"folder/file": b"edited"}


def test_content_against_a_removal(sides: Sides) -> None:
    sides.give("file")
    with sides.apart():
        (sides.here / "file").write_bytes(b"edited")
        (sides.there / "file").unlink()
    assert sides.contents() == {"file": b"edited"}


def test_a_removal_against_content(sides: Sides) -> None:
    sides.give("file")
    with sides.apart():
        (sides.here / "file").unlink()
        (sides.there / "file").write_bytes(b"edited there")
    assert sides.contents() == {"file": b"edited there"}


def test_a_removal_against_a_removal(sides: Sides) -> None:
    sides.give("file")
    with sides.apart():
        (sides.here / "file").unlink()
        (sides.there / "file").unlink()
    assert sides.contents() == {}


def test_a_rename_against_a_rename(sides: Sides) -> None:
    sides.give("file")
    with sides.apart():
        (sides.here / "file").rename(sides.here / "ours")
        (sides.there / "file").rename(sides.there / "theirs")
    assert sides.contents() == {"theirs": b"base"}


def test_a_rename_onto_a_name_that_was_taken(sides: Sides) -> None:
    sides.give("file")
    with sides.apart():
        (sides.here / "file").rename(sides.here / "new")
        (sides.there / "new").write_bytes(b"theirs")
    found = sides.contents()
    (copy,) = copies(found)
    assert found == {"new": b"theirs", copy: b"base"}


def test_a_move_into_a_removed_folder(sides: Sides) -> None:
    sides.give("file")
    (sides.here / "folder").mkdir()
    sides.mount.settle()
    with sides.apart():
        (sides.here / "file").rename(sides.here / "folder" / "file")
        (sides.there / "folder").rmdir()
    assert sorted(sides.contents().values()) == [b"base"]


def test_folder_moves_that_form_a_cycle(sides: Sides) -> None:
    sides.give("a/in a", b"a")
    sides.give("b/in b", b"b")
    with sides.apart():
        (sides.here / "a").rename(sides.here / "b" / "a")
        (sides.there / "b").rename(sides.there / "a" / "b")
    assert sorted(sides.contents().values()) == [b"a", b"b"]


def test_one_name_created_on_both_sides(sides: Sides) -> None:
    with sides.apart():
        (sides.here / "file").write_bytes(b"ours")
        (sides.there / "file").write_bytes(b"theirs!")
        (sides.here / "folder").mkdir()
        (sides.here / "folder" / "ours").write_bytes(b"1")
        (sides.there / "folder").mkdir()
        (sides.there / "folder" / "theirs").write_bytes(b"2")
    found = sides.contents()
    (copy,) = copies(found)
    assert found == {"file": b"theirs!", copy: b"ours", "folder/ours": b"1", "folder/theirs": b"2"}


def test_a_folder_is_not_removed_with_an_unseen_child(sides: Sides) -> None:
    sides.give("folder/seen", b"1")
    with sides.apart():
        shutil.rmtree(sides.here / "folder")
        (sides.there / "folder" / "unseen").write_bytes(b"2")
    assert sides.contents() == {"folder/unseen": b"2"}


def test_attributes_against_content(sides: Sides) -> None:
    sides.give("file")
    with sides.apart():
        (sides.here / "file").chmod(0o600)
        (sides.there / "file").write_bytes(b"longer than before")
    assert (sides.here / "file").read_bytes() == b"longer than before"
    assert (sides.here / "file").stat().st_mode & 0o777 == 0o600


def test_how_editors_save(sides: Sides) -> None:
    sides.give("letter.txt", b"one")
    ino = (sides.here / "letter.txt").stat().st_ino
    for text in (b"two", b"three"):
        (sides.here / ".letter.swp").write_bytes(text)
        (sides.here / ".letter.swp").replace(sides.here / "letter.txt")
    sides.mount.settle()
    assert sides.contents() == {"letter.txt": b"three"}
    assert (sides.here / "letter.txt").stat().st_ino != ino
    assert (sides.here / "letter.txt").read_bytes() == b"three"


def test_a_password_that_is_not_accepted_any_more_pauses_the_queue_and_says_so(tmp_path: Path) -> None:
    missing = Apache.missing()
    if missing is not None:
        pytest.skip(missing)
    server = Apache()
    server.let_in("me", "open sesame: ü")
    with server:
        options = ("-o", "write_back_delay=0.05,poll_interval=0.5")
        secret = {"ANCHORFS_PASSWORD": "open sesame: ü"}
        url = f"dav+{server.url}".replace("//", "//me@", 1)
        with Mount(url, tmp_path, arguments=options, environment=secret) as mount:
            (mount.path / "before").write_bytes(b"1")
            mount.settle()
            server.let_in("me", "changed")
            (mount.path / "after").write_bytes(b"2")
            until(lambda: status(mount)["connection"] == "signed-out", "the mount to notice")
            assert status(mount)["queue_pending"] == 1
            assert "anchorfs login" in mount.command("doctor").stdout
            assert not (server.root / "after").exists()
            server.let_in("me", "open sesame: ü")
            mount.settle()
            assert (server.root / "after").read_bytes() == b"2"
            assert "sesame" not in mount.log()


def status(mount: Mount) -> dict[str, object]:
    """As `anchorfs status`."""
    result = mount.ask(Request(verb=Verb.STATUS)).result
    assert isinstance(result, dict)
    return result
