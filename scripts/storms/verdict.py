"""When the storm is over and all are back: is everything there, the same everywhere, and in order?"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.storms.claims import look
from scripts.storms.storm import Storm, digest
from scripts.storms.worker import SHARED, Worker
from tests.harness.trees import tree_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.harness.drives import Drive
    from tests.harness.mount import Mount

QUIET_WITHIN_S = 240.0
COMMAND_TIMEOUT_S = 120.0
SHOWN = 8
_TROUBLE = re.compile(r"Traceback|internal error|CRITICAL")


def judge(drive: Drive, mounts: Sequence[Mount], workers: Sequence[Worker], storm: Storm) -> None:
    """Add to `storm` what is lost, wrong or broken."""
    _come_to_rest(drive, mounts, storm)
    for worker in workers:
        worker.settle()
        _alone(worker, drive.served / worker.name, storm)
    _among_others(drive, workers, storm)
    for mount, worker in zip(mounts, workers, strict=True):
        _repositories(mount, worker, storm)
        _leave(mount, storm)
    _server(drive, storm)
    for log in (*(mount.log_path for mount in mounts), drive.server.log_path):
        _read(log, storm)


def _come_to_rest(drive: Drive, mounts: Sequence[Mount], storm: Storm) -> None:
    """Until all three trees are the same, byte for byte, with modes and times."""
    deadline = time.monotonic() + QUIET_WITHIN_S
    while True:
        told = ""
        for mount in (*mounts, *mounts[:-1]):
            done = mount.command("sync", str(mount.path), "--wait", "--timeout", "60", timeout_s=COMMAND_TIMEOUT_S)
            told += f"{mount.path.name} ended sync with {done.returncode}: {done.stderr}\n" if done.returncode else ""
        served = tree_of(drive.served)
        different = [(mount, _difference(tree_of(mount.path), served)) for mount in mounts]
        if not told and not any(each for _, each in different):
            return
        if time.monotonic() > deadline:
            storm.broken += [told] if told else []
            storm.wrong += [f"{mount.path.name} differs from the server: {each}" for mount, each in different if each]
            return
        time.sleep(0.5)


def _difference(one: dict[str, tuple[object, ...]], other: dict[str, tuple[object, ...]]) -> list[str]:
    paths = sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))
    return [f"{path}: {one.get(path)} and {other.get(path)}" for path in paths[:SHOWN]]


def _alone(worker: Worker, folder: Path, storm: Storm) -> None:
    """Where one worker was alone, everything is at its name, and nothing else is there."""
    found = {str(path.relative_to(folder)): look(path) for path in folder.rglob("*")}
    for path in sorted(worker.view.tree.keys() - found.keys()):
        storm.lost.append(f"{worker.name}: {path} is gone")
    for path in sorted(found.keys() - worker.view.tree.keys()):
        storm.wrong.append(f"{worker.name}: {path} should not be there")
    for path in sorted(found.keys() & worker.view.tree.keys()):
        if found[path] != worker.view.tree[path]:
            storm.lost.append(f"{worker.name}: {path} is not what was accepted last")


def _among_others(drive: Drive, workers: Iterable[Worker], storm: Storm) -> None:
    """Where several worked, what was accepted is at some name, in an older version or in the trash; and no bytes are
    there that nobody wrote."""
    current = {path: digest(path.read_bytes()) for path in (drive.served / SHARED).rglob("*") if path.is_file()}
    kept = {digest(path.read_bytes()) for path in drive.server.state.rglob("*") if path.is_file()}
    for worker in workers:
        for name, claimed in worker.claims.items():
            if claimed not in kept and claimed not in current.values():
                storm.lost.append(f"{worker.name}: what was accepted at {SHARED}/{name} is nowhere")
    for path, each in current.items():
        if each not in storm.known:
            storm.wrong.append(f"{path.name} holds bytes that nobody wrote")


def _repositories(mount: Mount, worker: Worker, storm: Storm) -> None:
    for folder in worker.top.glob("git*/.git/refs/heads/*"):
        done = _run("git", "-C", str(folder.parents[3]), "fsck", "--full")
        if done.returncode != 0:
            storm.wrong.append(f"{mount.path.name}: git fsck of {folder.parents[3].name}: {done.stderr}")


def _leave(mount: Mount, storm: Storm) -> None:
    """Unmount in order, and have the cache looked at."""
    status = mount.stop()
    if status != 0:
        storm.broken.append(f"{mount.path.name} ended with {status}")
    done = mount.command("fsck", str(mount.cache_dir), "--deep", timeout_s=COMMAND_TIMEOUT_S)
    if done.returncode != 0:
        storm.broken.append(f"fsck of {mount.path.name}: {done.stdout}{done.stderr}")
    for rescued in (mount.cache_dir / "rescued").glob("*"):
        storm.broken.append(f"{mount.path.name} had to rescue {rescued.name}")


def _server(drive: Drive, storm: Storm) -> None:
    words = (sys.executable, "-m", "server_stub", "doctor", "--root", str(drive.server.root))
    done = _run(*words, "--state", str(drive.server.state))
    if done.returncode != 0 or "WRONG" in done.stdout:
        storm.broken.append(f"the server's doctor: {done.stdout}{done.stderr}")


def _read(log: Path, storm: Storm) -> None:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    trouble = [number for number, line in enumerate(lines) if _TROUBLE.search(line)]
    if trouble:
        told = "\n".join(lines[max(trouble[0] - 2, 0) : trouble[0] + 30])
        storm.broken.append(f"{log.name} tells of trouble, {len(trouble)} times; first:\n{told}")


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, capture_output=True, text=True, errors="replace", timeout=COMMAND_TIMEOUT_S, check=False,
        cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
