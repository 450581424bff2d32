"""A Nextcloud account, mounted: both directions, the conflict table against a second writer, and signing in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.fakes.nextcloud import FakeNextcloud
from tests.harness.mount import Mount
from tests.harness.waiting import DEADLINE_S, until
from vfs.requests import Request, Verb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.nextcloud import Account

pytestmark = pytest.mark.fuse
OPTIONS = ("-o", "write_back_delay=0.05,poll_interval=1")


@pytest.fixture(scope="module")
def server() -> Iterator[FakeNextcloud]:
    """Its clock runs ahead with every change, so that no test waits for a second to pass."""
    with FakeNextcloud() as running:
        running.account.clock.per_change_s = 3.0
        running.ocs.has_push = True
        yield running


@pytest.fixture(scope="module")
def mount(server: FakeNextcloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    base, token = tmp_path_factory.mktemp("nextcloud"), server.sign_in.new_app_password()
    with Mount(server.url, base, token=token, arguments=OPTIONS) as mounted:
        yield mounted


def files(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


class Sides:
    """One folder: `here` in the mount, `there` in the account."""

    def __init__(self, mount: Mount, account: Account, name: str) -> None:
        self.mount, self.account, self.here, self.there = mount, account, mount.path / name, name

    def give(self, name: str, content: bytes = b"base") -> None:
        """A file that both have."""
        (self.here / name).parent.mkdir(exist_ok=True)
        (self.here / name).write_bytes(content)
        self.mount.settle()

    def write(self, name: str, content: bytes) -> None:
        """By the second writer, without a checksum, as a browser does."""
        self.account.write(f"{self.there}/{name}", content)

    def move(self, name: str, target: str) -> None:
        self.account.move(self.account.at(f"{self.there}/{name}"), f"{self.there}/{target}")

    def remove(self, name: str) -> None:
        self.account.remove(self.account.at(f"{self.there}/{name}"))

    def contents(self) -> dict[str, bytes]:
        """In the account."""
        with self.account.lock:
            nodes = self.account.walk(self.account.at(self.there))
            return {each.path[len(self.there) + 1 :]: each.data for each in nodes if each.data is not None}

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What is done `here` is sent after everything that is done `there`."""
        self.mount.ask(Request(verb=Verb.PAUSE))
        try:
            yield
        finally:
            self.mount.ask(Request(verb=Verb.RESUME))
        self.mount.settle()
        until(lambda: files(self.here) == self.contents(), "both to be alike")


@pytest.fixture
def sides(mount: Mount, server: FakeNextcloud, request: pytest.FixtureRequest) -> Sides:
    made = Sides(mount, server.account, request.node.name)
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
    sides.account.make_folder(f"{sides.there}/folder")
    sides.write("folder/deep", b"deep")
    until(lambda: (sides.here / "folder" / "deep").read_bytes() == b"deep", "the foreign folder")


def test_a_change_of_the_same_size_and_second_is_seen(sides: Sides) -> None:
    sides.write("file", b"one")
    until(lambda: (sides.here / "file").read_bytes() == b"one", "the first content")
    sides.account.clock.per_change_s, before = 0.0, sides.account.clock.per_change_s
    sides.account.clock.frozen_s = sides.account.clock.now_s() - sides.account.clock.ahead_s
    try:
        sides.write("file", b"two")
        sides.write("file", b"six")
    finally:
        sides.account.clock.frozen_s, sides.account.clock.per_change_s = None, before
        sides.account.clock.ahead_s += 10
    until(lambda: (sides.here / "file").read_bytes() == b"six", "the last content")


def test_a_foreign_move_keeps_inodes(sides: Sides) -> None:
    sides.give("file")
    sides.give("folder/inside")
    before = [(sides.here / each).stat().st_ino for each in ("file", "folder", "folder/inside")]
    sides.move("folder", "elsewhere")
    sides.move("file", "elsewhere/renamed")
    until((sides.here / "elsewhere" / "renamed").exists, "the moved file")
    assert [
        (sides.here / each).stat().st_ino for each in ("elsewhere/renamed", "elsewhere", "elsewhere/inside")
    ] == before


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
    assert sides.account.at(f"{sides.there}/file").mtime_s == 1_600_000_000


def test_what_may_not_be_written_is_read_only(sides: Sides) -> None:
    sides.write("shared", b"theirs")
    sides.account.at(f"{sides.there}/shared").permissions = "SG"
    until((sides.here / "shared").exists, "the shared file")
    assert (sides.here / "shared").read_bytes() == b"theirs"
    with pytest.raises(PermissionError):
        (sides.here / "shared").write_bytes(b"ours")
    with pytest.raises(PermissionError):
        (sides.here / "shared").unlink()


def test_content_against_content(sides: Sides) -> None:
    sides.give("letter.txt")
    with sides.apart():
        (sides.here / "letter.txt").write_bytes(b"ours")
        sides.write("letter.txt", b"theirs")
    found = sides.contents()
    (copy,) = copies(found)
    assert found == {"letter.txt": b"theirs", copy: b"ours"}


