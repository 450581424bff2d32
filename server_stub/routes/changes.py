"""The change feed and its stream of hints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from server_stub.feed import Page, position, read_page
from server_stub.problems import Problem
from server_stub.routes.http import endpoint, integer, json_response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from server_stub.service import Service
    from server_stub.store import View
    from server_stub.values import Principal


@endpoint
async def changes(request: Request, service: Service, principal: Principal) -> Response:
    """A page of changes; `limit=0` tells where the feed stands; `wait` holds an empty answer back for a
    while.
    """
    settings = service.settings
    limit = integer(request, "limit", settings.page_default, minimum=0, maximum=settings.page_max)
    wait_s = integer(request, "wait", 0, minimum=0, maximum=int(settings.wait_max_s))
    text = request.query_params.get("anchor")
    if text is None:
        if limit:
            raise Problem("invalid_request", "anchor is needed; limit=0 tells the newest one")
        newest = await service.read(lambda view: view.newest_seq())
        return _page_response(service, Page(changes=[], seq=newest, has_more=False))

    def read(view: View) -> Page:
        after = require_position(service, view, text)
        if limit == 0:
            return Page(changes=[], seq=view.newest_seq(), has_more=False)
        return read_page(view, principal, after, limit)

    page = await service.read(read)
    if wait_s and limit and not page.changes and await service.notifier.wait(page.seq, wait_s):
        page = await service.read(read)
    return _page_response(service, page)


def require_position(service: Service, view: View, text: str) -> int:
    """The anchor's sequence number; Problem anchor_expired with a fresh anchor."""
    newest = view.newest_seq()
    after = position(text, epoch=service.epoch, floor=view.floor_seq(), newest=newest)
    if after is None:
        raise Problem("anchor_expired", "the feed does not reach back to this anchor", anchor=service.anchor(newest))
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
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_events(service, after), media_type="text/event-stream", headers=headers)


async def _events(service: Service, after: int) -> AsyncIterator[str]:
    """Coalesced: whatever was committed while the last event was on its way is one event."""
    notifier = service.notifier
    yield ": hello\n\n"
    while not notifier.closed:
        if await notifier.wait(after, service.settings.keepalive_s):
            after = notifier.newest_seq
            anchor = service.anchor(after)
            yield f'event: anchor\nid: {anchor}\ndata: {{"anchor":"{anchor}"}}\n\n'
        elif not notifier.closed:
            yield ": nothing new\n\n"


routes = [
    Route("/v1/changes", changes, methods=["GET"]),
    Route("/v1/changes/stream", stream, methods=["GET"]),
]
