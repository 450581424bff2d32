"""What the server tells of itself: the contract as OpenAPI and as a page, and its figures for Prometheus."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from server_stub.metrics import CONTENT_TYPE
from server_stub.openapi.document import document
from server_stub.openapi.page import page
from server_stub.problems import Problem
from server_stub.routes.http import endpoint

if TYPE_CHECKING:
    from starlette.requests import Request

    from server_stub.metrics import Metrics
    from server_stub.service import Service
    from server_stub.values import Principal

# The page brings its style along and nothing else; a browser is told to load nothing.
_PAGE_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}


@cache
def _document() -> bytes:
    body: bytes = msgspec.json.encode(document())
    return body


@cache
def _page() -> bytes:
    return page(document()).encode()


async def openapi(_request: Request) -> Response:
    """The contract for programs."""
    return Response(_document(), media_type="application/json")


async def docs(_request: Request) -> Response:
    """The contract for people."""
    return Response(_page(), headers=_PAGE_HEADERS, media_type="text/html")


@endpoint
async def metrics(request: Request, service: Service, principal: Principal) -> Response:
    """The figures; they tell of the whole drive, so a token for a part of it does not see them."""
    if not principal.whole_drive:
        raise Problem("forbidden", "the figures are for tokens that see the whole drive")
    free_bytes = (await asyncio.to_thread(service.space))["free"]
    figures: Metrics = request.app.state.metrics
    figures.note_counts(*await service.read(lambda view: view.counts()))
    figures.note_drive(newest_seq=service.notifier.newest_seq, free_bytes=free_bytes)
    if service.last_scan is not None:
        figures.note_scan(service.last_scan)
    figures.note_watch(service.outside.status)
    return Response(figures.rendered(), media_type=CONTENT_TYPE)


routes = [
    Route("/openapi.json", openapi, methods=["GET"]),
    Route("/docs", docs, methods=["GET"]),
    Route("/metrics", metrics, methods=["GET"]),
]