def test_content_against_the_same_content(sides: Sides) -> None:
    with sides.apart():
        (sides.here / "new").write_bytes(b"same bytes")
        sides.write("new", b"same bytes")
    found = sides.contents()
    assert set(found.values()) == {b"same bytes"}


def test_content_against_a_rename(sides: Sides) -> None:
    sides.give("file")
    (sides.here / "folder").mkdir()
    sides.mount.settle()
    with sides.apart():
        (sides.here / "file").write_bytes(b"edited")
        sides.move("file", "folder/file")
    assert sides.contents() == {"folder/file": b"edited"}


def test_content_against_a_removal(sides: Sides) -> None:
    sides.give("file")
    with sides.apart():
        (sides.here / "file").write_bytes(b"edited")
        sides.remove("file")
    assert sides.contents() == {"file": b"edited"}


def test_a_removal_against_content(sides: Sides) -> None:
    sides.give("file")
    with sides.apart():
        (sides.here / "file").unlink()
        sides.write("file", b"edited there")
    assert sides.contents() == {"file": b"edited there"}


def test_a_removal_against_a_removal(sides: Sides) -> None:
    sides.give("file")
    with sides.apart():
        (sides.here / "file").unlink()
        sides.remove("file")
    assert sides.contents() == {}


def test_a_rename_against_a_rename(sides: Sides) -> None:
    sides.give("file")
    with sides.apart():
        (sides.here / "file").rename(sides.here / "ours")
        sides.move("file", "theirs")
    assert sides.contents() == {"theirs": b"base"}


def test_a_rename_onto_a_name_that_was_taken(sides: Sides) -> None:
    sides.give("file")
    with sides.apart():
        (sides.here / "file").rename(sides.here / "new")
        sides.write("new", b"theirs")
    found = sides.contents()
    (copy,) = copies(found)
    assert found == {"new": b"theirs", copy: b"base"}


def test_a_move_into_a_removed_folder(sides: Sides) -> None:
    sides.give("file")
    (sides.here / "folder").mkdir()
    sides.mount.settle()
    with sides.apart():
        (sides.here / "file").rename(sides.here / "folder" / "file")
        sides.remove("folder")
    assert sorted(sides.contents().values()) == [b"base"]


def test_folder_moves_that_form_a_cycle(sides: Sides) -> None:
    sides.give("a/in a", b"a")
    sides.give("b/in b", b"b")
    with sides.apart():
        (sides.here / "a").rename(sides.here / "b" / "a")
        sides.move("b", "a/b")
    assert sorted(sides.contents().values()) == [b"a", b"b"]


def test_one_name_created_on_both_sides(sides: Sides) -> None:
    with sides.apart():
        (sides.here / "file").write_bytes(b"ours")
        sides.write("file", b"theirs!")
        (sides.here / "folder").mkdir()
        (sides.here / "folder" / "ours").write_bytes(b"1")
        sides.account.make_folder(f"{sides.there}/folder")
        sides.write("folder/theirs", b"2")
    found = sides.contents()
    (copy,) = copies(found)
    assert found == {"file": b"theirs!", copy: b"ours", "folder/ours": b"1", "folder/theirs": b"2"}


def test_a_folder_is_not_removed_with_an_unseen_child(sides: Sides) -> None:
    sides.give("folder/seen", b"1")
    with sides.apart():
        shutil.rmtree(sides.here / "folder")
        sides.write("folder/unseen", b"2")
    assert sides.contents() == {"folder/unseen": b"2"}


def test_a_child_that_comes_at_the_last_moment_comes_back(sides: Sides, server: FakeNextcloud) -> None:
    (sides.here / "folder").mkdir()
    sides.mount.settle()
    server.fault("DELETE", "/folder$", before=partial(sides.write, "folder/unseen", b"2"))
    (sides.here / "folder").rmdir()
    sides.mount.settle()
    until(lambda: files(sides.here) == {"folder/unseen": b"2"}, "the child to be back")
    assert sides.contents() == {"folder/unseen": b"2"}


def test_attributes_against_content(sides: Sides) -> None:
    sides.give("file")
    with sides.apart():
        (sides.here / "file").chmod(0o600)
        sides.write("file", b"longer than before")
    assert (sides.here / "file").read_bytes() == b"longer than before"
    assert (sides.here / "file").stat().st_mode & 0o777 == 0o600


def test_how_editors_save_and_browsers_download(sides: Sides) -> None:
    sides.give("letter.txt", b"one")
    for text in (b"two", b"three"):
        (sides.here / ".letter.swp").write_bytes(text)
        (sides.here / ".letter.swp").replace(sides.here / "letter.txt")
    (sides.here / "film.part").write_bytes(b"half")
    (sides.here / "film.part").write_bytes(b"whole")
    (sides.here / "film.part").rename(sides.here / "film")
    sides.mount.settle()
    assert sides.contents() == {"letter.txt": b"three", "film": b"whole"}


