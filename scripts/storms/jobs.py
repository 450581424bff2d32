"""Pieces of real work in a folder where one worker is alone: each knows beforehand what it will have changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from scripts.storms.claims import ABSENT, Change, Content, View

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

NAMES = tuple(f"{stem}{ending}" for stem in ("plan", "photo", "notes", "x y", "ü") for ending in ("", ".txt", ".bin"))
FOLDERS = ("alpha", "beta", "gamma", "delta")
DEPTH = 3
FILES_MAX = 120
PROGRAM_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Job:
    """`act` does it, by system calls that raise OSError; `adopts`: a folder whose content is taken as found."""

    name: str
    change: Change
    act: Callable[[], object]
    adopts: str | None = None


class Jobs:
    """Chooses work below `top` by chance; a choice that is impossible now is None."""

    def __init__(self, top: Path, view: View, chance: random.Random) -> None:
        self._top, self._view, self._chance = top, view, chance
        self._number = 0
        self._kinds: dict[Callable[[], Job | None], int] = {
            self.create: 12, self.append: 6, self.overwrite: 5, self.rewrite: 6, self.truncate: 4, self.save: 8,
            self.rename: 8, self.move: 3, self.delete: 6, self.make_folder: 4, self.clear: 1, self.link: 2,
            self.unpack: 1, self.commit: 1,
        }  # fmt: skip

    def choose(self) -> Job | None:
        """Some job."""
        if len(self._view.tree) > FILES_MAX:
            return self.clear() or self.delete()
        return self._chance.choices(list(self._kinds), list(self._kinds.values()))[0]()

    # Bytes -------------------------------------------------------------------------------------------------------

    def create(self) -> Job | None:
        """A new file."""
        path, data = self._place(), self._fresh()
        if self._view.get(path) is not ABSENT:
            return None
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        return self._writing("create", path, data, flags, ((0, data),))

    def append(self) -> Job | None:
        """More at the end of a file."""
        path = self._file()
        if path is None:
            return None
        old, more = self._bytes(path), self._fresh()
        return self._writing("append", path, old + more, os.O_WRONLY | os.O_APPEND, ((len(old), more),))

    def overwrite(self) -> Job | None:
        """Other bytes in the middle of a file."""
        path = self._file()
        if path is None:
            return None
        old, new = self._bytes(path), self._fresh()
        start = self._chance.randint(0, len(old))
        whole = old[:start] + new + old[start + len(new) :]
        return self._writing("overwrite", path, whole, os.O_WRONLY, ((start, new),))

    def rewrite(self) -> Job | None:
        """Everything anew."""
        path, data = self._file(), self._fresh()
        if path is None:
            return None
        return self._writing("rewrite", path, data, os.O_WRONLY | os.O_TRUNC, ((0, data),))

    def truncate(self) -> Job | None:
        """A file cut, or grown with zeros."""
        path = self._file()
        if path is None:
            return None
        old = self._bytes(path)
        size = self._chance.randint(0, len(old) + 1000)
        change = Change({path: old}, {path: old[:size].ljust(size, b"\0")}, at_once=True)
        return Job("truncate", change, lambda: os.truncate(self._top / path, size))

    def save(self) -> Job | None:
        """As editors do: a new file beside it, synced, renamed over it."""
        path, data = self._place(), self._fresh()
        old, beside = self._view.get(path), f"{path}.part"
        if not (old is ABSENT or isinstance(old, bytes)) or self._view.get(beside) is None:
            return None

        def act() -> None:
            _write(self._top / beside, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, ((0, data),), sync=True)
            (self._top / beside).rename(self._top / path)

        before: dict[str, Content] = {path: old, beside: self._view.get(beside)}
        return Job("save", Change(before, {path: data, beside: ABSENT}, between={beside: data}), act)

    def _writing(self, name: str, path: str, whole: bytes, flags: int, pieces: tuple[tuple[int, bytes], ...]) -> Job:
        sync = self._chance.random() < 0.3
        change = Change({path: self._view.get(path)}, {path: whole})
        return Job(
            f"{name}+fsync" if sync else name, change, lambda: _write(self._top / path, flags, pieces, sync=sync)
        )

    # Names -------------------------------------------------------------------------------------------------------

    def rename(self) -> Job | None:
        """A file or symlink, to a free name or over a file."""
        path, target = self._any(), self._place()
        if path is None or self._view.get(path) is None or self._view.get(target) is None or path == target:
            return None
        before = {path: self._view.get(path), target: self._view.get(target)}
        change = Change(before, {path: ABSENT, target: before[path]}, at_once=True)
        return Job("rename", change, lambda: (self._top / path).rename(self._top / target))

    def move(self) -> Job | None:
        """A folder with all that is in it."""
        path, target = self._folder(), self._place(FOLDERS)
        inside = target == path or target.startswith(f"{path}/")
        if not path or inside or _foreign(path) or self._view.get(target) is not ABSENT:
            return None
        old = {each: self._view.get(each) for each in self._view.below(path)}
        new = {target + each[len(path) :]: content for each, content in old.items()}
        before = {**old, **dict.fromkeys(new, ABSENT)}
        change = Change(before, {**dict.fromkeys(old, ABSENT), **new}, at_once=True)
        return Job("move folder", change, lambda: (self._top / path).rename(self._top / target))

    def delete(self) -> Job | None:
        """A file or symlink."""
        path = self._any()
        if path is None or self._view.get(path) is None:
            return None
        change = Change({path: self._view.get(path)}, {path: ABSENT}, at_once=True)
        return Job("delete", change, (self._top / path).unlink)

    def make_folder(self) -> Job | None:
        """A folder."""
        path = self._place(FOLDERS)
        if self._view.get(path) is not ABSENT:
            return None
        return Job("make folder", Change({path: ABSENT}, {path: None}, at_once=True), (self._top / path).mkdir)

    def clear(self) -> Job | None:
        """A folder with all that is in it, one by one."""
        path = self._folder()
        if not path:
            return None
        before = {each: self._view.get(each) for each in self._view.below(path)}
        return Job(
            "remove tree", Change(before, dict.fromkeys(before, ABSENT)), lambda: shutil.rmtree(self._top / path)
        )

    def link(self) -> Job | None:
        """A symlink."""
        path = self._place()
        if self._view.get(path) is not ABSENT:
            return None
        change = Change({path: ABSENT}, {path: "over/there"}, at_once=True)
        return Job("symlink", change, lambda: (self._top / path).symlink_to("over/there"))

    # Programs ----------------------------------------------------------------------------------------------------

    def unpack(self) -> Job | None:
        """tar x of a small tree."""
        folder = f"tar{self._next()}"
        tree = {f"{folder}/{name}": self._fresh() for name in ("one", "two", "sub/three", "sub/four")}
        after: dict[str, Content] = {folder: None, f"{folder}/sub": None, **tree}
        packed = BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for path, data in tree.items():
                told = tarfile.TarInfo(path)
                told.size, told.mode = len(data), 0o644
                archive.addfile(told, BytesIO(data))
        change = Change(dict.fromkeys(after, ABSENT), after)
        return Job("tar", change, lambda: _run("tar", "xf", "-", "-C", str(self._top), fed=packed.getvalue()))

    def commit(self) -> Job | None:
        """A small repository, made and committed to."""
        folder = f"git{self._next()}"
        where = str(self._top / folder)

        def act() -> None:
            _run("git", "init", "-q", where)
            (self._top / folder / "file").write_bytes(b"in git")
            _run("git", "-C", where, "add", ".")
            _run("git", "-C", where, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one")

        return Job("git", Change({}, {}), act, adopts=folder)

    # Choosing ----------------------------------------------------------------------------------------------------

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _fresh(self) -> bytes:
        size = int(self._chance.choice((10, 500, 5_000, 30_000, 60_000, 60_000, 700_000)) * self._chance.random())
        return f"{self._top.name} {self._next()}\n".encode() + self._chance.randbytes(size)

    def _bytes(self, path: str) -> bytes:
        held = self._view.get(path)
        return held if isinstance(held, bytes) else b""

    def _place(self, names: tuple[str, ...] = NAMES) -> str:
        folders = [each for each in self._view.folders() if each.count("/") < DEPTH and not _foreign(each)]
        folder, name = self._chance.choice(folders), self._chance.choice(names)
        return f"{folder}/{name}" if folder else name

    def _file(self) -> str | None:
        files = [each for each in self._view.files() if not _foreign(each)]
        return self._chance.choice(files) if files else None

    def _any(self) -> str | None:
        paths = [each for each in self._view.tree if not _foreign(each)]
        return self._chance.choice(paths) if paths else None

    def _folder(self) -> str:
        """Of a repository only the whole."""
        return self._chance.choice([each for each in self._view.folders() if not _foreign(each.rpartition("/")[0])])


def _foreign(path: str) -> bool:
    """Inside a repository: only git works there."""
    return any(part.startswith("git") for part in path.split("/"))


def _write(path: Path, flags: int, pieces: tuple[tuple[int, bytes], ...], *, sync: bool) -> None:
    fd = os.open(path, flags, 0o644)
    try:
        for offset, data in pieces:
            written = 0
            while written < len(data):
                written += os.pwrite(fd, data[written:], offset + written)
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)


def _run(*words: str, fed: bytes | None = None) -> None:
    """A program; OSError when it fails, as it does when its files go away under it."""
    try:
        done = subprocess.run(words, input=fed, capture_output=True, timeout=PROGRAM_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{words[0]} did not come back") from error
    if done.returncode != 0:
        raise OSError(f"{words[0]} ended with {done.returncode}: {done.stderr.decode(errors='replace')[-300:]}")
