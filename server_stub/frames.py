"""The frames of a batch of contents: a length, a header, then the bytes that the header announces. Pure."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from server_stub.problems import Problem

MEDIA_TYPE: Final = "application/vnd.anchorfs.frames"
_LENGTH: Final = struct.Struct(">I")


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One content of a batch; without a version the current one, without a range all of it."""

    item_id: str
    content_version: str | None = None
    range: tuple[int, int] | None = None


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The header of a frame that bytes follow: [start, stop) of `total`."""

    item_id: str
    status: int = 200
    content_version: str
    start: int
    stop: int
    total: int
    digest: str | None


def part_frame(part: Part) -> bytes:
    """Length and header; the bytes follow."""
    return _frame(msgspec.json.encode(part))


def refusal_frame(item_id: str, problem: Problem) -> bytes:
    """A problem in a content's place, its facts as members like in a problem document."""
    told = {"item_id": item_id, "status": problem.status, "code": problem.code, "detail": problem.detail}
    return _frame(msgspec.json.encode(told | problem.facts))


def end_frame() -> bytes:
    """The last frame: without it the stream was cut."""
    return _frame(b'{"end":true}')


def _frame(header: bytes) -> bytes:
    return _LENGTH.pack(len(header)) + header
