"""Reading content: current or older versions, whole or by ranges, under the conditions of RFC 9110."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from server_stub.byteranges import Unsatisfiable, parse_ranges
from server_stub.conditions import Outcome, evaluate, quote, range_applies
from server_stub.digests import repr_digest
from server_stub.instants import http_date
from server_stub.plans.common import require_file, was_visible
from server_stub.problems import Problem
from server_stub.routes.http import endpoint, path_id
from server_stub.routes.sending import AT_ONCE_BYTES, PIECE_BYTES, ContentResponse, Opened, Piece, multipart
from server_stub.values import Evidence, Item, Kind, Principal
from server_stub.wire import item_json

if TYPE_CHECKING:
    from starlette.requests import Request

    from server_stub.service import Service
    from server_stub.store import View

_ATTEMPTS: Final = 3


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """One version's bytes: where they lie and what is told of them."""

    item: Item
    names: tuple[str, ...]
    version: str
    size: int
    modified_ns: int
    digest: str | None

    @property
    def is_current(self) -> bool:
        """False for an older version from the vault."""
        return self.version == self.item.content_version


def find_content(view: View, principal: Principal, item_id: str, version: str | None) -> Content:
    """The current content or the asked version; Problem version_gone with the current item."""
    buried = None if version is None else _buried_content(view, principal, item_id, version)
    if buried is not None:
        return buried
    item = require_file(view, principal, item_id)
    current = item.content_version or ""
    if version is None or version == current:
        names = tuple(name for _, name in view.lineage(item_id)[1:])
        return Content(
            item=item,
            names=names,
            version=current,
            size=item.size,
            modified_ns=item.modified_ns,
            digest=item.digest,
        )
    kept = view.kept(version)
    if kept is None or kept.item_id != item_id:
        raise Problem("version_gone", "this version is not retained", current=item_json(item, principal))
    return Content(
        item=item, names=(), version=version, size=kept.size, modified_ns=kept.modified_ns, digest=kept.digest
    )


def _buried_content(view: View, principal: Principal, item_id: str, version: str) -> Content | None:
    """A retained version of a deleted item: a handle that has it open reads on."""
    tombstone, kept = view.tombstone(item_id), view.kept(version)
    if tombstone is None or kept is None or kept.item_id != item_id:
        return None
    if not was_visible(principal, tombstone):
        return None
    item = msgspec.structs.replace(tombstone.item, content_version=None)
    return Content(
        item=item, names=(), version=version, size=kept.size, modified_ns=kept.modified_ns, digest=kept.digest
    )


async def open_content(
    service: Service, principal: Principal, item_id: str, version: str | None
) -> tuple[Content, Opened]:
    """Find and open, with the index brought in line first when somebody else wrote to the file. Problem."""
    before: Content | None = None
    for _ in range(_ATTEMPTS):
        content = await service.read(lambda view: find_content(view, principal, item_id, version))
        opened = await asyncio.to_thread(open_at, service, content)
        if opened is not None:
            return content, opened
        if content.is_current:
            await service.refresh(content.names[:-1])
        elif content == before:
            await service.read(lambda view: require_file(view, principal, item_id))  # tells the tombstone, if any
            raise Problem("version_gone", "this version is not retained", current=item_json(content.item, principal))
        before = content  # an older content that was restored since it was found is current now
    raise Problem("unavailable", "the file is being changed by others", headers={"retry-after": "1"})


def open_at(service: Service, content: Content) -> Opened | None:
    """Blocks; None when the bytes of this version are not there (any more)."""
    if content.item.kind is Kind.SYMLINK:
        return Opened(_in_memory(content.item.symlink_target or ""), watched=False)
    try:
        if not content.is_current:
            return Opened(service.blobs.open_kept(content.version), watched=False)
        opened = Opened(service.blobs.open_current(content.names), watched=True)
    except OSError:
        return None
    if Evidence.of(os.fstat(opened.fd)) == content.item.evidence:
        return opened
    opened.close()
    return None


def _in_memory(text: str) -> int:
    fd = os.memfd_create("symlink")
    os.write(fd, text.encode())
    return fd


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
