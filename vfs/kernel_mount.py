"""What the kernel is asked to mount: a folder, or a FUSE device that whoever started us has mounted (`/dev/fd/N`).

With the latter a program without any right to mount serves what a container's runtime, or a wrapper with more rights,
mounted for it. Who mounted it also unmounts it.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from vfs import mountpoint as table

if TYPE_CHECKING:
    from vfs.config import MountConfig

FUSE_DEVICE = os.makedev(10, 229)  # devices.txt of the kernel


def passed_fd(mountpoint: str) -> int | None:
    """N of `/dev/fd/N`; None for a folder."""
    found = re.fullmatch(r"/dev/fd/(\d{1,6})", mountpoint)
    return int(found[1]) if found else None


def fuse_place(config: MountConfig) -> str:
    """The mount point as libfuse is told it."""
    return config.mountpoint if config.fuse_fd is None else f"/dev/fd/{config.fuse_fd}"


def fuse_options(config: MountConfig) -> set[str]:
    """Options of the kernel mount. No program of a drive gains privileges here, not even for root.

    Of a device that was passed, who mounted it has chosen them.
    """
    options = {"fsname=anchorfs", "subtype=anchorfs", "default_permissions", "nosuid", "nodev"}
    options.update(config.kernel_options)
    if config.read_only:
        options.add("ro")
    if config.allow_other:
        options.add("allow_other")
    return options


def is_fuse(fd: int) -> bool:
    """Whether it is an open FUSE device."""
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == FUSE_DEVICE


def place_of(fd: int) -> str | None:
    """Where it is mounted, if that can be seen from here, and as ours; kernels before 6.11 or so do not tell."""
    try:
        told = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^fuse_connection:\s*(\d+)$", told, re.MULTILINE)
    device = f"0:{found[1]}" if found else None
    return next((entry.path for entry in table.mounts() if entry.device == device), None)
