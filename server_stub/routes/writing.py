"""Writing content in one request: bytes to the staging room first, then one atomic change under its
condition.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Final

from starlette.convertors import Convertor, register_url_convertor
from starlette.routing import Route

from server_stub.digests import parse_digests
from server_stub.drive import Decide, problem_of
from server_stub.keys import parse_key
from server_stub.names import check_name
from server_stub.plans.content import (
    NewContent,
    check_new_file,
    check_overwrite,
    plan_new_file,
    plan_overwrite,
)
from server_stub.problems import Problem
from server_stub.routes.http import base_version, endpoint, keyed_of, path_id, raw_name, send
from server_stub.routes.items import checked_instant

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from server_stub.blobs import Writing
    from server_stub.intents import Intent
    from server_stub.service import Service
    from server_stub.store import View
    from server_stub.values import Principal
    from server_stub.vault import Staged

_PIECE_BYTES: Final = 1 << 20
_OCTAL: Final = re.compile(r"0?[0-7]{1,4}", re.ASCII)


@endpoint
async def overwrite(request: Request, service: Service, principal: Principal) -> Response:
    """PUT over an item that is still at the version in If-Match."""
    base, item_id = base_version(request), path_id(request)
    content = _new_content(request)
    if parse_key(request.headers.get("idempotency-key")) is None:  # a replay must be heard, however stale its base is
        await service.read(lambda view: check_overwrite(view, principal, item_id, base))
    staged = await _take_in(request, service, content)
    now_ns = time.time_ns()

    def decide(view: View) -> Intent:
        return plan_overwrite(
            view, principal, item_id=item_id, base=base, content=content, staged=staged, now_ns=now_ns
        )

    return await _commit(request, service, principal, staged, decide)


@endpoint
async def create(request: Request, service: Service, principal: Principal) -> Response:
    """PUT of a new file under a name that must be free."""
    if request.headers.get("if-none-match", "").strip() != "*":
        raise Problem("precondition_required", "If-None-Match: * must say that the name is to be free")
    parent_id = path_id(request, "parent_id")
    name = check_name(raw_name(request))
    content = _new_content(request)
    if parse_key(request.headers.get("idempotency-key")) is None:
        await service.read(lambda view: check_new_file(view, principal, parent_id, name))
    staged = await _take_in(request, service, content)
    now_ns = time.time_ns()

    def decide(view: View) -> Intent:
        return plan_new_file(
            view, principal, parent_id=parent_id, name=name, content=content, staged=staged, now_ns=now_ns
        )

    return await _commit(request, service, principal, staged, decide)


async def _commit(request: Request, service: Service, principal: Principal, staged: Staged, decide: Decide) -> Response:
    try:
        keyed = keyed_of(request, principal, staged.digest or "", required=False)
        return send(await service.mutate(decide, keyed))
    finally:
        await asyncio.to_thread(service.blobs.discard, staged.name)


def _new_content(request: Request) -> NewContent:
    stamp, mode = request.headers.get("anchor-modified-at"), request.headers.get("anchor-mode")
    if mode is not None and _OCTAL.fullmatch(mode) is None:
        raise Problem("invalid_request", "Anchor-Mode is octal, as in 0644")
    return NewContent(
        modified_ns=time.time_ns() if stamp is None else checked_instant(stamp),
        mode=None if mode is None else int(mode, 8),
    )


async def _take_in(request: Request, service: Service, content: NewContent) -> Staged:
    """The body, durable in the staging room and checked against its digests; nothing remains when that
    fails.
    """
    announced = _announced_digests(request)
    limit_bytes = service.settings.content_max_bytes
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise Problem("too_large", f"at most {limit_bytes} bytes", headers={"connection": "close"})
    writing = await asyncio.to_thread(service.blobs.begin)
    try:
        await _pour(request, writing, limit_bytes)
        staged = await asyncio.to_thread(writing.finish, mode=0o600, modified_ns=content.modified_ns)
        _check_digests(announced, staged)
    except OSError as error:
        await asyncio.to_thread(writing.abandon)
        raise problem_of(error) from error
    except BaseException:
        writing.abandon()  # not awaited: the request may be cancelled
        raise
    return staged


def _check_digests(announced: list[str], staged: Staged) -> None:
    if any(digest != staged.digest for digest in announced):
        raise Problem("digest_mismatch", "the bytes that arrived are not the bytes announced")


def _announced_digests(request: Request) -> list[str]:
    fields = (request.headers.get("content-digest"), request.headers.get("repr-digest"))
    parsed = [parse_digests(field) for field in fields if field is not None]
    return [digest for digest in parsed if digest is not None]


async def _pour(request: Request, writing: Writing, limit_bytes: int) -> None:
    held = bytearray()
    async for chunk in request.stream():
        held += chunk
        if writing.size + len(held) > limit_bytes:
            raise Problem("too_large", f"at most {limit_bytes} bytes", headers={"connection": "close"})
        if len(held) >= _PIECE_BYTES:
            await asyncio.to_thread(writing.write, bytes(held))
            held.clear()
    if held:
        await asyncio.to_thread(writing.write, bytes(held))


class _AnyName(Convertor[str]):
    """Whatever stands between the slashes around it: the framework's `path` stops at a line end, which a name
    may hold. What a name may not hold is told by its check, not by a 404.
    """

    regex = r"(?s:.*)"

    def convert(self, value: str) -> str:
        """As it is."""
        return value

    def to_string(self, value: str) -> str:
        """As it is."""
        return value


register_url_convertor("name", _AnyName())

routes = [
    Route("/v1/items/{item_id}/content", overwrite, methods=["PUT"]),
    Route("/v1/items/{parent_id}/children/{name:name}/content", create, methods=["PUT"]),
]
