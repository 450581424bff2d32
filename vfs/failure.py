"""A failure as a person and a script are told it: kind, what happened, the way out, and the exit status.

The exit statuses are the few that a script can act on (sysexits.h): 75 means that trying again later may
help. `describe` is the one place that turns errors of the layers below into words.
"""

from __future__ import annotations

import re
from enum import IntEnum

import msgspec

from cache.errors import CacheInUse, LocalError, NoDriveHere, NoSpaceLeft, StateUnusable
from sync.remote import Busy, Denied, Gone, NotSignedIn, ProtocolViolation, Refused, RemoteError, Unreachable
from vfs.config import ConfigError

_DAMAGED = "the next mount, or `anchorfs fsck --repair`, moves it aside and keeps what was not sent in rescued/"


class ExitStatus(IntEnum):
    """What every command ends with."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    TRY_AGAIN = 75
    NOT_PERMITTED = 77
    CONFIGURATION = 78


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A failure on a pipe, a socket or in `--json`."""

    kind: str
    message: str
    hint: str = ""
    exit_status: int = ExitStatus.FAILED


class Failure(Exception):
    """A command cannot do what it was asked; `told` is all there is to say."""

    def __init__(self, kind: str, message: str, *, hint: str = "", status: int = ExitStatus.FAILED) -> None:
        super().__init__(message)
        self.told = Told(kind=kind, message=message, hint=hint, exit_status=int(status))

    @classmethod
    def of(cls, told: Told) -> Failure:
        """The failure that another process told."""
        return cls(told.kind, told.message, hint=told.hint, status=told.exit_status)


def describe(error: BaseException, *, about: str) -> Failure:
    """Words and exit status for an error of the layers below; `about` names the thing: an address, a path."""
    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        return describe(error.exceptions[0], about=about)
    if isinstance(error, Failure):
        return error
    kind = _kebab(type(error).__name__)
    if isinstance(error, RemoteError):
        return _of_remote(error, kind, about)
    if isinstance(error, LocalError):
        return _of_local(error, kind, about)
    if isinstance(error, ConfigError):
        return Failure("configuration", str(error), status=ExitStatus.CONFIGURATION)
    if isinstance(error, OSError):
        return Failure("os-error", f"{error.filename or about}: {error.strerror or error}")
    return Failure("internal", f"{about}: {type(error).__name__}: {error}", hint="the log has the details")


def _of_remote(error: RemoteError, kind: str, about: str) -> Failure:
    text = f"{about}: {error}"
    match error:
        case Gone() if "://" in about:
            return _no_drive(kind, about, "it knows no drive there (404)")
        case NotSignedIn():
            return Failure(
                kind,
                f"{about} does not accept the token, or wants one",
                hint=f"`anchorfs login {about}` asks for a token and keeps it; or --token-file FILE, or ANCHORFS_TOKEN",
                status=ExitStatus.NOT_PERMITTED,
            )
        case Denied():
            hint = "is the address right, and the token for it?" if "://" in about else "this account may not do that"
            return Failure(kind, text, hint=hint, status=ExitStatus.NOT_PERMITTED)
        case Unreachable() | Busy():
            return Failure(
                kind,
                f"{about} cannot be reached: {error}",
                hint="is the server running, and the address right? try again later",
                status=ExitStatus.TRY_AGAIN,
            )
        case ProtocolViolation() | Refused():
            return _no_drive(kind, about, str(error))
    return Failure(kind, text)


def _no_drive(kind: str, about: str, why: str) -> Failure:
    message = f"{about} answers, but not as an AnchorFS server: {why}"
    return Failure(kind, message, hint="check the address", status=ExitStatus.CONFIGURATION)


def _of_local(error: LocalError, kind: str, about: str) -> Failure:
    match error:
        case CacheInUse():
            path, pid = error.facts.get("path", "the cache directory"), error.facts.get("pid")
            owner = f"process {pid}" if pid else "another process"
            return Failure(
                kind,
                f"{path} is in use by {owner}: one drive folder serves one mount at a time",
                hint="unmount the other one first (see `anchorfs status`), or give another --cache-dir",
            )
        case NoSpaceLeft() if "needed_bytes" in error.facts:
            needed, fits = (int(str(error.facts[name])) / (1 << 20) for name in ("needed_bytes", "fits_bytes"))
            return Failure(
                kind,
                f"{about} does not fit: {needed:.1f} MiB are missing, and there is room for {fits:.1f} MiB",
                hint="give a larger --cache-size, make room on the disk, or ask for less",
            )
        case NoDriveHere():
            return Failure(
                _kebab(StateUnusable.__name__),  # what scripts look at stays what it was
                f"no drive is kept there: {error.facts.get('path', about)}",
                hint="give a mount point, a drive's address, or its folder (what --cache-dir said)",
                status=ExitStatus.CONFIGURATION,
            )
        case StateUnusable() if "cache_dir" in error.facts:
            hint = f"what was not sent stays in {error.facts['cache_dir']}: give another --cache-dir for this drive"
            return Failure(kind, str(error), hint=hint, status=ExitStatus.CONFIGURATION)
        case StateUnusable():
            hint = "see `anchorfs doctor`" if "version" in error.facts else _DAMAGED
            return Failure(kind, str(error), hint=hint, status=ExitStatus.CONFIGURATION)
    return Failure(kind, f"{about}: {error}")


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()
