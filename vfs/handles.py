"""Open files and folders: what a `fh` of the kernel stands for."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cache import ranges
    from cache.model import Ino
    from cache.opened import OpenContent


@dataclass(slots=True, eq=False)
class FileHandle:
    """One open file; it keeps the content that it opened, whatever becomes of its name."""

    opened: OpenContent
    writable: bool
    ino: Ino  # what was opened; the content may have gone over to a conflict copy since
    pid: int = 0  # who opened it; 0: not known
    root: bool = False  # opened by root
    held_only: bool = False  # a rule keeps its program from fetching
    direct: bool = False  # read round the kernel's pages
    given_up: ranges.Ranges = ()  # asked for, and not brought


@dataclass(slots=True, eq=False)
class FolderHandle:
    """One open folder."""

    ino: Ino


@dataclass(slots=True)
class Handles:
    """Numbers for open files and folders; a number is used once."""

    _next: int = 1
    _files: dict[int, FileHandle] = field(default_factory=dict)
    _folders: dict[int, FolderHandle] = field(default_factory=dict)
    _of_inode: dict[Ino, list[OpenContent]] = field(default_factory=dict)  # one entry per handle

    def add_file(self, opened: OpenContent, flags: int, pid: int = 0, *, direct: bool = False) -> int:
        """A new number for an open file."""
        writable = flags & os.O_ACCMODE != os.O_RDONLY
        opened.writers += writable
        opened.handles += 1
        number, self._next = self._next, self._next + 1
        self._files[number] = FileHandle(opened, writable, opened.ino, pid, direct=direct)
        self._of_inode.setdefault(opened.ino, []).append(opened)
        return number

    def reads_another(self, ino: Ino, opened: OpenContent) -> bool:
        """Whether an inode is open with another content than this."""
        return any(each is not opened for each in self._of_inode.get(ino, ()))

    def add_folder(self, ino: Ino) -> int:
        """A new number for an open folder."""
        number, self._next = self._next, self._next + 1
        self._folders[number] = FolderHandle(ino)
        return number

    def file(self, number: int) -> FileHandle:
        """The open file of a number."""
        return self._files[number]

    def folder(self, number: int) -> FolderHandle:
        """The open folder of a number."""
        return self._folders[number]

    def remove_file(self, number: int) -> FileHandle:
        """The number is not used any more."""
        handle = self._files.pop(number)
        handle.opened.writers -= handle.writable
        handle.opened.handles -= 1
        left = self._of_inode[handle.ino]
        left.remove(handle.opened)
        if not left:
            del self._of_inode[handle.ino]
        return handle

    def remove_folder(self, number: int) -> None:
        """The number is not used any more."""
        del self._folders[number]
