"""Which mounts this user has running: one small JSON file and one control socket per mount.

They live in a private folder (0700) of the user's runtime directory, else of the state directory. A record is
a hint: its process may have died without taking it away, so whoever reads it asks whether the process lives.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cache.private import make_private
from vfs.config import short_hash, state_home

if TYPE_CHECKING:
    from collections.abc import Iterator


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One running mount."""

    mountpoint: str
    url: str
    pid: int
    cache_dir: str
    log_file: str | None = None


def runtime_folder(environment: dict[str, str]) -> Path:
    """The private folder, made when missing; PermissionError when it is another user's."""
    folder = _runtime_base(environment)
    make_private(folder)
    status = folder.stat(follow_symlinks=False)
    if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
        raise PermissionError(1, "is not ours", str(folder))
    if status.st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def _runtime_base(environment: dict[str, str]) -> Path:
    named = environment.get("XDG_RUNTIME_DIR", "")
    for base in (Path(named), Path(f"/run/user/{os.geteuid()}")):
        if base.is_absolute() and base.is_dir() and os.access(base, os.W_OK):
            return base / "anchorfs"
    return state_home(environment) / "run"


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """A Unix socket's address for any path: the kernel takes 107 bytes, so it is told through the folder's descriptor.

    Raises OSError.
    """
    fd = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)


class Registry:
    """The records in one runtime folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def socket_path(self, mountpoint: str) -> Path:
        """Where the mount's control socket is; see `socket_address`."""
        return self._folder / f"{short_hash(mountpoint)}.sock"

    def add(self, record: Record) -> None:
        """Write the record, whole or not at all."""
        path = self._record_path(record.mountpoint)
        fresh = path.with_suffix(f".{record.pid}")
        fresh.touch(mode=0o600)
        fresh.write_bytes(msgspec.json.encode(record))
        fresh.replace(path)

    def remove(self, mountpoint: str) -> None:
        """Forget the mount and its socket."""
        self._record_path(mountpoint).unlink(missing_ok=True)
        self.socket_path(mountpoint).unlink(missing_ok=True)

    def find(self, mountpoint: str) -> Record | None:
        """The record of the mount there, when its process lives."""
        record = _read(self._record_path(mountpoint))
        return record if record is not None and is_alive(record.pid) else None

    def lost(self, mountpoint: str) -> bool:
        """Whether a mount of ours was there whose process has died without leaving."""
        record = _read(self._record_path(mountpoint))
        return record is not None and not is_alive(record.pid)

    def all(self) -> list[Record]:
        """Every mount whose process lives, by mount point."""
        records = [_read(path) for path in self._folder.glob("*.json")]
        living = [record for record in records if record is not None and is_alive(record.pid)]
        return sorted(living, key=lambda record: record.mountpoint)

    def _record_path(self, mountpoint: str) -> Path:
        return self._folder / f"{short_hash(mountpoint)}.json"


def _read(path: Path) -> Record | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, msgspec.MsgspecError):
        return None


def is_alive(pid: int) -> bool:
    """Whether this process runs (a zombie does not)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return fields.rpartition(")")[2].split()[0] not in {"Z", "X"}
