"""kill -9 of the client or the server in the middle of work: what was accepted is there, and arrives once."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from tests.faults.faults import Gate, HoldRequest, Request, Times
from tests.harness.drives import Drive, attribute
from tests.harness.trees import pattern, tree_of
from tests.harness.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.fuse


class Writer(threading.Thread):
    """Writes files until the mount dies; `accepted` holds what the kernel said yes to."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self._folder = folder
        self.accepted: dict[str, bytes] = {}
        self.enough = threading.Event()
        self.start()

    def run(self) -> None:
        """Every third file is synced, every fifth saved by rename."""
        try:
            for number in range(100_000):
                self._write(number)
                if number == 60:
                    self.enough.set()
        except OSError:
            self.enough.set()  # the mount was killed

    def _write(self, number: int) -> None:
        name, content = f"file {number}", pattern(1 + number * 997 % 70_000, number)
        path = self._folder / (f"{name}.tmp" if number % 5 == 0 else name)
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o644)
        try:
            self.accepted[path.name] = b""
            for start in range(0, len(content), 16_384):
                block = content[start : start + 16_384]
                assert os.write(descriptor, block) == len(block)
                self.accepted[path.name] = content[: start + len(block)]
            if number % 3 == 0:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if number % 5 == 0:
            path.rename(self._folder / name)
            self.accepted[name] = self.accepted.pop(path.name)


def _assert_there(folder: Path, accepted: dict[str, bytes]) -> None:
    for name, content in accepted.items():
        path = folder / name
        if not path.exists() and (folder / name.removesuffix(".tmp")).exists():
            path = folder / name.removesuffix(".tmp")  # the last rename was done, its answer never came
        found = path.read_bytes()
        assert found[: len(content)] == content, f"{name}: {len(found)} bytes, {len(content)} were accepted"


@pytest.mark.parametrize("online", [True, False])
def test_the_client_is_killed_while_many_files_are_written(lonely: Drive, online: bool) -> None:
    link = lonely.link()
    mount = lonely.mount("one", url=link.url)
    (mount.path / "work").mkdir()
    mount.sync()
    if not online:
        link.cut()
    writer = Writer(mount.path / "work")
    assert writer.enough.wait(DEADLINE_S)
    mount.kill()
    writer.join(DEADLINE_S)
    assert len(writer.accepted) > 50

    if not online:
        link.mend()
    mount.remount()
    _assert_there(mount.path / "work", writer.accepted)
    mount.sync(60)
    _assert_there(lonely.served / "work", writer.accepted)
    assert tree_of(lonely.served) == tree_of(mount.path)
    assert len(list((lonely.served / "work").iterdir())) - len(writer.accepted) in {0, 1}  # one was being created


def test_the_client_is_killed_during_an_upload(lonely: Drive) -> None:
    link = lonely.link()
    mount = lonely.mount("one", url=link.url)
    gate = Gate()
    link.rule = Times(HoldRequest(gate, 2_000_000), _is_put)
    (mount.path / "big").write_bytes(pattern(10_000_000))
    assert gate.reached.wait(DEADLINE_S)
    mount.kill()
    gate.go.set()
    link.rule = None
    mount.remount()
    mount.sync(60)
    assert {each.name: each.read_bytes() for each in lonely.served.iterdir()} == {"big": pattern(10_000_000)}
    assert attribute(mount.path / "big", "sync") == "synced"


def _is_put(request: Request) -> bool:
    return request.method in {"PUT", "PATCH"}


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_the_server_is_restarted_under_the_client(lonely: Drive, how: str) -> None:
    mount = lonely.mount("one")
    (mount.path / "held").write_bytes(pattern(500_000))
    (mount.path / "folder").mkdir()
    mount.sync()
    if how == "SIGTERM":
        lonely.server.stop()
    else:
        lonely.server.kill()

    assert (mount.path / "held").read_bytes() == pattern(500_000)
    assert sorted(each.name for each in mount.path.iterdir()) == ["folder", "held"]
    (mount.path / "folder" / "offline").write_bytes(b"written offline")
    (mount.path / "held").rename(mount.path / "folder" / "renamed")
    with (mount.path / "folder" / "renamed").open("ab") as file:
        file.write(b"more")
    (mount.path / "gone").write_bytes(b"x")
    (mount.path / "gone").unlink()
    (mount.path / "link").symlink_to("folder")
    expected = tree_of(mount.path)

    lonely.server.start()
    mount.sync()
    assert tree_of(mount.path) == expected
    assert tree_of(lonely.served) == expected


def test_the_server_is_killed_in_the_middle_of_uploads(lonely: Drive) -> None:
    mount = lonely.mount("one")
    for number in range(120):
        (mount.path / f"file {number}").write_bytes(pattern(20_000 + number, number))
    until(lambda: len(list(lonely.served.iterdir())) > 10, "some to arrive")
    lonely.server.kill()
    lonely.server.start()
    mount.sync(60)
    assert tree_of(lonely.served) == tree_of(mount.path)
    assert len(list(lonely.served.iterdir())) == 120


def test_leaving_without_flushing_keeps_the_changes_for_the_next_mount(lonely: Drive) -> None:
    link = lonely.link()
    mount = lonely.mount("one", url=link.url)
    link.cut()
    (mount.path / "file").write_bytes(b"not sent yet")
    assert mount.command("unmount", str(mount.path), "--no-flush").returncode in {0, 75}
    assert mount.process is not None
    mount.process.wait(DEADLINE_S)
    assert list(lonely.served.iterdir()) == []
    link.mend()
    mount.remount()
    assert (mount.path / "file").read_bytes() == b"not sent yet"
    mount.sync()
    assert (lonely.served / "file").read_bytes() == b"not sent yet"


def test_unmounting_sends_everything_first(lonely: Drive) -> None:
    mount = lonely.mount("one", "-o", "write_back_delay=600")  # not sent before it leaves, however slow the machine
    for number in range(50):
        (mount.path / f"file {number}").write_bytes(pattern(10_000, number))
    expected = tree_of(mount.path)
    assert mount.command("unmount", str(mount.path)).returncode == 0
    assert tree_of(lonely.served) == expected
