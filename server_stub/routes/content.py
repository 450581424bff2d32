"""Reading content: current or older versions, whole or by ranges, under the conditions of RFC 9110."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

from server_stub.byteranges import Unsatisfiable, parse_ranges
from server_stub.conditions import Outcome, evaluate, quote, range_applies
from server_stub.contents import Content, Opened, open_content
from server_stub.digests import repr_digest
from server_stub.instants import http_date
from server_stub.problems import Problem
from server_stub.routes.http import endpoint, path_id
from server_stub.routes.sending import AT_ONCE_BYTES, PIECE_BYTES, ContentResponse, Piece, multipart
from server_stub.wire import item_json

if TYPE_CHECKING:
    from starlette.requests import Request

    from server_stub.service import Service
    from server_stub.values import Principal


@endpoint
async def get_content(request: Request, service: Service, principal: Principal) -> Response:
    """GET and HEAD."""
    version = request.query_params.get("version")
    content, opened = await open_content(service, principal, path_id(request), version)
    try:
        early = _decide_early(request, content, principal)
        if early is not None:
            opened.close()
            return early
        return await _respond(request, content, opened)
    except BaseException:
        opened.close()
        raise


def _decide_early(request: Request, content: Content, principal: Principal) -> Response | None:
    headers = request.headers
    outcome = evaluate(
        current=content.version,
        modified_ns=content.modified_ns,
        if_match=headers.get("if-match"),
        if_unmodified_since=headers.get("if-unmodified-since"),
        if_none_match=headers.get("if-none-match"),
        if_modified_since=headers.get("if-modified-since"),
    )
    if outcome is Outcome.FAILED:
        current = item_json(content.item, principal)
        raise Problem("precondition_failed", "the content has another version by now", current=current)
    if outcome is Outcome.NOT_MODIFIED:
        return Response(status_code=304, headers={"etag": quote(content.version)})
    return None


async def _respond(request: Request, content: Content, opened: Opened) -> Response:
    headers = _headers(content)
    ranges = None
    field = request.headers.get("range")
    if (
        field is not None
        and request.method == "GET"
        and range_applies(request.headers.get("if-range"), content.version)
    ):
        try:
            ranges = parse_ranges(field, content.size)
        except Unsatisfiable:
            told = {"content-range": f"bytes */{content.size}", "accept-ranges": "bytes"}
            raise Problem("range_not_satisfiable", "no such bytes", headers=told) from None
    status, pieces = _pieces(ranges, content.size, headers)
    if request.method == "GET" and len(pieces) == 1 and 0 < pieces[0].size <= PIECE_BYTES:
        data = await _small(opened, pieces[0])
        if len(data) == pieces[0].size:
            opened.close()
            return Response(data, status, headers)
    response: Response = ContentResponse(opened, status, headers, pieces)  # type: ignore[assignment]
    return response


async def _small(opened: Opened, piece: Piece) -> bytes:
    """One piece, without a thread when it is in memory."""
    held = opened.read_now(piece.start, piece.stop) if piece.size <= AT_ONCE_BYTES else None
    return await asyncio.to_thread(opened.read, piece.start, piece.stop) if held is None else held


def _headers(content: Content) -> dict[str, str]:
    headers = {
        "content-type": "application/octet-stream",
        "etag": quote(content.version),
        "accept-ranges": "bytes",
        "last-modified": http_date(content.modified_ns),
        "cache-control": "no-cache",
        "x-content-type-options": "nosniff",
    }
    if content.digest is not None:
        headers["repr-digest"] = repr_digest(content.digest)
    return headers


def _pieces(ranges: list[tuple[int, int]] | None, total: int, headers: dict[str, str]) -> tuple[int, list[Piece]]:
    """Status and pieces; completes the headers."""
    if ranges is None:
        return 200, [Piece(start=0, stop=total)]
    if len(ranges) == 1:
        start, stop = ranges[0]
        headers["content-range"] = f"bytes {start}-{stop - 1}/{total}"
        return 206, [Piece(start=start, stop=stop)]
    boundary, pieces = multipart(ranges, total)
    headers["content-type"] = f"multipart/byteranges; boundary={boundary}"
    return 206, pieces


routes = [Route("/v1/items/{item_id}/content", get_content, methods=["GET", "HEAD"])]
