"""The disk under the cache is full, fails, or cannot be written, under a real mount: callers hear it, what was accepted
stays, and everything goes on without a restart when the disk is well again."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.harness.mount import MountFailedError
from tests.harness.trees import pattern
from tests.harness.waiting import DEADLINE_S, until
from vfs.requests import Request, Verb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.drives import Drive
    from tests.harness.mount import Mount

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk for the cache"),
]
SIZE = 24 << 20


@pytest.fixture
def small(lonely: Drive) -> Iterator[Mount]:
    """A mount whose cache is on a disk of its own."""
    mount = lonely.mount("small", start=False)
    mount.cache_dir.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "small", str(mount.cache_dir)], check=True)
    try:
        mount.start()
        yield mount
    finally:
        mount.close()
        subprocess.run(["umount", "-l", str(mount.cache_dir)], check=True)


def fill(folder: Path) -> Path:
    """Leave not a block of room, but for what the program keeps in reserve."""
    assert (folder / "ballast").stat().st_size > 0
    filling = folder / "filling"
    with filling.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            with suppress(OSError):
                while file.write(b"x" * size):
                    pass
    return filling


def append_until_refused(path: Path) -> tuple[int, int]:
    """(bytes accepted, errno of the refusal); 0 for none."""
    accepted = 0
    try:
        with path.open("ab", buffering=0) as file:
            while accepted < SIZE:
                accepted += file.write(pattern(65_536, 2))
    except OSError as error:
        return accepted, error.errno or 0
    return accepted, 0


def write_and_sync(path: Path, data: bytes) -> None:
    """Overwrite a file from its start."""
    with path.open("r+b", buffering=0) as file:
        file.write(data)
        os.fsync(file.fileno())


def test_a_full_disk(small: Mount, lonely: Drive) -> None:
    small.expect_warning("disk|catalog|closed in order")
    (lonely.served / "elsewhere").write_bytes(pattern(300_000, 7))
    lonely.server.scan()
    until((small.path / "elsewhere").exists, "the file that was made on the server")
    with small.paused():  # once it is sent, "before" may be what makes room for others
        (small.path / "before").write_bytes(pattern(100_000, 1))
        filling = fill(small.cache_dir)
        accepted, number = append_until_refused(small.path / "before")
        assert number == errno.ENOSPC
        assert (small.path / "before").read_bytes()[:100_000] == pattern(100_000, 1)
        (small.path / "elsewhere").stat()
        filling.unlink()
    (small.path / "after").write_bytes(pattern(50_000, 3))
    assert (small.path / "elsewhere").read_bytes() == pattern(300_000, 7)
    small.sync(60)
    assert (lonely.served / "after").read_bytes() == pattern(50_000, 3)
    expected = pattern(100_000, 1) + (pattern(65_536, 2) * (accepted // 65_536 + 1))[:accepted]
    assert (lonely.served / "before").read_bytes() == expected


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace here: nothing can be injected")
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync"])
def test_a_failing_disk(lonely: Drive, call: str) -> None:
    mount = lonely.mount("failing")
    mount.expect_warning("disk|catalog")
    path = mount.path / "file"
    path.write_bytes(pattern(50_000, 1))
    mount.settle()
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:error=EIO:when=1..3"]
    told = lonely.folder / "strace.log"
    with told.open("wb") as log:
        tracer = subprocess.Popen(
            ["strace", "-f", "-o", str(lonely.folder / "strace"), *inject, "-p", str(mount.pid)], stderr=log
        )
    try:
        until(lambda: " attached" in told.read_text(), "strace to have attached to every thread")
        with mount.paused(), pytest.raises(OSError, match="Input/output"):  # nothing else meets the failure
            write_and_sync(path, pattern(50_000, 2))
        until(lambda: f"{call}(" in (lonely.folder / "strace").read_text(), "the failure")
    finally:
        tracer.terminate()
        tracer.wait(DEADLINE_S)
    assert path.read_bytes() in {pattern(50_000, 1), pattern(50_000, 2)}
    (mount.path / "next").write_bytes(b"goes on")
    path.write_bytes(pattern(50_000, 3))
    mount.sync(60)
    assert (lonely.served / "next").read_bytes() == b"goes on"
    assert (lonely.served / "file").read_bytes() == pattern(50_000, 3)


def test_a_catalog_that_is_damaged_under_a_running_mount(lonely: Drive) -> None:
    """Nothing more is accepted, `status` says why, `unmount` leaves, and the next mount is a whole one."""
    mount = lonely.mount("damaged")
    mount.expect_warning("damaged|rescued|not flushed|closed in order|dead process")
    (mount.path / "folder").mkdir()
    for number in range(50):
        (mount.path / "folder" / f"{number}").write_bytes(b"sent")
    mount.settle()
    assert mount.stop() == 0
    mount.start()
    assert mount.ask(Request(verb=Verb.PAUSE)).error is None
    (mount.path / "folder" / "7").write_bytes(b"not sent")
    catalog = mount.cache_dir / "state.db"
    raw = catalog.read_bytes()
    catalog.write_bytes(raw[:4096] + b"\xff" * (len(raw) - 4096))
    with pytest.raises(OSError, match="Input/output"):
        os.listdir(mount.path / "folder")  # noqa: PTH208
    with pytest.raises(OSError, match="Input/output"):
        (mount.path / "another").write_bytes(b"refused")
    done = mount.command("status", str(mount.path))
    assert (done.returncode, "mount again" in done.stdout) == (1, True)
    done = mount.command("unmount", str(mount.path))
    assert (done.returncode, "at the next mount" in done.stderr) == (78, True)
    assert mount.process is not None
    assert mount.process.wait(DEADLINE_S) == 78
    mount.start()
    assert (mount.path / "folder" / "7").read_bytes() == b"sent"
    mount.settle()
    assert len(list((lonely.served / "folder").iterdir())) == 50
    rescued = [each.read_bytes() for each in (mount.cache_dir / "rescued").rglob("*") if each.is_file()]
    assert b"not sent" in rescued
    told = mount.command("queue", str(mount.path)).stdout
    assert told.startswith("nothing is waiting\n"), told
    assert f"are in {mount.cache_dir}/rescued: copy" in told


def test_a_cache_folder_that_cannot_be_written(small: Mount, lonely: Drive) -> None:
    """Refused in words; once it can be written again everything is there."""
    (small.path / "held").write_bytes(pattern(200_000, 1))
    assert small.stop() == 0
    _remount(small, "ro")
    with pytest.raises(MountFailedError, match="Read-only file system"):
        small.start()
    _remount(small, "rw")
    small.start()
    assert (small.path / "held").read_bytes() == pattern(200_000, 1)
    small.sync()
    assert (lonely.served / "held").read_bytes() == pattern(200_000, 1)


def _remount(mount: Mount, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(mount.cache_dir)], check=True)
