"""Many items at once: everything below a folder as one stream, and finding by name."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from starlette.routing import Route

from server_stub.anchors import decode_opaque, encode_opaque
from server_stub.descent import Standing, descend
from server_stub.names import NAME_MAX_BYTES
from server_stub.plans.common import require_folder, visible
from server_stub.problems import Problem
from server_stub.routes.http import endpoint, integer, json_response, path_id
from server_stub.routes.streams import StreamedAnswer
from server_stub.wire import item_json

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request
    from starlette.responses import Response

    from server_stub.service import Service
    from server_stub.store import View
    from server_stub.values import Item, Principal

_DEPTH_MAX: Final = 1 << 20  # deeper than any tree
_LIMIT_MAX: Final = 1 << 40
_SPAN: Final = 20_000  # names looked at in one step of a search
T = TypeVar("T")
Page = tuple[list["Item"], Standing | None, int]  # the last: the newest change that this could see
_NDJSON: Final = "application/x-ndjson"


class WalkCursor(msgspec.Struct, frozen=True, array_like=True, tag="walk"):
    """Where a stream of descendants stands, with the anchor taken before its first item."""

    anchor: str
    standing: Standing


class SearchCursor(msgspec.Struct, frozen=True, array_like=True, tag="search"):
    """The last name that a search told or passed."""

    parent_id: str
    name: str


@endpoint
async def descendants(request: Request, service: Service, principal: Principal) -> Response:
    """Everything below a folder, breadth first, one item a line; the last line tells anchor and cursor."""
    depth = integer(request, "depth", _DEPTH_MAX, minimum=1, maximum=_DEPTH_MAX)
    limit = integer(request, "limit", _LIMIT_MAX, minimum=1, maximum=_LIMIT_MAX)
    walk = _Walk(service, principal, path_id(request), depth)
    cursor = _cursor(request, WalkCursor)
    first = await walk.page(Standing(walk.scope_id) if cursor is None else cursor.standing, limit)
    anchor = service.anchor(first[2]) if cursor is None else cursor.anchor
    return StreamedAnswer(walk.lines(first, anchor, limit), _NDJSON, {"cache-control": "no-store"})


class _Walk:
    """One request's walk: a snapshot per page, and none while the client takes it in."""

    def __init__(self, service: Service, principal: Principal, scope_id: str, depth: int) -> None:
        self._service = service
        self._principal = principal
        self.scope_id = scope_id
        self._depth = depth

    async def page(self, standing: Standing, limit: int) -> Page:
        """The next items, and where to go on. Problem when the folder is no more, for this token."""
        room = min(limit, self._service.settings.page_default)

        def read(view: View) -> Page:
            require_folder(view, self._principal, self.scope_id)
            newest = view.newest_seq()
            return *descend(view, self.scope_id, standing, limit=room, depth=self._depth), newest

        return await self._service.read(read)

    async def lines(self, first: Page, anchor: str, limit: int) -> AsyncGenerator[bytes, None]:
        """Ends without a last line when it cannot go on."""
        encoder = msgspec.json.Encoder()
        items, standing, newest = first
        while True:
            limit -= len(items)
            if items:
                yield encoder.encode_lines([{"item": item_json(item, self._principal)} for item in items])
            if standing is None or limit <= 0:
                break
            try:
                items, standing, newest = await self.page(standing, limit)
            except Problem:
                return
        cursor = None if standing is None else encode_opaque(WalkCursor(anchor, standing))
        unchanged = self._service.anchor(newest) == anchor
        yield encoder.encode_lines([{"anchor": anchor, "cursor": cursor, "unchanged": unchanged}])


@endpoint
async def search(request: Request, service: Service, principal: Principal) -> Response:
    """Items below the token's root whose name holds `q`, letter case aside."""
    wanted = request.query_params.get("q", "")
    if not wanted or len(wanted.encode("utf-8", "surrogatepass")) > NAME_MAX_BYTES or not _speakable(wanted):
        raise Problem("invalid_request", f"q is what a name holds: 1 to {NAME_MAX_BYTES} bytes")
    settings = service.settings
    limit = integer(request, "limit", settings.page_default, minimum=1, maximum=settings.page_max)
    start = _cursor(request, SearchCursor)
    after: tuple[str, str] | None = ("", "") if start is None else (start.parent_id, start.name)
    deadline = time.monotonic() + settings.search_page_s
    found: list[Item] = []
    while after is not None and len(found) < limit:
        some, after = await service.read(partial(_find, principal, wanted, after, limit - len(found)))
        found += some
        if time.monotonic() > deadline:
            break
    cursor = None if after is None else encode_opaque(SearchCursor(*after))
    return json_response({"items": [item_json(item, principal) for item in found], "cursor": cursor})


def _find(
    principal: Principal, wanted: str, after: tuple[str, str], limit: int, view: View
) -> tuple[list[Item], tuple[str, str] | None]:
    """Matches among the next names, and where to go on; None at the end."""
    matches = view.named(wanted, after=after, span=_SPAN, limit=limit)
    items = view.items([item_id for item_id, _ in matches])
    shown = [items[item_id] for item_id, _ in matches if visible(view, principal, items[item_id])]
    if len(matches) == limit:
        return shown, matches[-1][1]
    return shown, view.stretch_end(after, _SPAN)


def _speakable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _cursor(request: Request, shape: type[T]) -> T | None:
    text = request.query_params.get("cursor")
    cursor = None if text is None else decode_opaque(text, shape)
    if text is not None and cursor is None:
        raise Problem("cursor_invalid", "not a cursor of this server")
    return cursor


routes = [
    Route("/v1/items/{item_id}/descendants", descendants, methods=["GET"]),
    Route("/v1/search", search, methods=["GET"]),
]
