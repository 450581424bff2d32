"""What can go wrong with one request to a FakeRemote."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from sync.remote import RemoteError


@dataclass(slots=True, kw_only=True)
class Fault:
    """For the next request of `operation` (a method's name, or "*"); it is used once."""

    operation: str = "*"
    before: RemoteError | None = None  # raised instead of applying
    gate: trio.Event | None = None  # waited for before applying
    twice: bool = False  # the request arrives twice; the second answer is told
    after: RemoteError | None = None  # raised after applying: the answer is lost (Unknown), or worse
    answer_gate: trio.Event | None = None  # waited for after applying, before answering
    cut_after_bytes: int | None = None  # `read`, `append`: fails after so many bytes
    piece_gate: trio.Event | None = None  # `read_many`: waited for before each content; `append`: after each piece
    whole: bool = False  # `read` only: the range is ignored, the whole content answered
    reached: trio.Event = field(default_factory=trio.Event)  # set when the request is there, before the gate
    applied: trio.Event = field(default_factory=trio.Event)  # set when it took effect


NO_FAULT = Fault()
