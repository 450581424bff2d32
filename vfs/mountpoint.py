"""Mount points as the kernel sees them: what is mounted where, whether it is alive, and how it is taken away.

Never asks the file system itself from the caller's thread: a stat on a mount whose daemon hangs never
returns. The mount table is read instead, and a mount point is probed from a thread that may be left behind.
"""

from __future__ import annotations

import errno
import os
import re
import subprocess
import threading
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FS_TYPE = "fuse.anchorfs"
PROBE_TIMEOUT_S = 3.0
UNMOUNT_TIMEOUT_S = 20.0


class Health(StrEnum):
    """What a probe of a mount point found."""

    ALIVE = "alive"
    DEAD = "dead"  # ENOTCONN: the daemon is gone
    HUNG = "hung"  # no answer in time


@dataclass(frozen=True, slots=True, kw_only=True)
class MountEntry:
    """A line of the mount table."""

    path: str
    fs_type: str
    device: str  # "major:minor"

    @property
    def connection(self) -> Path:
        """The kernel's control folder of this FUSE connection, named by the device's minor number."""
        return Path("/sys/fs/fuse/connections") / self.device.partition(":")[2]


def parse_mountinfo(text: str) -> list[MountEntry]:
    """Entries of /proc/self/mountinfo (proc(5)), in mount order; octal escapes in paths are undone."""
    entries = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) >= 6 and after:
            path = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[4])
            entries.append(MountEntry(path=path, fs_type=after.split(" ")[0], device=fields[2]))
    return entries


def mounts() -> list[MountEntry]:
    """Our mounts, in mount order."""
    table = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    return [entry for entry in parse_mountinfo(table) if entry.fs_type == FS_TYPE]


def absolute(path: str) -> str:
    """The path with every symlink above it resolved, without touching what is mounted there."""
    folder, name = os.path.split(os.path.abspath(path))  # noqa: PTH100 - Path.absolute keeps `..`
    return os.path.join(os.path.realpath(folder), name) if name else folder  # noqa: PTH118 - text in, text out


def mounted_at(path: str) -> MountEntry | None:
    """Our topmost mount at exactly this path."""
    wanted = absolute(path)
    return next((entry for entry in reversed(mounts()) if entry.path == wanted), None)


def containing(path: str) -> MountEntry | None:
    """Our mount that holds this path."""
    wanted = absolute(path) + "/"
    inside = [entry for entry in mounts() if wanted.startswith(entry.path.rstrip("/") + "/")]
    return max(inside, key=lambda entry: len(entry.path), default=None)


def probe(path: str, timeout_s: float = PROBE_TIMEOUT_S) -> Health:
    """Ask the mount a question that the kernel cannot answer for it, waiting `timeout_s` at most.

    A stat is no such question: the kernel answers it from its cache long after the daemon died. An extended
    attribute is never cached, and this one costs the daemon nothing.
    """
    found: list[Health] = []

    def ask() -> None:
        try:
            os.getxattr(path, "security.capability")
            found.append(Health.ALIVE)
        except OSError as error:
            dead = error.errno in {errno.ENOTCONN, errno.ECONNABORTED}
            found.append(Health.DEAD if dead else Health.ALIVE)

    thread = threading.Thread(target=ask, name=f"probe {path}", daemon=True)
    thread.start()
    thread.join(timeout_s)
    return found[0] if found else Health.HUNG


def abort(entry: MountEntry) -> bool:
    """Cut the kernel's connection: every caller that hangs in it gets an error. True when permitted."""
    try:
        (entry.connection / "abort").write_text("1")
    except OSError:
        return False
    return True


def detach(path: str, *, lazy: bool) -> str | None:
    """Unmount; None when done, else the tool's reason. `lazy` also takes away what is still in use."""
    command = ["fusermount3", "-u", *(["-z"] if lazy else []), "--", path]
    try:
        done = subprocess.run(  # noqa: S603 - fixed words and one path behind `--`
            command,
            capture_output=True,
            text=True,
            timeout=UNMOUNT_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C at the terminal is for us, not for the unmounting tool
        )
    except FileNotFoundError:
        return "fusermount3 is not installed (package fuse3)"
    except subprocess.TimeoutExpired:
        return "fusermount3 did not come back"
    if done.returncode == 0 or mounted_at(path) is None:
        return None
    reason = done.stderr.strip().removeprefix("fusermount3: ").removeprefix(f"failed to unmount {path}: ")
    return reason or f"fusermount3 ended with {done.returncode}"


def clear_dead(entry: MountEntry) -> str | None:
    """Take away a mount whose daemon is gone, and free who hangs in it; None when done, else the reason."""
    abort(entry)
    return detach(entry.path, lazy=True)


def users_of(path: str) -> Iterator[str]:
    """Processes with a working folder or an open file below `path`, as `name (pid)`; those we may look at."""
    prefix = path.rstrip("/") + "/"
    for process in Path("/proc").glob("[0-9]*"):
        try:
            links = [process / "cwd", process / "root", *(process / "fd").iterdir()]
            if any(f"{_target(link)}/".startswith(prefix) for link in links):
                yield f"{(process / 'comm').read_text().strip()} ({process.name})"
        except OSError:
            continue  # it ended while we looked, or is not ours to look at


def _target(link: Path) -> str:
    """Where it leads to; "" for a descriptor that was closed meanwhile."""
    try:
        return str(link.readlink())
    except OSError:
        return ""


def raise_read_ahead(path: str, kib: int) -> bool:
    """Let the kernel read ahead by `kib` KiB on this mount (its default of 128 starves a network drive)."""
    entry = mounted_at(path)
    try:
        if entry is not None:
            Path(f"/sys/class/bdi/{entry.device}/read_ahead_kb").write_text(str(kib))
    except OSError:
        return False  # root only
    return entry is not None
