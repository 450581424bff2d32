"""What must be true before a mount is tried: each check names the thing, the cause and the way out.

A mount that a dead daemon left is cleaned up here; a living one is never touched.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from vfs import mountpoint as table
from vfs.failure import ExitStatus, Failure
from vfs.kernel_mount import is_fuse

if TYPE_CHECKING:
    from vfs.config import MountConfig
    from vfs.registry import Registry

FUSE_DEVICE = Path("/dev/fuse")


def check(config: MountConfig, registry: Registry) -> list[str]:
    """Raise Failure when a mount cannot work; returns what was cleaned up, as lines for the user."""
    cleaned = []
    if config.fuse_fd is not None:
        _check_passed(config.fuse_fd)
    else:
        _check_fuse(config)
        cleaned = _check_mounted(config.mountpoint, registry)
        _check_folder(config.mountpoint)
    _check_apart(config)
    _check_cache(Path(config.cache_dir))
    return cleaned


def _configuration(kind: str, message: str, hint: str) -> Failure:
    return Failure(kind, message, hint=hint, status=ExitStatus.CONFIGURATION)


def _check_passed(fd: int) -> None:
    if not is_fuse(fd):
        raise _configuration(
            "fuse-fd",
            f"descriptor {fd} is no open FUSE device",
            "open /dev/fuse, mount it with fd=N, and leave that descriptor to this program",
        )


def _check_fuse(config: MountConfig) -> None:
    if not FUSE_DEVICE.exists():
        raise _configuration(
            "fuse-missing",
            f"{FUSE_DEVICE} is missing: this kernel or container offers no FUSE",
            "modprobe fuse; in a container: --device /dev/fuse --cap-add SYS_ADMIN",
        )
    if not os.access(FUSE_DEVICE, os.R_OK | os.W_OK):
        raise _configuration(
            "fuse-denied",
            f"{FUSE_DEVICE} may not be opened by this user",
            "chmod 666 /dev/fuse, or join its group",
        )
    if shutil.which("fusermount3") is None:
        raise _configuration("fuse-missing", "fusermount3 is not installed", "apt-get install fuse3")
    if config.allow_other and os.geteuid() != 0 and not _others_allowed():
        raise _configuration(
            "allow-other",
            "-o allow_other is not permitted to users here",
            "put user_allow_other into /etc/fuse.conf",
        )


def _others_allowed() -> bool:
    try:
        lines = Path("/etc/fuse.conf").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return "user_allow_other" in {line.strip() for line in lines}


def _check_mounted(path: str, registry: Registry) -> list[str]:
    cleaned = []
    while (entry := table.mounted_at(path)) is not None:
        record = registry.find(path)
        if record is not None or not is_dead(path, registry):
            owner = f" by process {record.pid} ({record.url})" if record else ""
            raise Failure(
                "already-mounted",
                f"{path} is already mounted{owner}",
                hint=f"anchorfs status {path}; to end it: anchorfs unmount {path}",
            )
        reason = table.clear_dead(entry)
        if reason is not None:
            raise Failure(
                "dead-mount",
                f"{path} holds a mount whose process died, and it cannot be taken away: {reason}",
                hint=f"as root: umount -l {path}",
            )
        cleaned.append(f"cleaned up the mount that a dead process left at {path}")
    return cleaned


def is_dead(path: str, registry: Registry) -> bool:
    """Whether nothing serves the mount any more: it says so, or it hangs and its process has died."""
    health = table.probe(path)
    return health is table.Health.DEAD or (health is table.Health.HUNG and registry.lost(path))


def _check_folder(path: str) -> None:
    try:
        names = os.listdir(path)  # noqa: PTH208 - one system call decides between three answers
    except FileNotFoundError:
        raise _configuration(
            "mountpoint-missing", f"the mount point {path} does not exist", f"mkdir -p {path}"
        ) from None
    except NotADirectoryError:
        raise _configuration(
            "mountpoint-no-folder", f"the mount point {path} is not a folder", "name an empty folder"
        ) from None
    except OSError as error:
        raise _configuration(
            "mountpoint-unusable",
            f"the mount point {path}: {error.strerror}",
            "name an empty folder of yours",
        ) from error
    if names:
        raise _configuration(
            "mountpoint-not-empty",
            f"the mount point {path} is not empty: a mount would hide what is in it",
            "name an empty folder",
        )
    if os.path.ismount(path):
        raise Failure(
            "already-mounted",
            f"another file system is mounted on {path}",
            hint="name another folder, or unmount it",
        )
    if not os.access(path, os.W_OK):
        raise _configuration(
            "mountpoint-unusable", f"this user may not write to {path}", "name an empty folder of yours"
        )


def _check_apart(config: MountConfig) -> None:
    inside = os.path.join(config.mountpoint, "")  # noqa: PTH118 - text in, text out
    if os.path.join(config.cache_dir, "").startswith(inside):  # noqa: PTH118
        raise _configuration(
            "cache-inside-mount",
            f"the cache directory {config.cache_dir} lies inside the mount point",
            "give a --cache-dir elsewhere",
        )
    if (drive := table.containing(config.cache_dir)) is not None:
        raise _configuration(
            "cache-inside-mount",
            f"the cache directory {config.cache_dir} lies in the drive that is mounted on {drive.path}",
            "give a --cache-dir on a disk of this machine",
        )


def _check_cache(folder: Path) -> None:
    """That it can be written, or made."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        if not there.is_dir():
            what = "is not a folder"
        elif os.statvfs(there).f_flag & os.ST_RDONLY:
            what = f"cannot be written: {os.strerror(errno.EROFS)}"
        else:
            what = "may not be written by this user"
        raise _configuration(
            "cache-unusable",
            f"the cache directory {folder} cannot be used: {there} {what}",
            "give a --cache-dir of yours",
        )
