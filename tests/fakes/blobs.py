"""`Blobs` in dictionaries: what the seam promises, with nothing of a file system in it."""

from __future__ import annotations

import hashlib
import itertools
import os
from typing import TYPE_CHECKING

from server_stub.drift import Drift
from server_stub.intents import Keep, Move, Put, Stow
from server_stub.vault import Room, Staged

if TYPE_CHECKING:
    from server_stub.blobs import ContentStep
    from server_stub.tree import Place

Content = tuple[int, bytes]  # its number, as an inode has one, and its bytes
_numbers = itertools.count(1)


class MemoryWriting:
    """Content that is being staged."""

    def __init__(self, blobs: MemoryBlobs) -> None:
        self._blobs = blobs
        self._data = b""
        self.name = f"staged-{next(_numbers)}"

    @property
    def size(self) -> int:
        return len(self._data)

    def write(self, chunk: bytes) -> None:
        self._data += chunk

    def finish(self, *, mode: int, modified_ns: int) -> Staged:
        assert (mode, modified_ns) >= (0, 0)
        number = next(_numbers)
        self._blobs.rooms[Room.STAGING][self.name] = (number, self._data)
        digest = hashlib.sha256(self._data).hexdigest()
        return Staged(name=self.name, ino=number, size=self.size, digest=digest)

    def abandon(self) -> None:
        self._blobs.discard(self.name)


class MemoryBlobs:
    """Everything at once or nothing: a step that meets drift leaves the state before the first one."""

    def __init__(self) -> None:
        self.rooms: dict[Room, dict[str, Content]] = {Room.STAGING: {}, Room.UPLOADS: {}}
        self.files: dict[tuple[str, ...], Content] = {}
        self.kept: dict[str, Content] = {}

    def begin(self) -> MemoryWriting:
        return MemoryWriting(self)

    def discard(self, name: str) -> None:
        self.rooms[Room.STAGING].pop(name, None)

    def perform(self, steps: tuple[ContentStep, ...]) -> None:
        before = ({room: dict(held) for room, held in self.rooms.items()}, dict(self.files), dict(self.kept))
        try:
            for step in steps:
                self._take(step)
        except Drift:
            self.rooms, self.files, self.kept = before
            raise

    def _take(self, step: ContentStep) -> None:
        match step:
            case Put():
                self._put(step)
            case Keep():
                if self.kept.get(step.content_version, (0,))[0] != step.ino:
                    self.kept[step.content_version] = self._expect(step.place, step.ino)
            case Stow():
                content = self._expect(step.place, step.ino)
                del self.files[step.place.names]
                if step.content_version is not None:
                    self.kept[step.content_version] = content
            case Move():
                content = self._expect(step.source, step.ino)
                self._expect_or_free(step.target, step.replaces)
                del self.files[step.source.names]
                self.files[step.target.names] = content

    def _put(self, step: Put) -> None:
        held = self.rooms[step.room]
        if held.get(step.staged, (0,))[0] != step.ino:
            raise Drift(step.place)
        self._expect_or_free(step.place, step.replaces)
        self.files[step.place.names] = held.pop(step.staged)

    def _expect_or_free(self, place: Place, number: int | None) -> None:
        if self._number(place) != number:
            raise Drift(place)

    def _expect(self, place: Place, number: int) -> Content:
        if self._number(place) != number:
            raise Drift(place)
        return self.files[place.names]

    def _number(self, place: Place) -> int | None:
        content = self.files.get(place.names)
        return None if content is None else content[0]

    def decided(self, steps: tuple[ContentStep, ...]) -> bool:
        match steps[-1]:
            case Put(place=place, ino=number) | Move(target=place, ino=number):
                return self._number(place) == number
            case Stow(place=place, ino=number):
                return self._number(place) != number
            case _:
                return False

    def open_current(self, names: tuple[str, ...]) -> int:
        return _opened(self.files.get(names))

    def open_kept(self, content_version: str) -> int:
        return _opened(self.kept.get(content_version))

    def drop_kept(self, content_version: str) -> None:
        self.kept.pop(content_version, None)

    def sweep(self, kept_versions: set[str], upload_ids: set[str]) -> int:
        staged, uploads = self.rooms[Room.STAGING], self.rooms[Room.UPLOADS]
        strays = [(staged, name) for name in staged]
        strays += [(uploads, name) for name in uploads if name not in upload_ids]
        strays += [(self.kept, version) for version in self.kept if version not in kept_versions]
        for held, name in strays:
            del held[name]
        return len(strays)


def _opened(content: Content | None) -> int:
    if content is None:
        raise FileNotFoundError
    fd = os.memfd_create("content")
    os.write(fd, content[1])
    return fd
