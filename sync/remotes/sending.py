"""What every adapter sends alike: names that can be one segment of a path, and bodies of exactly the announced size."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sync.closing import closing
from sync.remote import BadDigest, NameRefused
from sync.remotes.asking import READ_S

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sync.remote import Source
    from sync.sessions import Stream

_DURABLE_BYTES_PER_S = 20 << 20  # a slow server disk: the answer comes after the server's fsync


def checked_name(name: str) -> str:
    """`name`, if it can be one name of a folder; NameRefused."""
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise NameRefused("not a name of one entry")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise NameRefused("a name that is no UTF-8 text") from None
    return name


def durable_s(size: int) -> float:
    """How long the server may be silent while it brings `size` bytes to its disk, or reads them there."""
    return READ_S + size / _DURABLE_BYTES_PER_S


async def exactly(stream: Stream, start: int = 0) -> AsyncGenerator[bytes, None]:
    """The bytes of `stream` from `start`; BadDigest when they are not as many as announced: it changed meanwhile."""
    left = stream.size - start
    async with closing(stream.chunks(start)) as chunks:
        async for chunk in chunks:
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
    if left:
        raise BadDigest("the source changed its size while it was sent")


async def proven(source: Source) -> AsyncGenerator[bytes, None]:
    """The bytes of `source`, for a server that does not compare them with a digest: the last piece only once all of
    them were what was announced, else BadDigest, and the server has no whole content."""
    digest, held = hashlib.sha256(), b""
    async with closing(exactly(source)) as pieces:
        async for piece in pieces:
            digest.update(piece)
            if held:
                yield held
            held = piece
    if f"sha-256:{digest.hexdigest()}" != source.digest:
        raise BadDigest("the source holds other bytes than it announced")
    if held:
        yield held
