"""The trash: what was deleted, bringing it back under its id, letting go of it for good."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from starlette.routing import Route

from server_stub.anchors import decode_opaque, encode_opaque
from server_stub.drive import replayed
from server_stub.duplicating import stage_skeleton
from server_stub.instants import NANOS, format_instant
from server_stub.names import check_name
from server_stub.plans.copy import Target
from server_stub.plans.create import Conflict
from server_stub.plans.restore import (
    check_restore,
    contents_of,
    plan_purge,
    plan_restore,
    require_trashed,
    trash_path,
    trashed_tree,
)
from server_stub.problems import Problem
from server_stub.routes.http import (
    base_version,
    decode,
    endpoint,
    integer,
    json_response,
    keyed_of,
    limited_body,
    path_id,
    send,
    sha256_of,
)
from server_stub.values import Kind
from server_stub.vault import Staged
from server_stub.wire import Json, trashed_json

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from server_stub.duplicating import Member
    from server_stub.intents import Intent
    from server_stub.keys import Keyed
    from server_stub.service import Service
    from server_stub.store import View
    from server_stub.values import Principal

_NEWEST = 1 << 62


class TrashCursor(msgspec.Struct, frozen=True, array_like=True, tag="trash"):
    """The deletion that was told last."""

    seq: int


class TargetBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where to: `:restore` and `:copy`."""

    parent_id: str | None = None
    name: str | None = None
    conflict: Conflict = "fail"


def target_of(raw: bytes) -> Target:
    """The target in a body; an empty body names none. Problem."""
    body = decode(raw or b"{}", TargetBody)
    name = None if body.name is None else check_name(body.name)
    return Target(parent_id=body.parent_id, name=name, conflict=body.conflict)


@endpoint
async def listing(request: Request, service: Service, principal: Principal) -> Response:
    """What was deleted by itself, the newest first; what was deleted together is one entry."""
    settings = service.settings
    limit = integer(request, "limit", settings.page_default, minimum=1, maximum=settings.page_max)
    text = request.query_params.get("cursor")
    cursor = None if text is None else decode_opaque(text, TrashCursor)
    if text is not None and cursor is None:
        raise Problem("cursor_invalid", "not a cursor of this server")
    before = _NEWEST if cursor is None else cursor.seq
    items, last = await service.read(partial(_page, principal, settings.retention_s, before, limit))
    return json_response({"items": items, "cursor": None if last is None else encode_opaque(TrashCursor(last))})


def _page(principal: Principal, retention_s: int, before: int, limit: int, view: View) -> tuple[list[Json], int | None]:
    """Entries that the token may see among the next `limit`, and where to go on."""
    tops = view.trash_tops(before, limit + 1)
    shown: list[Json] = []
    for trashed in tops[:limit]:
        path = trash_path(view, principal, trashed.item.item_id)
        if path is not None:
            expires_at = format_instant(trashed.deleted_ns + retention_s * NANOS)
            more = {"path": "/" + "/".join(path), "expires_at": expires_at}
            shown.append(trashed_json(trashed, principal) | more)
    return shown, tops[limit - 1].seq if len(tops) > limit else None


@endpoint
async def restore(request: Request, service: Service, principal: Principal) -> Response:
    """Out of the trash under the same id: to its old place or a given one, with all that was deleted with it."""
    raw = await limited_body(request, service.settings.json_body_max_bytes)
    keyed = keyed_of(request, principal, sha256_of(raw), required=True)
    target, item_id = target_of(raw), path_id(request)
    find = partial(_members, service=service, principal=principal, item_id=item_id, target=target, keyed=keyed)
    members = await service.read(find)
    staged, inos = await asyncio.to_thread(_prepare, service, members)
    now_ns = time.time_ns()

    def decide(view: View) -> Intent:
        return plan_restore(
            view,
            principal,
            item_id=item_id,
            expected=members,
            target=target,
            staged=staged,
            inos=inos,
            limit=service.settings.tree_max_items,
            now_ns=now_ns,
        )

    try:
        answer = await service.mutate(decide, keyed)
    finally:
        await asyncio.to_thread(service.vault.discard_skeleton, staged.name)
    return send(answer)


def _members(
    view: View, *, service: Service, principal: Principal, item_id: str, target: Target, keyed: Keyed | None
) -> list[Member]:
    """What is to come back; nothing when it has come back already under this key."""
    if keyed is not None and replayed(view, keyed) is not None:
        return []
    trashed = require_trashed(view, principal, item_id)
    check_restore(view, principal, trashed.item, target)
    return trashed_tree(view, trashed, service.settings.tree_max_items)


def _prepare(service: Service, members: list[Member]) -> tuple[Staged, dict[str, int]]:
    """Folders and symlinks in the staging room, and the inodes of the contents, which are moved at once later."""
    try:
        inos = {version: service.vault.kept_ino(version) for version in contents_of(members)}
    except FileNotFoundError:
        raise Problem("unavailable", "a content is missing in the vault; see `anchorfs-server doctor`") from None
    if not members or members[0].item.kind is Kind.FILE:
        return Staged(name=service.vault.new_name(), ino=0), inos
    top = members[0].item
    if top.kind is Kind.SYMLINK:
        return service.vault.stage_symlink(top.symlink_target or "", modified_ns=top.modified_ns), inos
    return stage_skeleton(service.vault, members), inos


@endpoint
async def purge(request: Request, service: Service, principal: Principal) -> Response:
    """Out of the trash for good, with every content; the tombstone stays in the feed."""
    keyed = keyed_of(request, principal, sha256_of(b""), required=True)
    base = base_version(request)
    item_id, now_ns = path_id(request), time.time_ns()
    released: list[str] = []

    def decide(view: View) -> Intent:
        limit = service.settings.tree_max_items
        intent = plan_purge(view, principal, item_id=item_id, base=base, limit=limit, now_ns=now_ns)
        released[:] = intent.released
        return intent

    answer = await service.mutate(decide, keyed)
    await asyncio.to_thread(service.vault.drop_all_kept, released)
    return send(answer)


routes = [
    Route("/v1/trash", listing, methods=["GET"]),
    Route("/v1/trash/{item_id}", purge, methods=["DELETE"]),
    Route("/v1/items/{item_id}:restore", restore, methods=["POST"]),
]
