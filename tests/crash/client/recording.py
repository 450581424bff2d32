"""What a program did to a folder, as strace saw it, and the disks that a power cut may leave of it.

A write reaches the disk when its file is synced; until then any part of what was written since may be there: none, all,
some writes without those before them, half of one. Names of a folder reach it in their order, at the latest when the
folder is synced. That is less than any real file system gives, and all that POSIX promises.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

CALLS = "openat,linkat,pwrite64,write,ftruncate,fdatasync,fsync,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat"
_CALL = re.compile(r"^(\d+) +(?:(\w+)\((.*)|<\.\.\. (\w+) resumed>(.*))$")
_FD = re.compile(r"^(\d+)<([^>]*)>")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened: to a path (`call` as in CALLS), or a line that the program said."""

    call: str
    path: str
    data: bytes = b""
    number: int = 0  # offset, length, or which of its words a program said
    target: str = ""


def record(command: list[str], environment: dict[str, str], log: Path, timeout_s: float) -> list[Event]:
    """Run a program under strace; raises CalledProcessError when it fails."""
    words = ["strace", "-f", "-y", "-xx", "-s", "4194304", "-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(log)]
    subprocess.run([*words, *command], env=environment, check=True, timeout=timeout_s, stdout=subprocess.PIPE)
    return list(_events(log.read_text(encoding="ascii", errors="replace")))


def _events(text: str) -> Iterator[Event]:
    """Writes count from their beginning, syncs from their end."""
    begun: dict[str, tuple[str, str]] = {}
    for line in text.splitlines():
        found = _CALL.match(line)
        if found is None:
            continue
        process, call, rest, resumed, result = found.groups()
        if resumed is not None:
            call, rest = begun.pop(process, (resumed, ""))
            rest += result
        elif rest.endswith("<unfinished ...>"):
            begun[process] = (call, rest.removesuffix("<unfinished ...>"))
            continue
        if " = -1 " not in rest and (event := _event(call, rest)) is not None:
            yield event


def _text(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


def _event(call: str, rest: str) -> Event | None:
    strings = [_text(each) for each in _STRING.findall(rest)]
    if (at := _FD.match(rest)) is not None and call in {"pwrite64", "write", "ftruncate", "fdatasync", "fsync"}:
        numbers = re.findall(r", (\d+)", rest.rsplit('"', 1)[-1])
        path, data = _path(at[2]), strings[0] if strings else b""
        if call == "write" and at[1] == "1":
            return Event("said", data.decode()) if data.startswith((b"wrote ", b"synced ")) else None
        return Event(call, path, data, int(numbers[-1]) if numbers else 0)
    if call == "openat" and "O_CREAT" in rest and (made := re.search(r"= \d+<([^>]*)>$", rest)):
        return Event(call, _path(made[1]))
    if call.startswith("rename"):
        return Event("rename", strings[0].decode(), target=strings[-1].decode())
    if call == "linkat":
        return Event(call, strings[-1].decode())
    if call.startswith(("unlink", "mkdir")):
        return Event(call.removesuffix("at"), strings[0].decode())
    return None


def _path(shown: str) -> str:
    return _text(shown).decode() if shown.startswith("\\x") else shown


@dataclass(slots=True)
class _File:
    """What is surely on the disk, and what was done since."""

    synced: bytes = b""
    pending: list[Event] = field(default_factory=list)
    length: int = 0  # where a plain write goes

    def sync(self) -> None:
        """All of it is on the disk."""
        self.synced, self.pending = _applied(self.synced, self.pending), []

    def after_cut(self, chance: random.Random) -> bytes:
        """One of the states that a power cut may leave."""
        how = chance.randrange(5)
        kept = self.pending
        if how == 0:
            kept = []
        elif how == 1:
            kept = kept[: chance.randrange(len(kept) + 1)]
        elif how == 2:
            kept = [each for each in kept if chance.random() < 0.5]
        elif how == 3 and kept:
            torn = kept[-1]
            kept = [*kept[:-1], Event(torn.call, torn.path, torn.data[: len(torn.data) // 2], torn.number)]
        return _applied(self.synced, kept)


def _applied(content: bytes, events: list[Event]) -> bytes:
    image = bytearray(content)
    for event in events:
        if event.call == "ftruncate":
            image = image[: event.number].ljust(event.number, b"\0")
        else:
            stop = event.number + len(event.data)
            image = image.ljust(stop, b"\0") if len(image) < stop else image
            image[event.number : stop] = event.data
    return bytes(image)


class Disk:
    """A folder as a disk without battery has it; a sync of paths in it that `ignored` fits (fnmatch) does nothing."""

    def __init__(self, root: Path, ignored: str) -> None:
        self._root = str(root)
        self._ignored = ignored
        self._now: dict[str, _File | None] = {}  # None: a folder
        self._names: dict[str, list[tuple[str, _File | None, bool]]] = {}  # per folder, since it was synced
        self._synced: dict[str, _File | None] = {}

    def take(self, event: Event) -> None:
        """One thing happened."""
        if not event.path.startswith(self._root):
            return
        match event.call:
            case "openat" | "linkat" if event.path not in self._now:  # the only links are of empty files made ahead
                self._name(event.path, _File(), there=True)
            case "mkdir":
                self._name(event.path, None, there=True)
            case "unlink":
                self._name(event.path, self._now.get(event.path), there=False)
            case "rename":
                file = self._now.get(event.path)
                self._name(event.target, file, there=True)
                self._name(event.path, file, there=False)
            case "fsync" | "fdatasync":
                self._sync(event.path)
            case "pwrite64" | "write" | "ftruncate":
                self._write(event)

    def _write(self, event: Event) -> None:
        file = self._now.get(event.path)
        if file is None:
            return
        if event.call == "write":
            event = Event("pwrite64", event.path, event.data, file.length)
        file.pending.append(event)
        file.length = max(file.length, event.number + len(event.data))

    def _name(self, path: str, file: _File | None, *, there: bool) -> None:
        if there:
            self._now[path] = file
        else:
            self._now.pop(path, None)
        self._names.setdefault(str(Path(path).parent), []).append((path, file, there))

    def _sync(self, path: str) -> None:
        if fnmatchcase(path.removeprefix(f"{self._root}/"), self._ignored):
            return
        file = self._now.get(path)
        if file is not None:
            file.sync()
        for name, target, there in self._names.pop(path, ()):
            self._take_name(self._synced, name, target, there=there)

    @staticmethod
    def _take_name(names: dict[str, _File | None], path: str, file: _File | None, *, there: bool) -> None:
        if there:
            names[path] = file
        else:
            names.pop(path, None)

    def write_image(self, target: Path, chance: random.Random) -> None:
        """What is left in the folder, put into another one."""
        names = dict(self._synced)
        for changes in self._names.values():
            for path, file, there in changes[: chance.choice([0, len(changes), chance.randrange(len(changes) + 1)])]:
                self._take_name(names, path, file, there=there)
        for path, file in sorted(names.items()):
            place = target / Path(path).relative_to(self._root)
            if not place.parent.is_dir():
                continue  # its folder never came to the disk
            if file is None:
                place.mkdir(exist_ok=True)
            else:
                place.write_bytes(file.after_cut(chance))
