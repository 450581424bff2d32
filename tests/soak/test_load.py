"""Other people's load and integrity programs on a mount: no byte differs, nobody hangs, all of it arrives.

A few seconds each; with `--long` those that can go on, for a minute. scripts/setup installs fio, stress-ng and dbench.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from tests.harness.trees import succeed
from tests.interop.rest import at_rest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness.mount import Mount

pytestmark = pytest.mark.fuse

FIO = {
    "sequential": ["--rw=write", "--bs=128k", "--size=24m", "--numjobs=3", "--ioengine=psync", "--end_fsync=1"],
    "random": ["--rw=randwrite", "--bs=4k", "--size=6m", "--numjobs=3", "--ioengine=psync"],
    "both ways": ["--rw=randrw", "--bsrange=512-64k", "--size=6m", "--numjobs=2", "--ioengine=psync", "--fsync=64"],
    "mapped": ["--rw=randrw", "--bs=4k", "--size=6m", "--numjobs=2", "--ioengine=mmap"],
    "queued, direct": ["--rw=randrw", "--bs=4k", "--size=2m", "--numjobs=2", "--ioengine=libaio", "--iodepth=8",
                       "--direct=1"],
}  # fmt: skip
# What stress-ng does with files here. Not among them, for there is no such thing on this file system: link, acl.
STRESSORS = (
    "access", "chdir", "chmod", "chown", "copy-file", "dentry", "dir", "dirdeep", "dnotify", "fallocate", "fcntl",
    "fiemap", "filename", "flock", "fpunch", "fstat", "getdent", "handle", "hdd", "inotify", "io", "iomix", "lease",
    "locka", "lockf", "lockofd", "mknod", "open", "readahead", "rename", "seek", "sendfile", "symlink", "sync-file",
    "touch", "utime",
)  # fmt: skip

CROWD = """
import os, sys
top, count, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
def work(me):
    log = os.open(f"{top}/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for turn in range(rounds):
        data = f"{me} {turn} ".encode() * 300
        with open(f"{top}/part{me}", "wb") as file:
            file.write(data)
        os.rename(f"{top}/part{me}", f"{top}/d{(me + turn) % 7}/f{me}")
        with open(f"{top}/d{(me + turn) % 7}/f{me}", "rb") as file:
            assert file.read() == data
        if turn + 1 < rounds:
            os.unlink(f"{top}/d{(me + turn) % 7}/f{me}")
        os.listdir(f"{top}/d{turn % 7}")
        os.write(log, f"{me:03} {turn:03}\\n".encode())
children = []
for number in range(7):
    os.mkdir(f"{top}/d{number}")
for me in range(count):
    child = os.fork()
    if child == 0:
        try:
            work(me)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    children.append(child)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


def needs(program: str) -> pytest.MarkDecorator:
    """Skipped where it is missing."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


@needs("fio")
@pytest.mark.parametrize("way", FIO)
def test_fio_reads_back_what_it_wrote(first: Mount, one: Path, served: Path, tmp_path: Path, way: str) -> None:
    verify = ["--verify=crc32c", "--do_verify=1", "--verify_fatal=1", "--group_reporting", "--randseed=7"]
    succeed("fio", "--name=job", f"--directory={one}", *FIO[way], *verify, cwd=tmp_path, timeout_s=240)
    assert len(at_rest(first, one, served)) >= 2
    first.evict(one)
    if way == "sequential":  # what was written at random can only be verified by the run that wrote it
        again = ("--verify_only", *verify)  # the bytes come from the server now
        succeed("fio", "--name=job", f"--directory={one}", *FIO[way], *again, cwd=tmp_path, timeout_s=240)


@needs("stress-ng")
def test_stress_ng_finds_nothing_wrong(first: Mount, one: Path, served: Path, often: Callable[[int, int], int]) -> None:
    """All at once, each checking what it does."""
    for start in range(0, len(STRESSORS), 12):
        some = [f"--{name}=1" for name in STRESSORS[start : start + 12]]
        seconds = often(1, 20)
        options = ("--verify", "--no-rand-seed", "--temp-path", str(one), "--timeout", f"{seconds}s")
        succeed("stress-ng", *some, *options, timeout_s=seconds + 120)
    at_rest(first, one, served)


@needs("dbench")
def test_dbench_runs_to_its_end(first: Mount, one: Path, served: Path, often: Callable[[int, int], int]) -> None:
    succeed("dbench", "-D", one, "-t", f"{often(3, 60)}", "4", timeout_s=240)
    at_rest(first, one, served)


def test_sixty_four_processes_at_once(first: Mount, one: Path, served: Path, often: Callable[[int, int], int]) -> None:
    """Each reads back what it wrote; no line of a common log is torn or lost."""
    rounds = often(4, 60)
    succeed(sys.executable, "-c", CROWD, one, "64", str(rounds), timeout_s=240)
    lines = (one / "log").read_text().splitlines()
    assert sorted(lines) == [f"{me:03} {turn:03}" for me in range(64) for turn in range(rounds)]
    found = at_rest(first, one, served)
    assert len([path for path in found if "/f" in path]) == 64
    assert not [path for path in found if path.startswith("part")]
