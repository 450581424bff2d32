"""Open downloads: an answer's headers are checked before a byte of it is believed.

A 206 must be of the asked version (ETag) and be of the asked range, cut at the end of the content; a
200 is the whole content, told as start 0. Too few bytes are Unreachable (go on from there), too many a
ProtocolViolation.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sync.remote import ProtocolViolation, Unreachable
from sync.remotes.answers import Answer, require_identity
from sync.remotes.asking import Ask, translated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from cache.model import ItemId

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})", re.ASCII)
_LENGTH = re.compile(r"\d{1,19}", re.ASCII)


def content_ask(
    path: str,
    start: int,
    stop: int,
    *,
    query: Sequence[tuple[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    asked: ItemId | None = None,
) -> Ask:
    """A GET of bytes [start, stop); an empty range asks for the whole content."""
    fields, expect = {"accept": "*/*", **(headers or {})}, {200}
    if stop > start:
        fields["range"] = f"bytes={start}-{stop - 1}"
        expect.add(206)
    return Ask(method="GET", path=path, query=query, headers=fields, asked=asked, expect=frozenset(expect))


class ContentReader:
    """An open download of bytes [start, stop) of `total`."""

    def __init__(self, answer: Answer, ask: Ask, bounds: tuple[int, int, int]) -> None:
        self.start, self.stop, self.total = bounds
        self._answer = answer
        self._ask = ask
        self._left = self.stop - self.start

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            with translated(self._ask):
                chunk = await anext(self._answer)
        except StopAsyncIteration:
            if self._left:
                raise Unreachable(f"{self._ask}: {self._left} bytes short") from None
            raise
        if len(chunk) > self._left:
            raise ProtocolViolation(f"{self._ask}: more bytes than announced")
        self._left -= len(chunk)
        if not self._left and "content-length" in self._answer.headers:
            await self._end()
        return chunk

    async def _end(self) -> None:
        """Take note of the end with the last byte, as it costs no waiting: a reader may stop there, and only an answer
        that came to its end gives its connection back."""
        with translated(self._ask):
            if await anext(self._answer, b""):
                raise ProtocolViolation(f"{self._ask}: more bytes than announced")


def _length(answer: Answer) -> int | None:
    text = answer.headers.get("content-length")
    if text is None:
        return None
    if not _LENGTH.fullmatch(text):
        raise ProtocolViolation("a malformed Content-Length")
    return int(text)


def bounds_of(answer: Answer, tag: str | None, start: int, stop: int, *, exact: bool = True) -> tuple[int, int, int]:
    """(start, stop, total) of an answer to a request for [start, stop) of what bears `tag`; ProtocolViolation.

    `exact`: a 206 must be of that range; else it may be of more.
    """
    require_identity(answer)
    if answer.headers.get("etag") != tag:
        raise ProtocolViolation("the answer is of another version than the one asked for")
    length = _length(answer)
    if answer.status == 200:
        if length is None:
            raise ProtocolViolation("a whole answer without its length")
        return 0, length, length
    match = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
    if match is None:
        raise ProtocolViolation("a 206 without a usable Content-Range")
    first, last, total = (int(part) for part in match.groups())
    fits = (first, last + 1) == (start, min(stop, total)) if exact else first <= start and last + 1 >= min(stop, total)
    if not fits or first > last:
        raise ProtocolViolation(f"asked for bytes {start}-{stop}, told of {first}-{last + 1} of {total}")
    if length is not None and length != last + 1 - first:
        raise ProtocolViolation("Content-Length and Content-Range disagree")
    return first, last + 1, total
