"""A Nextcloud account, mounted: what no other server has, and signing in. The conflict table: test_second_writer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.fakes.nextcloud import FakeNextcloud
from tests.harness.drives import QUICK
from tests.harness.mount import Mount
from tests.harness.second_writers import InNextcloud, held_in
from tests.harness.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.nextcloud import Account
    from tests.harness.sides import Sides

pytestmark = pytest.mark.fuse
OPTIONS = ("-o", QUICK)


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InNextcloud]:
    """Who changes things there."""
    with InNextcloud.served(tmp_path_factory.mktemp("served")) as made:
        yield made


@pytest.fixture
def account(writer: InNextcloud) -> Account:
    """What is mounted, as the server has it."""
    return writer.account


def test_a_change_of_the_same_size_and_second_is_seen(sides: Sides, account: Account) -> None:
    sides.there.write("file", b"one")
    until(lambda: (sides.here / "file").read_bytes() == b"one", "the first content")
    account.clock.per_change_s, before = 0.0, account.clock.per_change_s
    account.clock.frozen_s = account.clock.now_s() - account.clock.ahead_s
    try:
        sides.there.write("file", b"two")
        sides.there.write("file", b"six")
    finally:
        account.clock.frozen_s, account.clock.per_change_s = None, before
        account.clock.ahead_s += 10
    until(lambda: (sides.here / "file").read_bytes() == b"six", "the last content")


def test_a_foreign_move_keeps_inodes(sides: Sides) -> None:
    sides.give("file")
    sides.give("folder/inside")
    before = [(sides.here / each).stat().st_ino for each in ("file", "folder", "folder/inside")]
    sides.there.move("folder", "elsewhere")
    sides.there.move("file", "elsewhere/renamed")
    until((sides.here / "elsewhere" / "renamed").exists, "the moved file")
    assert [
        (sides.here / each).stat().st_ino for each in ("elsewhere/renamed", "elsewhere", "elsewhere/inside")
    ] == before


def test_a_time_is_kept_there_in_whole_seconds(sides: Sides, account: Account) -> None:
    sides.give("file")
    os.utime(sides.here / "file", ns=(1_600_000_000_123_456_789, 1_600_000_000_123_456_789))
    sides.mount.settle()
    assert account.at(f"{sides.there.folder}/file").mtime_s == 1_600_000_000
    assert (sides.here / "file").stat().st_mtime_ns == 1_600_000_000_123_456_789


def test_what_may_not_be_written_is_read_only(sides: Sides, account: Account) -> None:
    with account.lock:  # nobody sees it with other permissions
        sides.there.write("shared", b"theirs")
        account.at(f"{sides.there.folder}/shared").permissions = "SG"
    until((sides.here / "shared").exists, "the shared file")
    assert (sides.here / "shared").read_bytes() == b"theirs"
    with pytest.raises(PermissionError):
        (sides.here / "shared").write_bytes(b"ours")
    with pytest.raises(PermissionError):
        (sides.here / "shared").unlink()


def test_a_child_that_comes_at_the_last_moment_comes_back(sides: Sides, writer: InNextcloud) -> None:
    (sides.here / "folder").mkdir()
    sides.mount.settle()
    writer.server.fault("DELETE", "/folder$", before=partial(sides.there.write, "folder/unseen", b"2"))
    (sides.here / "folder").rmdir()
    sides.mount.settle()
    until(lambda: held_in(sides.here) == {"folder": None, "folder/unseen": b"2"}, "the child to be back")
    assert sides.there.contents() == {"folder/unseen": b"2"}


@pytest.mark.parametrize(
    ("method", "change"), [("PUT", "write"), ("MKCOL", "mkdir"), ("MOVE", "move"), ("DELETE", "rm")]
)
def test_a_lost_answer_is_no_conflict(sides: Sides, writer: InNextcloud, method: str, change: str) -> None:
    sides.give("file")
    fault = writer.server.fault(method, sides.there.folder, lose_answer=True)
    {
        "write": lambda: (sides.here / "file").write_bytes(b"newer"),
        "mkdir": (sides.here / "folder").mkdir,
        "move": lambda: (sides.here / "file").rename(sides.here / "moved"),
        "rm": (sides.here / "file").unlink,
    }[change]()
    assert fault.met.wait(DEADLINE_S)
    sides.mount.settle()
    expected: dict[str, dict[str, bytes | None]] = {
        "write": {"file": b"newer"},
        "mkdir": {"file": b"base", "folder": None},
        "move": {"moved": b"base"},
        "rm": {},
    }
    assert sides.there.held() == held_in(sides.here) == expected[change]


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
    assert [row["path"] for row in found] == [f"{sides.there.folder}/Unusual name"]
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
        person.join(DEADLINE_S)
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
            until(lambda: mount.status()["connection"] == "signed-out", "the mount to notice")
            assert "sign" in mount.command("status", str(mount.path)).stdout.lower()
            assert (mount.path / "after").read_bytes() == b"2"
            assert (mount.path / "before").read_bytes() == b"1"
            assert server.account.find("after") is None
