"""Many contents in one answer: a frame per item in the asked order, an error per item, nothing held back.

Small contents are found, read and packed many at a time; a large one is sent in pieces. A frame that cannot be
finished ends the stream: what was promised and did not come is seen by its length.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.routing import Route

from server_stub.contents import Content, find_content, open_at, open_content
from server_stub.digests import wire_digest
from server_stub.frames import MEDIA_TYPE, Part, Wanted, end_frame, part_frame, refusal_frame
from server_stub.problems import Problem
from server_stub.routes.http import decode, endpoint, limited_body
from server_stub.routes.sending import PIECE_BYTES
from server_stub.routes.streams import StreamedAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request
    from starlette.responses import Response

    from server_stub.service import Service
    from server_stub.store import View
    from server_stub.values import Principal

_GROUP: Final = 256  # items looked up in one snapshot
_SMALL_BYTES: Final = 1 << 18  # up to here a content is read whole before its frame begins

Found = Content | Problem


class BatchBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /v1/content:batch."""

    items: list[Wanted]


@endpoint
async def content_batch(request: Request, service: Service, principal: Principal) -> Response:
    """Contents, whole or a range each, current or older versions."""
    settings = service.settings
    body = decode(await limited_body(request, settings.json_body_max_bytes), BatchBody)
    if len(body.items) > settings.content_batch_max:
        raise Problem("invalid_request", f"at most {settings.content_batch_max} items", status=422)
    return StreamedAnswer(_frames(service, principal, body.items), MEDIA_TYPE, {"cache-control": "no-store"})


async def _frames(service: Service, principal: Principal, items: list[Wanted]) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(items), _GROUP):
        group = items[start : start + _GROUP]
        found = await service.read(partial(_find_all, principal, group))
        at = 0
        while at < len(group):
            packed, following = await asyncio.to_thread(_pack, service, group, found, at)
            if packed:
                yield packed
            at = following
            if at < len(group) and not packed:
                async with aclosing(_send_one(service, principal, group[at])) as pieces:
                    async for piece in pieces:
                        if piece is None:
                            return
                        yield piece
                at += 1
    yield end_frame()


def _find_all(principal: Principal, group: list[Wanted], view: View) -> list[Found]:
    return [_find(view, principal, wanted) for wanted in group]


def _find(view: View, principal: Principal, wanted: Wanted) -> Found:
    try:
        return find_content(view, principal, wanted.item_id, wanted.content_version)
    except Problem as problem:
        return problem


def _pack(service: Service, group: list[Wanted], found: list[Found], at: int) -> tuple[bytes, int]:
    """Frames of one piece's size, and the first item that is not in them: it is large, or was written to."""
    frames: list[bytes] = []
    size_bytes = 0
    while at < len(group) and size_bytes < PIECE_BYTES:
        frame = _small_frame(service, group[at], found[at])
        if frame is None:
            break
        frames.append(frame)
        size_bytes += len(frame)
        at += 1
    return b"".join(frames), at


def _small_frame(service: Service, wanted: Wanted, found: Found) -> bytes | None:
    """A whole frame with its bytes, or None when this is no matter of one read."""
    try:
        if isinstance(found, Problem):
            raise found
        start, stop = _span(wanted, found)
    except Problem as problem:
        return refusal_frame(wanted.item_id, problem)
    if stop - start > _SMALL_BYTES:
        return None
    opened = open_at(service, found)
    if opened is None:
        return None
    try:
        data = opened.read(start, stop)
    finally:
        opened.close()
    return _head(wanted, found, start, stop) + data if len(data) == stop - start else None


async def _send_one(service: Service, principal: Principal, wanted: Wanted) -> AsyncGenerator[bytes | None, None]:
    """The frame in pieces; None when the file was changed under the answer: the stream cannot go on."""
    try:
        content, opened = await open_content(service, principal, wanted.item_id, wanted.content_version)
    except Problem as problem:
        yield refusal_frame(wanted.item_id, problem)
        return
    try:
        position, stop = _span(wanted, content)
        yield _head(wanted, content, position, stop)
        while position < stop:
            data = await asyncio.to_thread(opened.read, position, min(position + PIECE_BYTES, stop))
            yield data or None
            position += len(data)
    except Problem as problem:
        yield refusal_frame(wanted.item_id, problem)
    finally:
        opened.close()


def _span(wanted: Wanted, content: Content) -> tuple[int, int]:
    """The bytes to be sent, cut to what there is; Problem range_not_satisfiable."""
    start, stop = wanted.range or (0, content.size)
    if not 0 <= start <= min(stop, content.size):
        raise Problem("range_not_satisfiable", "no such bytes", total=content.size)
    return start, min(stop, content.size)


def _head(wanted: Wanted, content: Content, start: int, stop: int) -> bytes:
    part = Part(
        item_id=wanted.item_id,
        content_version=content.version,
        start=start,
        stop=stop,
        total=content.size,
        digest=wire_digest(content.digest),
    )
    return part_frame(part)


routes = [Route("/v1/content:batch", content_batch, methods=["POST"])]
