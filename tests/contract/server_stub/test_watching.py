"""What others do in the directory is in the feed at once, by fanotify and by inotify, without a scan."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.harness.server import CHECKOUT, ServerProcess
from tests.harness.waiting import until

from .conftest import Api, Json

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = [
    pytest.param(
        "fanotify", marks=pytest.mark.skipif(os.geteuid() != 0, reason="fanotify on a file system needs root")
    ),
    "inotify",
]
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

SOMEBODY = 65_534
QUEUE_EVENTS = 1 + max(
    int(Path("/proc/sys/fs", name, "max_queued_events").read_text()) for name in ("fanotify", "inotify")
)


def watch_state(server: ServerProcess) -> str:
    """What the server's health says of the watch."""
    with server.client() as client:
        return str(client.get("/healthz").json()["watch"])


def figure(server: ServerProcess, name: str) -> float:
    """A figure of the watch."""
    with server.client() as client:
        lines = client.get("/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"anchorfs_watch_{name} "))


def run_server_command(*words: str) -> str:
    """What `anchorfs-server` says, whatever its exit status."""
    command = [sys.executable, "-m", "server_stub", *words]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False).stdout


def doctor(server: ServerProcess) -> str:
    """What the doctor finds."""
    return run_server_command("doctor", "--root", str(server.root), "--state", str(server.state))


def send(state: Path, line: object) -> dict[str, object]:
    """One line to the control socket, and its answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(20)
        connection.connect(os.path.relpath(state / "control.sock"))
        connection.sendall(json.dumps(line).encode() + b"\n")
        answer: dict[str, object] = json.loads(connection.makefile().readline())
    return answer


@pytest.fixture(scope="module", params=KINDS)
def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that watches, and whose scan at the start is over."""
    with ServerProcess(tmp_path_factory.mktemp("watched"), watch=request.param) as server:
        until(lambda: watch_state(server) == "watching", "the watch to have caught up")
        yield server


@pytest.fixture
def api(watched: ServerProcess) -> Iterator[Api]:
    with watched.client() as client:
        yield Api(client)


@pytest.fixture
def home(watched: ServerProcess, api: Api, request: pytest.FixtureRequest) -> Path:
    """A folder of this test's own, on disk; the drive knows it."""
    folder: Json = api.folder(request.node.name.replace("/", "_"))
    return watched.root / folder["name"]


class Seen:
    """The drive's view of one folder on disk."""

    def __init__(self, api: Api, home: Path) -> None:
        self._api = api
        self._top = home.name

    def item(self, path: str) -> Json | None:
        """By the names below the folder, now."""
        at = self._api.children(self._api.root()["item_id"])[self._top]
        for name in path.split("/"):
            children = self._api.children(at["item_id"])
            if name not in children:
                return None
            at = children[name]
        return at

    def await_item(self, path: str, **members: object) -> Json:
        """Once it is there and has these members."""

        def agrees() -> bool:
            item = self.item(path)
            return item is not None and all(item[name] == value for name, value in members.items())

        until(agrees, f"{path} with {members}")
        item = self.item(path)
        assert item is not None
        return item

    def await_gone(self, path: str) -> None:
        """Once it is not there."""
        until(lambda: self.item(path) is None, f"the end of {path}")


@pytest.fixture
def seen(api: Api, home: Path) -> Seen:
    return Seen(api, home)


def test_create_edit_rename_move_delete(home: Path, seen: Seen) -> None:
    (home / "a").write_text("one")
    first = seen.await_item("a", size=3)
    (home / "a").write_text("longer")
    second = seen.await_item("a", size=6)
    assert second["item_id"] == first["item_id"]
    assert second["content_version"] != first["content_version"]
    (home / "a").rename(home / "b")
    assert seen.await_item("b")["item_id"] == first["item_id"]
    (home / "d").mkdir()
    (home / "b").rename(home / "d" / "c")
    assert seen.await_item("d/c")["item_id"] == first["item_id"]
    assert seen.item("b") is None
    (home / "d" / "c").unlink()
    seen.await_gone("d/c")


def test_the_first_name_of_a_saved_file_never_shows_as_another_item(home: Path, seen: Seen) -> None:
    """Editors write beside the file and rename over it."""
    (home / "text").write_text("first")
    first = seen.await_item("text", size=5)
    (home / ".text.new").write_text("second, longer")
    (home / ".text.new").replace(home / "text")
    second = seen.await_item("text", size=14)
    assert second["item_id"] == first["item_id"]
    assert seen.item(".text.new") is None


