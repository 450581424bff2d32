"""What can go wrong on a link, as values; and rules that say when."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that came through."""

    method: str
    target: str


@dataclass(frozen=True, slots=True)
class Gate:
    """Holds a body in its middle: `reached` tells that it is held, `go` lets it go on."""

    reached: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection ends before the server hears of the request."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """The link answers itself; the server hears nothing."""

    status: int = 503
    retry_after_s: int | None = 0


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """The server has applied the request; nobody hears its answer."""


@dataclass(frozen=True, slots=True)
class CutRequest:
    """The request ends in the middle of its body."""

    after_bytes: int


@dataclass(frozen=True, slots=True)
class CutAnswer:
    """The answer ends in the middle of its body."""

    after_bytes: int


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """The request stops in the middle of its body until the gate opens."""

    gate: Gate
    after_bytes: int = 0


@dataclass(frozen=True, slots=True)
class HoldAnswer:
    """The answer stops in the middle of its body until the gate opens."""

    gate: Gate
    after_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Flip:
    """One bit of the answer's body is another."""

    at: int


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing moves for a while before the request goes on."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Drip:
    """The answer comes in small pieces, with a pause before each; after `pieces` of them it flows."""

    piece_bytes: int
    pause_s: float
    pieces: int


@dataclass(frozen=True, slots=True)
class Twice:
    """The request arrives twice, one after the other; only the second answer is heard."""


Fault = Reset | Refuse | LoseAnswer | CutRequest | CutAnswer | HoldRequest | HoldAnswer | Flip | Stall | Drip | Twice


def mutation(request: Request) -> bool:
    """Whether a request changes the drive."""
    return request.method in {"POST", "PUT", "PATCH", "DELETE"} and ":batch" not in request.target


def content(request: Request) -> bool:
    """Whether a request asks for bytes of a file."""
    return request.method == "GET" and "/content" in request.target


class Times:
    """A rule: the first `count` requests that `concerned` picks get `fault`; `hits` tells how many did."""

    def __init__(self, fault: Fault, concerned: Callable[[Request], bool], *, count: int = 1) -> None:
        self._fault = fault
        self._concerned = concerned
        self._left = count
        self._lock = threading.Lock()
        self.hits = 0

    def __call__(self, request: Request) -> Fault | None:
        if not self._concerned(request):
            return None
        with self._lock:
            if self._left == 0:
                return None
            self._left -= 1
            self.hits += 1
        return self._fault


class FirstOfEach:
    """A rule: the first request to each method and target that `concerned` picks gets `fault`."""

    def __init__(self, fault: Fault, concerned: Callable[[Request], bool]) -> None:
        self._fault = fault
        self._concerned = concerned
        self._met: set[Request] = set()
        self._lock = threading.Lock()

    @property
    def hits(self) -> int:
        """How many requests met the fault."""
        return len(self._met)

    def __call__(self, request: Request) -> Fault | None:
        with self._lock:
            if not self._concerned(request) or request in self._met:
                return None
            self._met.add(request)
        return self._fault
