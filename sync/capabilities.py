"""What a remote is able to keep and to promise, told as data. Pure.

The engine, the mount and the contract suite read these facts; none of them asks which remote it is. What cannot be
kept there is either kept on this machine beside the item (modes, exact times: the adapter tells them back as long as
the content is the same) or refused to the program that asks for it (symlinks with EPERM, extended attributes with
ENOTSUP). A condition that a server does not honour is made up for by the adapter, or the mount is read-only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto


class Feature(Enum):
    """What can be asked of a remote beyond the need."""

    READ_MANY = auto()
    DESCENDANTS = auto()
    SESSIONS = auto()  # sync.sessions
    DELTAS = auto()
    VERSIONS = auto()  # sync.archive, and what follows
    TRASH = auto()
    SEARCH = auto()


class Delta(StrEnum):
    """How a remote's changes become known."""

    NATIVE = "native"  # the remote keeps a feed
    WALK = "walk"  # folders in which nothing changed are passed by, or say so
    SCAN = "scan"  # every known folder is listed


class Push(StrEnum):
    """How a remote says that something changed."""

    NONE = "none"  # it does not: it is asked from time to time
    POLL = "poll"  # one cheap question tells
    SOCKET = "socket"  # a channel that stays open


class Guard(StrEnum):
    """What keeps an unseen state of the remote from being overwritten."""

    ATOMIC = "atomic"  # the remote compares and acts in one step
    LOOKED = "looked"  # it is looked at right before; what arrives in between is lost
    REFUSED = "refused"  # not done at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What a name may be there."""

    max_bytes: int = 255
    form: str = "exact"  # exact | nfc: the remote tells names back in that Unicode form
    case_sensitive: bool = True
    refused: frozenset[str] = frozenset()  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The defaults are those of a remote that can do everything."""

    features: frozenset[Feature] = frozenset(Feature)
    delta: Delta = Delta.NATIVE
    push: Push = Push.SOCKET
    create: Guard = Guard.ATOMIC  # a new name never replaces
    overwrite: Guard = Guard.ATOMIC  # new content only over the seen one
    file_moves: Guard = Guard.ATOMIC  # moves and removals of files
    folder_moves: Guard = Guard.ATOMIC  # and of folders
    atomic_replace: bool = True  # a move over an item is one step: nobody ever sees neither
    native_ids: bool = True  # ids are the remote's own; else invented, and foreign moves are recognised where possible
    strong_versions: bool = True  # equal tags prove equal bytes at once; else only some time after the write
    old_versions_readable: bool = True  # a replaced content can still be read by who knows its version
    digests: bool = True  # the remote tells SHA-256 of contents
    digests_verified: bool = True  # and refuses bytes that do not match
    keys_shared: bool = True  # idempotency keys are known to the remote; else only to this machine
    modes: bool = True
    empty_files: bool = True  # a file may be without a byte; else it stays here until it holds one
    symlinks: bool = True
    xattrs: bool = True
    mtime_step_ns: int = 1  # the finest time that it keeps; 0: none that a client gives
    names: Names = field(default_factory=Names)

    @property
    def writable(self) -> bool:
        """Whether changes may be sent at all."""
        return Guard.REFUSED not in {self.create, self.overwrite}


EVERYTHING = Capabilities()

FILES_AND_FOLDERS = Capabilities(
    features=frozenset(),
    delta=Delta.SCAN,
    push=Push.NONE,
    folder_moves=Guard.LOOKED,
    strong_versions=False,
    old_versions_readable=False,
    digests=False,
    digests_verified=False,
    keys_shared=False,
    modes=False,
    symlinks=False,
    xattrs=False,
    mtime_step_ns=0,
)
"""What is left where contents and names are all that is kept, as a WebDAV server does."""