def test_a_new_subtree_is_seen_whole(home: Path, seen: Seen) -> None:
    deep = home / "a" / "b" / "c"
    deep.mkdir(parents=True)
    for number in range(20):
        (deep / str(number)).write_text("x" * number)
    seen.await_item("a/b/c/19", size=19)
    for number in range(20):
        seen.await_item(f"a/b/c/{number}", size=number)


def test_a_folder_that_comes_from_elsewhere_is_seen_and_watched(home: Path, seen: Seen, tmp_path: Path) -> None:
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "deep" / "file").write_text("x")
    (tmp_path / "tree").rename(home / "tree")
    seen.await_item("tree/deep/file", size=1)
    (home / "tree" / "deep" / "file").write_text("more")
    seen.await_item("tree/deep/file", size=4)
    (home / "tree").rename(tmp_path / "back")
    seen.await_gone("tree")


def test_changes_below_a_folder_that_is_being_renamed_are_not_lost(home: Path, seen: Seen) -> None:
    (home / "0").mkdir()
    (home / "0" / "file").write_text("")
    item_id = seen.await_item("0/file")["item_id"]
    for number in range(1, 31):
        (home / str(number - 1) / "file").write_text("x" * number)
        (home / str(number - 1)).rename(home / str(number))
        (home / str(number) / f"new-{number}").write_text("x")
    assert seen.await_item("30/file", size=30)["item_id"] == item_id
    for number in range(1, 31):
        seen.await_item(f"30/new-{number}", size=1)


def test_changes_below_a_folder_that_a_client_renamed_are_seen(api: Api, home: Path, seen: Seen) -> None:
    (home / "before").mkdir()
    (home / "before" / "one").write_text("x")
    seen.await_item("before/one", size=1)
    folder = seen.await_item("before")
    api.patch(folder, name="after")
    (home / "after" / "one").write_text("more")
    (home / "after" / "two").write_text("x")
    assert seen.await_item("after/two", size=1)["parent_id"] == folder["item_id"]
    seen.await_item("after/one", size=4)


def test_a_name_that_is_no_text_does_not_break_the_watch(watched: ServerProcess, home: Path, seen: Seen) -> None:
    (home / "\udcff").mkdir()
    (home / "\udcff" / "file").write_text("x")
    (home / "text").write_text("x")
    seen.await_item("text", size=1)
    assert watch_state(watched) == "watching"
    assert "UnicodeEncodeError" not in watched.log_path.read_text()


def test_a_path_longer_than_the_kernel_tells_is_watched(watched: ServerProcess, home: Path) -> None:
    names = ["n" * 200] * 25
    fd = os.open(home, os.O_RDONLY)
    for name in names:
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    with watched.client() as client:
        api = Api(client)

        def deepest() -> set[str] | None:
            found = api.children(api.root()["item_id"])
            for name in (home.name, *names):
                if name not in found:
                    return None
                found = api.children(found[name]["item_id"])
            return set(found)

        until(lambda: deepest() == set(), "the chain of folders")
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        os.close(fd)
        until(lambda: deepest() == {"file"}, "the file at its end")
    assert watch_state(watched) == "watching"
    assert "name too long" not in watched.log_path.read_text()


def test_an_open_file_is_seen_before_it_is_closed(home: Path, seen: Seen) -> None:
    with (home / "log").open("w") as log:
        log.write("one line")
        log.flush()
        seen.await_item("log", size=8)
        log.write(", another")
        log.flush()
        seen.await_item("log", size=17)


def test_a_write_through_memory_is_seen_when_the_writer_lets_go(home: Path, seen: Seen) -> None:
    """The mapping holds the file open: that is told when it ends, however long ago the descriptor was closed."""
    (home / "mapped").write_bytes(b"a" * mmap.PAGESIZE)
    before = seen.await_item("mapped", size=mmap.PAGESIZE)
    fd = os.open(home / "mapped", os.O_RDWR)
    address = _libc.mmap(None, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, 0)
    os.close(fd)
    (home / "marker").write_bytes(b"x")
    seen.await_item("marker", size=1)  # whatever the close told has been looked at by now
    ctypes.memset(address, ord("b"), 16)
    assert _libc.munmap(address, mmap.PAGESIZE) == 0
    until(lambda: _content_version(seen, "mapped") != before["content_version"], "another version")
    assert seen.await_item("mapped")["item_id"] == before["item_id"]


def _content_version(seen: Seen, path: str) -> object:
    item = seen.item(path)
    return None if item is None else item["content_version"]


def test_truncate_and_modes_are_seen(home: Path, seen: Seen) -> None:
    (home / "file").write_text("content")
    before = seen.await_item("file", size=7)
    os.truncate(home / "file", 3)
    seen.await_item("file", size=3)
    (home / "file").chmod(0o600)
    seen.await_item("file", mode=0o600, item_id=before["item_id"])


