"""The file that keeps pins: `DIR/pins`, apart from the catalog, so that they outlive whatever the catalog does not.

First line: a name, a format number and the SHA-256 of the rest; then one JSON document per line. Written aside, synced
and renamed; the one before stays as `pins.before`, and is read when the newer one is damaged (that is kept, too, as
`pins.damaged`, for a person to look at).
"""

from __future__ import annotations

import hashlib
import logging
import os
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from cache.on_disk import sync_folder

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

_HEAD = b"anchorfs-pins 1 "


class PinState(StrEnum):
    """What is wanted of a file, or of all below a folder (`user.anchorfs.pin`); named as in Windows' Cloud Files."""

    PINNED = "pinned"  # all of it is kept here
    UNPINNED = "unpinned"  # none of it is kept here longer than needed
    EXCLUDED = "excluded"  # as if nothing above were pinned
    INHERIT = "inherit"  # as the folder above


class PinRule(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of one node. By its item; by its inode number as long as the remote has not seen it."""

    state: PinState
    item_id: str | None
    ino: int
    path: str  # where it was last


class _First(msgspec.Struct, frozen=True, kw_only=True):
    """The first document: of which catalog the inode numbers are."""

    catalog: str


class PinFile:
    """The file in a state directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "pins"

    def load(self, *, only_look: bool = False) -> tuple[str, list[PinRule]]:
        """(catalog, rules); what was kept before when the newest is damaged, nothing when both are, or none is."""
        for path in (self._path, self._path.with_suffix(".before")):
            try:
                return _parsed(path.read_bytes())
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                log.warning("%s is damaged (%s); pins are as they were before, kept as pins.damaged", path, error)
                if not only_look:
                    self._keep_damaged(path)
        return "", []

    def store(self, catalog: str, rules: list[PinRule]) -> None:
        """Replace what is kept, so that it survives power loss at any moment; raises OSError."""
        lines = [msgspec.json.encode(_First(catalog=catalog)), *map(msgspec.json.encode, rules)]
        body = b"".join(line + b"\n" for line in lines)
        fresh, before = self._path.with_suffix(".new"), self._path.with_suffix(".before")
        _write(fresh, _HEAD + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        if self._path.exists():  # a link first: there is no moment without a whole file of that name
            aside = self._path.with_suffix(".aside")
            aside.unlink(missing_ok=True)
            os.link(self._path, aside)
            aside.replace(before)
        fresh.replace(self._path)
        sync_folder(self._path.parent)

    def _keep_damaged(self, path: Path) -> None:
        try:
            path.replace(self._path.with_suffix(".damaged"))
        except OSError as error:
            log.debug("the damaged file stays where it is: %s", error)


def _parsed(data: bytes) -> tuple[str, list[PinRule]]:
    """ValueError for anything that `store` does not write."""
    head, _, body = data.partition(b"\n")
    if head != _HEAD + hashlib.sha256(body).hexdigest().encode():
        raise ValueError("wrong checksum")
    first, *rest = body.splitlines()
    return msgspec.json.decode(first, type=_First).catalog, [msgspec.json.decode(line, type=PinRule) for line in rest]


def _write(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
