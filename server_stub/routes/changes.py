"""The change feed, its long poll and its stream of hints."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from starlette.routing import Route

from server_stub.events import EventStream
from server_stub.feed import Page, Scope, is_lost, position, read_page
from server_stub.plans.common import require_folder
from server_stub.problems import Problem
from server_stub.routes.http import endpoint, integer, is_welcome, json_response

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from server_stub.service import Service
    from server_stub.store import View
    from server_stub.values import Principal

_FLAGS = {"true": True, "false": False}


@endpoint
async def changes(request: Request, service: Service, principal: Principal) -> Response:
    """A page of changes; `limit=0` tells where the feed stands; `wait` holds an empty answer back for a
    while.
    """
    settings = service.settings
    limit = integer(request, "limit", settings.page_default, minimum=0, maximum=settings.page_max)
    wait_s = integer(request, "wait", 0, minimum=0, maximum=int(settings.wait_max_s))
    scope = _scope(request)
    text = request.query_params.get("anchor")
    if text is None and limit:
        raise Problem("invalid_request", "anchor is needed; limit=0 tells the newest one")

    def read(after: int | None, view: View) -> Page:
        if scope is not None:
            require_folder(view, principal, scope.folder_id)
        newest = view.newest_seq()
        if text is not None and after is None:
            after = require_position(service, view, text)
        if limit == 0 or after is None:
            return Page(changes=[], seq=newest, has_more=False)
        return read_page(view, principal, after, limit, scope, examine=settings.feed_examine_max)

    page = await service.read(partial(read, None))
    deadline = asyncio.get_running_loop().time() + (wait_s if limit else 0)
    while not page.changes and not page.has_more:
        left_s = deadline - asyncio.get_running_loop().time()
        if left_s <= 0 or not await service.notifier.wait(page.seq, left_s):
            break
        page = await service.read(partial(read, page.seq))
    return _page_response(service, page)


def _scope(request: Request) -> Scope | None:
    """The folder asked for; Problem invalid_request."""
    folder_id, deep = request.query_params.get("scope"), request.query_params.get("deep")
    if deep is not None and deep not in _FLAGS:
        raise Problem("invalid_request", "deep is true or false")
    if folder_id is None:
        if deep is not None:
            raise Problem("invalid_request", "deep belongs to a scope")
        return None
    return Scope(folder_id=folder_id, deep=_FLAGS[deep or "false"])


def require_position(service: Service, view: View, text: str) -> int:
    """The anchor's sequence number; Problem anchor_expired with a fresh anchor."""
    newest = view.newest_seq()
    after = position(text, epochs=service.epochs, floor=view.floor_seq(), newest=newest)
    if after is None:
        lost = is_lost(text, epochs=service.epochs, newest=newest)
        why = "the feed does not reach back to this anchor"
        raise Problem("anchor_expired", why, anchor=service.anchor(newest), lost=lost)
    return after


def _page_response(service: Service, page: Page) -> Response:
    body = {"changes": page.changes, "anchor": service.anchor(page.seq), "has_more": page.has_more}
    return json_response(body, headers={"cache-control": "no-store"})


@endpoint
async def stream(request: Request, service: Service, _principal: Principal) -> Response:
    """Server-sent events: an anchor per batch of commits, a comment when nothing happens."""
    text = request.headers.get("last-event-id") or request.query_params.get("anchor")
    if text is None:
        after = await service.read(lambda view: view.newest_seq())
    else:
        after = await service.read(lambda view: require_position(service, view, text))
    if service.notifier.streams >= service.settings.streams_max:
        raise Problem("unavailable", "too many open streams", headers={"retry-after": "15"})
    return EventStream(service, after, partial(is_welcome, request, service))


routes = [
    Route("/v1/changes", changes, methods=["GET"]),
    Route("/v1/changes/stream", stream, methods=["GET"]),
]
