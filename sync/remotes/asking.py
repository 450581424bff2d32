"""What is to be sent, and what a failure to get an answer means.

A failure before the request was sent is Unreachable; after that it is Unknown for what mutates and
Unreachable for what reads.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx

from sync.remote import RemoteError, Unknown, Unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterator, Mapping, Sequence

    from cache.model import ItemId

READ_S = 30.0
ANSWER_S = 120.0  # a whole metadata answer: 30 s between bytes alone would let a drip go on for ever

_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is to be sent; `asked` names the item whose tombstone would prove a deletion."""

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | AsyncIterable[bytes] | None = None
    mutates: bool = False
    asked: ItemId | None = None
    expect: frozenset[int] = frozenset({200})
    read_s: float = READ_S
    answer_s: float = ANSWER_S

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def segment(text: str) -> str:
    """`text` as one segment of a path."""
    return quote(text, safe="")


def lost(ask: Ask, why: str) -> RemoteError:
    """What a failure after sending means for this request."""
    return Unknown(f"{ask}: {why}") if ask.mutates else Unreachable(f"{ask}: {why}")


@contextlib.contextmanager
def translated(ask: Ask) -> Iterator[None]:
    """Turns httpx's failures into ours; their texts never hold a header."""
    try:
        yield
    except _NOT_SENT as error:
        raise Unreachable(f"{ask}: {_cause(error)}") from None
    except (httpx.HTTPError, httpx.StreamError) as error:
        raise lost(ask, _cause(error)) from None


def _cause(error: Exception) -> str:
    """Its kind and words; where it has none, those of what led to it."""
    told: BaseException | None = error
    while told is not None and not str(told):
        told = told.__cause__ or told.__context__
    return f"{type(error).__name__}: {told or 'no word'}"
