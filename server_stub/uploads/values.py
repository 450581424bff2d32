"""What an upload is. Frozen, without I/O.

`offset` counts bytes that are durable, nothing else is ever told. It reaches `length` in the transaction that
decides what becomes of the upload, so an upload whose bytes are all told has been committed or refused.
"""

from __future__ import annotations

import secrets
from enum import StrEnum

import msgspec

from server_stub.problems import Problem


class UploadState(StrEnum):
    """open → finished (whole, not in the drive) → committed; gone: expired or terminated."""

    OPEN = "open"
    FINISHED = "finished"
    COMMITTED = "committed"
    GONE = "gone"


HELD = frozenset({UploadState.OPEN, UploadState.FINISHED})  # their bytes lie in the vault


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the content goes: over `item_id` at `content_version`, or under a free `name` in `parent_id`."""

    item_id: str | None = None
    content_version: str | None = None
    parent_id: str | None = None
    name: str | None = None


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """The bytes are no content but tell one over a base: see `uploads.delta`."""

    item_id: str  # the base
    content_version: str
    size: int  # of the content that comes out


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """One upload, whole."""

    upload_id: str
    token_id: str
    state: UploadState = UploadState.OPEN
    offset: int = 0
    length: int | None = None  # None: not told yet
    metadata: str | None = None  # Upload-Metadata as it came; told again by HEAD
    concat: str | None = None  # Upload-Concat as it came
    target: Target | None = None  # None: decided by a later commit
    delta: Delta | None = None  # None: the bytes are the content
    modified_ns: int | None = None
    mode: int | None = None
    digest: str | None = None  # promised SHA-256, hex
    created_ns: int = 0
    expires_ns: int = 0
    item_id: str | None = None  # what it became
    refusal: str | None = None  # code of the problem that kept it out of the drive

    @property
    def is_partial(self) -> bool:
        """A part of a later concatenation; never committed by itself."""
        return self.concat == "partial"

    @property
    def is_final(self) -> bool:
        """Made by concatenation; takes no bytes."""
        return self.concat is not None and not self.is_partial

    @property
    def held_bytes(self) -> int:
        """What counts against the token's room: the bytes, and the content that a delta will take."""
        sent_bytes = self.offset if self.length is None else self.length
        return sent_bytes + (0 if self.delta is None else self.delta.size)


def new_upload_id() -> str:
    """Unguessable, although only its own token may use it."""
    return secrets.token_hex(16)


def check_target(target: Target) -> Target:
    """The target when it says one thing and says it whole. Problem invalid_request, precondition_required."""
    over, under = target.item_id is not None, target.parent_id is not None or target.name is not None
    if over == under:
        raise Problem("invalid_request", "a target is item_id + content_version, or parent_id + name", status=422)
    if over and target.content_version is None:
        raise Problem("precondition_required", "content_version must name what the new content is based on")
    if under and (target.parent_id is None or target.name is None or target.content_version is not None):
        raise Problem("invalid_request", "a new file needs parent_id and name, and has no version", status=422)
    return target
