"""The tree of local errors: what can go wrong on this machine, without a network.

    LocalError
     ├─ NotFound          no such item here                       (facts: ino or name)
     ├─ NoAttribute       no such extended attribute               (name)
     ├─ Exists            the name is taken                       (name)
     ├─ NotEmpty          a folder still has children             (ino)
     ├─ WrongKind         a file where a folder was needed, or the reverse
     │   ├─ NotAFolder
     │   └─ IsAFolder
     ├─ WouldCycle        a folder moved into itself
     ├─ NameInvalid       a name that the drive cannot hold       (name)
     ├─ NameTooLong
     ├─ TooBig            beyond the stated maximum file size     (size_bytes)
     ├─ NoSpaceLeft       the cache is full of data that may not be evicted
     ├─ Stale             the opened version can no longer be had (ino)
     ├─ NotPermitted      the remote does not let this account do that (capability)
     ├─ MayNotFetch       a rule keeps this program from fetching (program)
     ├─ NotSupported      the drive cannot do this, and says so
     ├─ NotKept           the remote has no such things (kind)
     ├─ CacheInUse        another process owns the cache directory (path, pid)
     └─ StateUnusable     a state file from a newer version, or damaged (path)
         └─ NoDriveHere   a folder without one                  (path)

Errors carry facts as fields; nobody parses their text. `vfs.errnos` holds the one table to errno.
"""

from __future__ import annotations


class LocalError(Exception):
    """Root of every error raised by `cache`; `facts` names what it is about."""

    def __init__(self, message: str = "", **facts: object) -> None:
        super().__init__(message or type(self).__name__)
        self.facts = facts

    def __str__(self) -> str:
        detail = ", ".join(f"{key}={value!r}" for key, value in self.facts.items())
        return f"{self.args[0]} ({detail})" if detail else str(self.args[0])


class NotFound(LocalError):
    """No such item on this machine."""


class NoAttribute(LocalError):
    """No such extended attribute."""


class Exists(LocalError):
    """The name is already taken in that folder."""


class NotEmpty(LocalError):
    """A folder that still has children cannot be removed."""


class WrongKind(LocalError):
    """The item is of another kind than the call needs."""


class NotAFolder(WrongKind):
    """A folder was needed."""


class IsAFolder(WrongKind):
    """A file was needed."""


class WouldCycle(LocalError):
    """A folder cannot move below itself."""


class NameInvalid(LocalError):
    """The drive cannot hold this name."""


class NameTooLong(LocalError):
    """Longer than 255 bytes in UTF-8."""


class TooBig(LocalError):
    """Beyond the stated maximum file size."""


class NoSpaceLeft(LocalError):
    """The cache is full of data that may not be evicted, or the disk is."""


class Stale(LocalError):
    """The version that a handle opened can no longer be had."""


class NotPermitted(LocalError):
    """The remote told that this account may not do that with this item."""


class MayNotFetch(LocalError):
    """A rule of this machine keeps the program from fetching bytes."""


class NotSupported(LocalError):
    """The drive cannot do this, and says so."""


class NotKept(LocalError):
    """The remote has no things of this kind, so none is made here."""


class CacheInUse(LocalError):
    """Another process owns this cache directory."""


class StateUnusable(LocalError):
    """A state file is damaged or was written by a newer version."""


class NoDriveHere(StateUnusable):
    """A folder that holds no drive's state."""