def test_what_a_client_does_is_told_once(api: Api, home: Path, seen: Seen) -> None:
    """The server's own writes raise no changes of their own."""
    folder = api.children(api.root()["item_id"])[home.name]
    anchor = api.anchor()
    item = api.create(folder["item_id"], "ours").json()
    moved = api.patch(item, name="renamed").json()
    (home / "marker").write_text("x")
    seen.await_item("marker", size=1)  # whatever was told of ours has been looked at by now
    told = [change["item"] for change in api.changes(anchor)["changes"] if change["item"]["item_id"] == item["item_id"]]
    assert told == [moved]


def test_a_queue_that_overflows_is_said_and_scanned_for(watched: ServerProcess, home: Path, api: Api) -> None:
    before = figure(watched, "overflows")
    os.kill(watched.pid, signal.SIGSTOP)
    try:
        path = home / "0"
        path.write_bytes(b"")
        for number in range(1, QUEUE_EVENTS):
            path = path.rename(home / str(number))
        for number in range(300):  # these events find no room any more
            (home / f"late {number}").write_bytes(b"")
    finally:
        os.kill(watched.pid, signal.SIGCONT)
    until(lambda: figure(watched, "overflows") > before, "the overflow to be told")
    until(lambda: watch_state(watched) == "watching", "the scan to be done")
    want = {path.name for path in home.iterdir()}
    folder_id = api.children(api.root()["item_id"])[home.name]["item_id"]
    lines = api.get(f"/v1/items/{folder_id}/descendants?depth=1").text.splitlines()
    found = {told["item"]["name"] for told in map(json.loads, lines) if "item" in told}
    assert found == want
    assert "overflowed" in watched.log_path.read_text()


def test_a_root_that_is_not_there_is_said(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, watch="inotify") as server:
        until(lambda: watch_state(server) == "watching", "the watch")
        (server.root / "kept").write_text("x")
        away = server.root.rename(tmp_path / "away")
        server.root.mkdir()  # as an empty mount point
        until(lambda: watch_state(server) == "down", "the loss to be noticed")
        told = doctor(server)
        assert "a disk not mounted?" in told
        server.root.rmdir()
        away.rename(server.root)
        until(lambda: watch_state(server) == "watching", "the root to be back")
        with server.client() as client:
            api = Api(client)
            assert set(api.children(api.root()["item_id"])) == {"kept"}


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="gives up root's capabilities by setpriv"
)
def test_without_privileges_inotify_takes_over(tmp_path: Path) -> None:
    """To the kernel a user like any other: no fanotify, and no folder of somebody else's."""
    drop = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    with ServerProcess(tmp_path, watch="auto", prefix=drop) as server, server.client() as client:
        until(lambda: watch_state(server) == "watching", "the watch to have caught up")
        assert "inotify watching" in doctor(server)
        secret = server.root / "secret"
        secret.mkdir(mode=0o700)
        (secret / "file").write_text("x")
        os.chown(secret, SOMEBODY, SOMEBODY)
        (server.root / "folder").mkdir()
        (server.root / "folder" / "file").write_text("x")
        api = Api(client)
        root_id = api.root()["item_id"]
        until(lambda: set(api.children(root_id)) == {"folder", "secret"}, "both folders")
        folder = api.children(root_id)["folder"]
        until(lambda: set(api.children(folder["item_id"])) == {"file"}, "the file")
        item = api.children(folder["item_id"])["file"]
        (server.root / "folder" / "file").rename(server.root / "folder" / "moved")
        until(lambda: set(api.children(folder["item_id"])) == {"moved"}, "the new name")
        assert api.children(folder["item_id"])["moved"]["item_id"] == item["item_id"]
        assert watch_state(server) == "watching"


def test_a_program_that_shares_the_tree_may_say_what_it_did(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server, server.client() as client:
        (server.root / "told").write_text("x")
        line = {"command": "changed", "paths": ["told"], "user": "alice", "protocol": "smb", "machine": "desk"}
        assert "report" in send(server.state, line)
        api = Api(client)
        assert set(api.children(api.root()["item_id"])) == {"told"}
        for paths in ("told", ["a/../../b"], [""], [".anchorfs/staging"]):
            assert "error" in send(server.state, {"command": "changed", "paths": paths})
        assert "error" in send(server.state, {"command": "scan", "duty": "all"})
        words = ["activity", "--root", str(server.root), "--state", str(server.state)]
        assert "added    told  alice by smb from desk" in run_server_command(*words)
