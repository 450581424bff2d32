"""What the file system tells of an item, and what it is asked to change: values only. Pure.

A `Struct` and not a dataclass where a listing makes one per entry: measured at 0.14 µs against 2 µs.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from cache.model import Ino, Kind, Node


class Attributes(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What stat tells."""

    ino: Ino
    kind: Kind
    mode: int  # permission bits, 0..0o7777
    size: int  # bytes; of a symlink, the length of its target
    disk_bytes: int  # what is really held on this machine
    nlink: int
    mtime_ns: int
    ctime_ns: int
    atime_ns: int
    uid: int | None = None  # None: whoever mounts the drive
    gid: int | None = None
    device: int = 0


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks: what is made is theirs."""

    uid: int
    gid: int


class DirectoryEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One entry of a listing; `next_offset` is where a listing goes on after it."""

    name: str
    attributes: Attributes
    next_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeChange:
    """What setattr asks for; None: leave it as it is."""

    size: int | None = None
    mode: int | None = None  # permission bits, 0..0o7777
    uid: int | None = None
    gid: int | None = None
    mtime_ns: int | None = None
    atime_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedFile:
    """An open file, and how the kernel may cache it."""

    fh: int
    keep_cache: bool = True  # the pages cached by earlier opens are those of this version
    direct_io: bool = False
    outdated: bool = False  # the kernel may hold the size of another version


@dataclass(frozen=True, slots=True)
class OpenedFolder:
    """An open folder, and what the kernel may do with its pages: fill and use them, keep what is in them."""

    fh: int
    fill: bool = False
    keep: bool = False


def of_node(node: Node, disk_bytes: int, nlink: int) -> Attributes:
    """The attributes of `node`. Reading moves no time: that of last access is as it was set, or of the last change."""
    size = node.size if node.symlink_target is None else len(node.symlink_target.encode())
    return Attributes(
        ino=node.ino,
        kind=node.kind,
        mode=node.mode & 0o7777,
        size=size,
        disk_bytes=disk_bytes,
        nlink=nlink,
        mtime_ns=node.mtime_ns,
        ctime_ns=node.ctime_ns,
        atime_ns=node.mtime_ns if node.atime_ns is None else node.atime_ns,
        uid=node.uid,
        gid=node.gid,
        device=node.device,
    )
