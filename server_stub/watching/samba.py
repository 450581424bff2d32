"""Who did what through Samba: the lines of vfs_full_audit, read from the file that smbd writes them to.

smbd writes a line before it answers its client, so what a look finds has been told already; a line is kept for a while
under its path. Lines are advice: the tree says what changed, they only say who. SAMBA.md holds the configuration.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from server_stub.watching.activity import actor_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from server_stub.external.doubts import Actor
    from server_stub.watching.notices import FolderNames

MARK: Final = "anchorfs|"  # full_audit:prefix = anchorfs|%U|%I|%m
_KEPT_S: Final = 30.0  # longer than a look waits for a file that is being written
_KEPT_MAX: Final = 50_000
_READ_MAX_BYTES: Final = 8 << 20
_LINE_MAX_BYTES: Final = 64 << 10  # longer than two paths
_OPENED: Final = "|open|"  # create_file of something that was there: it changed nothing


def parse_line(line: str, root: str) -> tuple[Actor, list[FolderNames]] | None:
    """Who, and the paths below the root; None for a line that says nothing of the tree.

    `anchorfs|USER|ADDRESS|MACHINE|OPERATION|ok|ARGUMENT|…`, whatever stands before the mark.
    """
    _, mark, told = line.rstrip("\n").partition(MARK)
    fields = told.split("|")
    if not mark or len(fields) < 6 or fields[4] != "ok":
        return None
    user, address, machine, operation = fields[:4]
    if operation == "create_file" and _OPENED in told:
        return None
    prefix = root.rstrip("/") + "/"
    paths = [tuple(each.removeprefix(prefix).split("/")) for each in fields[5:] if each.startswith(prefix)]
    name = machine if machine == address or not address else f"{machine} ({address})"
    return (actor_of(user, "smb", name), paths) if paths else None


class AuditLog:
    """The end of a growing file, through its rotations, and who was last seen at which path. Safe in threads."""

    def __init__(self, path: Path, root: Path) -> None:
        self._path = path
        self._root = str(root)
        self._fd = -1
        self._rest = b""
        self._actors: OrderedDict[FolderNames, tuple[float, Actor]] = OrderedDict()
        self._reading = threading.Lock()  # a look and a late signature may both want to know
        self.lines = 0
        self._open(at_end=True)

    def close(self) -> None:
        """Give the file back."""
        with self._reading:
            self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def read(self, now_s: float) -> int:
        """Take in what was written since; returns how many lines told of the tree."""
        with self._reading:
            before = self.lines
            self._take(now_s)
            if self._is_rotated():
                self._close()
                self._open(at_end=False)
                self._take(now_s)
            while self._actors and next(iter(self._actors.values()))[0] < now_s - _KEPT_S:
                self._actors.popitem(last=False)
            return self.lines - before

    def actor(self, names: FolderNames) -> Actor | None:
        """Who was last seen there, within half a minute."""
        found = self._actors.get(names)
        return None if found is None else found[1]

    def actors(self, paths: Iterable[FolderNames]) -> dict[FolderNames, Actor]:
        """Those that are known of these paths."""
        found = ((names, self.actor(names)) for names in paths)
        return {names: actor for names, actor in found if actor is not None}

    def _open(self, *, at_end: bool) -> None:
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:  # smbd makes it with its first line
            return
        self._rest = b""
        if at_end:
            os.lseek(self._fd, 0, os.SEEK_END)

    def _is_rotated(self) -> bool:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return False
        if self._fd < 0:
            return True
        held = os.fstat(self._fd)
        cut = held.st_size < os.lseek(self._fd, 0, os.SEEK_CUR)
        return cut or (found.st_dev, found.st_ino) != (held.st_dev, held.st_ino)

    def _take(self, now_s: float) -> None:
        if self._fd < 0:
            return
        *lines, self._rest = (self._rest + os.read(self._fd, _READ_MAX_BYTES)).split(b"\n")
        if len(self._rest) > _LINE_MAX_BYTES:
            self._rest = b""
        for line in lines:
            told = parse_line(os.fsdecode(line), self._root)
            if told is not None:
                self.lines += 1
                self._keep(*told, now_s)

    def _keep(self, actor: Actor, paths: Iterable[FolderNames], now_s: float) -> None:
        for names in paths:
            self._actors[names] = (now_s, actor)
            self._actors.move_to_end(names)
        while len(self._actors) > _KEPT_MAX:
            self._actors.popitem(last=False)