@pytest.mark.parametrize(
    ("method", "change"), [("PUT", "write"), ("MKCOL", "mkdir"), ("MOVE", "move"), ("DELETE", "rm")]
)
def test_a_lost_answer_is_no_conflict(sides: Sides, server: FakeNextcloud, method: str, change: str) -> None:
    sides.give("file")
    fault = server.fault(method, sides.there.replace("[", r"\[").replace("]", r"\]"), lose_answer=True)
    {
        "write": lambda: (sides.here / "file").write_bytes(b"newer"),
        "mkdir": (sides.here / "folder").mkdir,
        "move": lambda: (sides.here / "file").rename(sides.here / "moved"),
        "rm": (sides.here / "file").unlink,
    }[change]()
    assert fault.met.wait(DEADLINE_S)
    sides.mount.settle()
    expected = {"write": {"file": b"newer"}, "mkdir": {"file": b"base"}, "move": {"moved": b"base"}, "rm": {}}
    assert sides.contents() == files(sides.here) == expected[change]
    assert (sides.here / "folder").exists() is (change == "mkdir")


def test_trash_versions_and_search(sides: Sides) -> None:
    file = sides.here / "Unusual name"
    for data in (b"one", b"second"):  # of one second: the server names a version by that
        file.write_bytes(data)
        os.utime(file, (1_700_000_000, 1_700_000_000))
        sides.mount.settle()
    path = str(file)

    def told(*words: str) -> dict[str, list[dict[str, object]]]:
        done = sides.mount.command(*words, "--json")
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert isinstance(answer, dict)
        return answer

    assert [row["size"] for row in told("versions", path)["versions"]] == [6, 3]
    told("restore", path)
    until(lambda: (sides.here / "Unusual name").read_bytes() == b"one", "the older content")
    found = told("search", "unusual", str(sides.mount.path))["found"]
    assert [row["path"] for row in found] == [f"{sides.there}/Unusual name"]
    (sides.here / "Unusual name").unlink()
    sides.mount.settle()
    (row,) = [row for row in told("trash", str(sides.mount.path))["trash"] if row["path"] == found[0]["path"]]
    assert row["size"] == 3
    told("restore", path)
    until((sides.here / "Unusual name").exists, "the deleted file")


def run(environment: dict[str, str], *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vfs.cli", *words], env=environment, input=typed, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


def test_log_in_once_then_mount_then_log_out(tmp_path: Path) -> None:
    with FakeNextcloud() as server:
        mount = Mount(server.url, tmp_path, arguments=OPTIONS)
        assert run(mount.environment, "login", server.url, "--token-stdin", typed="wrong\n").returncode == 77
        done = run(mount.environment, "login", server.url, "--token-stdin", typed=f"{server.sign_in.password}\n")
        assert done.returncode == 0, done.stderr
        (kept,) = server.sign_in.app_passwords
        stored = (tmp_path / "mnt.state" / "anchorfs" / "credentials.json").read_text()
        assert kept in stored
        assert server.sign_in.password not in stored
        with mount:
            (mount.path / "file").write_bytes(b"here")
            mount.settle()
            assert server.account.at("file").data == b"here"
        assert run(mount.environment, "logout", server.url).returncode == 0
        assert not server.sign_in.app_passwords


def test_the_browser_signs_in_and_tells_the_address_to_mount(tmp_path: Path) -> None:
    with FakeNextcloud() as server:
        environment = Mount(server.url, tmp_path).environment
        environment = {name: value for name, value in environment.items() if name not in {"DISPLAY", "WAYLAND_DISPLAY"}}
        granted = threading.Event()

        def grant() -> None:
            until(lambda: bool(server.sign_in.flows), "the login to be begun")
            server.sign_in.grant()
            granted.set()

        person = threading.Thread(target=grant)
        person.start()
        done = run(environment, "login", server.url.replace("ada@", ""), "--json")
        person.join(20)
        assert granted.is_set()
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["url"] == server.url
        assert "/login/v2/flow/" in done.stderr


def test_a_revoked_password_pauses_the_queue_and_says_what_to_do(tmp_path: Path) -> None:
    with FakeNextcloud() as server:
        token = server.sign_in.new_app_password()
        with Mount(server.url, tmp_path, token=token, arguments=OPTIONS) as mount:
            mount.expect_warning("sign|NotSignedIn|401|token|password")
            (mount.path / "before").write_bytes(b"1")
            mount.settle()
            server.sign_in.revoke_all()
            (mount.path / "after").write_bytes(b"2")
            until(lambda: b"sign" in mount.command("status", str(mount.path)).stdout.encode().lower(), "the word of it")
            assert (mount.path / "after").read_bytes() == b"2"
            assert (mount.path / "before").read_bytes() == b"1"
            assert server.account.find("after") is None
