"""What is asked on a mount's control socket, and how it is answered: one JSON line each way (see `vfs.control`)."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from vfs.failure import Told


class Verb(StrEnum):
    """What can be asked of a mount."""

    STATUS = "status"
    WATCH = "watch"
    SYNC = "sync"
    EVICT = "evict"
    HYDRATE = "hydrate"
    QUEUE = "queue"
    RETRY = "retry"
    UNMOUNT = "unmount"
    NUDGE = "nudge"
    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"
    REJECT = "reject"
    CONFLICTS = "conflicts"
    RESOLVE = "resolve"
    ACTIVITY = "activity"
    PIN = "pin"
    PINS = "pins"
    VERSIONS = "versions"
    TRASH = "trash"
    RESTORE = "restore"
    SEARCH = "search"


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line from a client."""

    verb: Verb
    ino: int | None = None
    path: str = ""  # for messages only
    timeout_s: float | None = None
    flush: bool = True
    paths: tuple[str, ...] = ()  # below the mount point, "" the whole of it
    keep: str = ""
    after_seq: int = 0
    limit: int = 100
    pin: str = ""
    version: str = ""
    item_id: str = ""
    text: str = ""
    progress: bool = False  # tell how far it is, in replies before the last


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One line to a client: a result, or what went wrong; before it, if asked for, how far the work is."""

    result: object = None
    error: Told | None = None
    progress: object = None
