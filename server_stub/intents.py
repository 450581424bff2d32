"""What a change will do, written down before it is done. Pure.

An intent names the steps on the tree and the rows that will then be true. Each step names the inode that it
moves, so recovery can tell by evidence whether it was done. A durable intent is finished, never half
applied.
"""

from __future__ import annotations

import msgspec

from server_stub.keys import Answer, Keyed
from server_stub.tree import Place
from server_stub.uploads.values import Upload
from server_stub.values import Evidence, Item, Kept
from server_stub.vault import Room


class Step(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One atomic call on the tree."""


class Put(Step, frozen=True, kw_only=True):
    """ROOM/NAME → place. With `replaces`, over the file of that inode; without, only into a free name."""

    staged: str
    room: Room = Room.STAGING
    ino: int
    place: Place
    mode: int | None = None
    replaces: int | None = None


class Keep(Step, frozen=True, kw_only=True):
    """Link the file at the place into kept/ as this content version."""

    place: Place
    ino: int
    content_version: str


class Stow(Step, frozen=True, kw_only=True):
    """Take the file or symlink at the place out of the tree: into kept/ as this version, or away (None)."""

    place: Place
    ino: int
    content_version: str | None


class RemoveFolder(Step, frozen=True, kw_only=True):
    """rmdir; the kernel says whether it was empty."""

    place: Place
    ino: int


class Move(Step, frozen=True, kw_only=True):
    """Rename inside the tree. With `replaces`, over that inode; without, only to a free name."""

    source: Place
    target: Place
    ino: int
    replaces: int | None = None


class Fetch(Step, frozen=True, kw_only=True):
    """kept/VERSION → the staging room, at this path in it: an older content on its way back."""

    content_version: str
    ino: int
    staged: tuple[str, ...]


class Seal(Step, frozen=True, kw_only=True):
    """Give the folders of a staged tree their modes and times, the deepest first, and make them durable."""

    staged: str
    folders: tuple[tuple[tuple[str, ...], int, int], ...]  # path in the tree, mode, modified_ns


class StowTree(Step, frozen=True, kw_only=True):
    """A folder with all it holds out of the tree, into the staging room, when it holds exactly `members`."""

    place: Place
    ino: int
    staged: str
    members: dict[str, tuple[int, int, int] | int]  # path → (ino, size, mtime_ns), or the ino of a folder


class SetAttributes(Step, frozen=True, kw_only=True):
    """Mode and time of what lies at the place; `was_*` undo it."""

    place: Place
    ino: int
    mode: int | None
    modified_ns: int | None
    was_mode: int
    was_modified_ns: int


AnyStep = Put | Keep | Stow | StowTree | RemoveFolder | Move | Fetch | Seal | SetAttributes


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """A whole change: steps first, then these rows in one transaction with the answer under its key."""

    checks: tuple[tuple[Place, Evidence], ...] = ()  # what must still be true of the tree before the first step
    steps: tuple[AnyStep, ...] = ()
    puts: tuple[Item, ...] = ()
    places: dict[str, Place] = {}  # item_id → where its evidence is taken after the steps
    revivals: tuple[Item, ...] = ()  # out of the trash
    burials: tuple[Item, ...] = ()  # children first; the last one is what the others are in the trash with
    kept: tuple[Kept, ...] = ()
    released: tuple[str, ...] = ()  # content_versions that the vault holds no longer
    dropped: tuple[str, ...] = ()  # item_ids that leave the trash for good
    uploads: tuple[Upload, ...] = ()  # their rows as they are then
    answer: Answer
    keyed: Keyed | None = None
    now_ns: int


def encode_intent(intent: Intent) -> bytes:
    """The redo record."""
    return msgspec.json.encode(intent)


def decode_intent(body: bytes) -> Intent:
    """Read a redo record; msgspec.ValidationError when it is not one."""
    return msgspec.json.decode(body, type=Intent)
