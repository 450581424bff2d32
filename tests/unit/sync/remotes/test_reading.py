"""Downloads that are read to their last byte and no further."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import httpx
import pytest

from sync.remote import ProtocolViolation
from sync.remotes.asking import Ask
from sync.remotes.reading import ContentReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sync.remotes.answers import Answer

ASK = Ask(method="GET", path="items/1/content")


class Told:
    """An answer of some chunks; knows whether its end was seen."""

    def __init__(self, chunks: list[bytes], headers: dict[str, str]) -> None:
        self.headers = httpx.Headers(headers)
        self.ended = False
        self._chunks = iter(chunks)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for chunk in self._chunks:
            return chunk
        self.ended = True
        raise StopAsyncIteration


def reader_of(told: Told) -> ContentReader:
    return ContentReader(cast("Answer", told), ASK, (0, 4, 4))


@pytest.mark.parametrize(("headers", "ended"), [({"content-length": "4"}, True), ({}, False)])
async def test_the_end_is_seen_with_the_last_byte_where_it_costs_no_waiting(
    headers: dict[str, str], ended: bool
) -> None:
    told = Told([b"ab", b"cd"], headers)
    reader = reader_of(told)
    assert await anext(reader) == b"ab"
    assert not told.ended
    assert await anext(reader) == b"cd"
    assert told.ended is ended


async def test_a_byte_too_many_is_a_violation_also_behind_the_last_one() -> None:
    reader = reader_of(Told([b"abcd", b"e"], {"content-length": "4"}))
    with pytest.raises(ProtocolViolation):
        await anext(reader)
