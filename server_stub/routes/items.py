"""Items: one, many, a folder's children, a path; create, change, delete."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote as percent_encode

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from server_stub import xattrs
from server_stub.anchors import Cursor, decode_cursor, encode_cursor
from server_stub.conditions import weak_match
from server_stub.instants import parse_instant
from server_stub.names import check_name
from server_stub.plans.common import require_folder, require_item, visible, was_visible
from server_stub.plans.create import DEFAULT_MODE, NewItem, check_shape, plan_create
from server_stub.plans.move import Patch, Replaced, plan_patch
from server_stub.plans.remove import plan_remove, plan_remove_tree
from server_stub.problems import Problem
from server_stub.routes.changes import require_position
from server_stub.routes.http import (
    base_version,
    decode,
    endpoint,
    flag,
    integer,
    json_response,
    keyed_of,
    limited_body,
    path_id,
    send,
    sha256_of,
)
from server_stub.values import Item, Kind, Principal
from server_stub.wire import Json, item_answer, item_json, tombstone_json

if TYPE_CHECKING:
    from starlette.requests import Request

    from server_stub.intents import Intent
    from server_stub.service import Service
    from server_stub.store import View
    from server_stub.vault import Staged, Vault


class BatchBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /v1/items:batchGet."""

    item_ids: list[str]


class CreateBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """POST /v1/items."""

    parent_id: str
    name: str
    kind: Kind
    mode: int | None = None
    modified_at: str | None = None
    symlink_target: str | None = None
    xattrs: dict[str, bytes] = {}
    conflict: Literal["fail", "rename"] = "fail"


class PatchBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """PATCH /v1/items/{id}."""

    parent_id: str | None = None
    name: str | None = None
    mode: int | None = None
    modified_at: str | None = None
    replace: Replaced | None = None
    xattrs: dict[str, bytes | None] = {}


@endpoint
async def get_root(request: Request, service: Service, principal: Principal) -> Response:
    """The token's root."""
    return await _item(request, service, principal, principal.root_id)


@endpoint
async def get_item(request: Request, service: Service, principal: Principal) -> Response:
    """One item."""
    return await _item(request, service, principal, path_id(request))


async def _item(request: Request, service: Service, principal: Principal, item_id: str) -> Response:
    item = await service.read(lambda view: require_item(view, principal, item_id))
    field = request.headers.get("if-none-match")
    if field is not None and weak_match(field, item.metadata_version):
        return Response(status_code=304, headers={"etag": f'"{item.metadata_version}"'})
    return send(item_answer(item, principal))


@endpoint
async def batch_get(request: Request, service: Service, principal: Principal) -> Response:
    """Many items at once, each with its own status, in the asked order."""
    body = decode(await limited_body(request, service.settings.json_body_max_bytes), BatchBody)
    if len(body.item_ids) > service.settings.batch_max:
        raise Problem("invalid_request", f"at most {service.settings.batch_max} ids", status=422)
    results = await service.read(lambda view: _batch(view, principal, body.item_ids))
    return json_response({"results": results})


def _batch(view: View, principal: Principal, item_ids: list[str]) -> list[Json]:
    items = view.items(item_ids)
    gone = view.tombstones([item_id for item_id in item_ids if item_id not in items])
    results: list[Json] = []
    for item_id in item_ids:
        item, tombstone = items.get(item_id), gone.get(item_id)
        if item is not None and visible(view, principal, item):
            results.append({"item_id": item_id, "status": 200, "item": item_json(item, principal)})
        elif tombstone is not None and was_visible(principal, tombstone):
            results.append({"item_id": item_id, "status": 410, "item": tombstone_json(tombstone)})
        else:
            results.append({"item_id": item_id, "status": 404})
    return results


@endpoint
async def children(request: Request, service: Service, principal: Principal) -> Response:
    """A page of a folder, with the anchor taken before its first page."""
    settings = service.settings
    limit = integer(request, "limit", settings.page_default, minimum=1, maximum=settings.page_max)
    text = request.query_params.get("cursor")
    cursor = None if text is None else decode_cursor(text)
    if text is not None and cursor is None:
        raise Problem("cursor_invalid", "not a cursor of this server")
    folder_id = path_id(request)

    def page(view: View) -> tuple[list[Item], str]:
        require_folder(view, principal, folder_id)
        anchor = service.anchor(view.newest_seq()) if cursor is None else cursor.anchor
        return view.children(folder_id, after=None if cursor is None else cursor.after, limit=limit + 1), anchor

    items, anchor = await service.read(page)
    more = encode_cursor(Cursor(anchor, items[limit - 1].name)) if len(items) > limit else None
    shown = [item_json(item, principal) for item in items[:limit]]
    return json_response({"items": shown, "anchor": anchor, "cursor": more})


@endpoint
async def path(request: Request, service: Service, principal: Principal) -> Response:
    """Id → path below the token's root."""
    item_id = path_id(request)

    def find(view: View) -> str:
        require_item(view, principal, item_id)
        lineage = view.lineage(item_id)
        start = next(index for index, (each, _) in enumerate(lineage) if each == principal.root_id)
        return "/" + "/".join(name for _, name in lineage[start + 1 :])

    found = await service.read(find)
    return json_response({"path": found, "uri": "anchor://" + percent_encode(found)})


@endpoint
async def create(request: Request, service: Service, principal: Principal) -> Response:
    """A folder, a symlink or an empty file."""
    raw = await limited_body(request, service.settings.json_body_max_bytes)
    keyed = keyed_of(request, principal, sha256_of(raw), required=True)
    now_ns = time.time_ns()
    new = _new_item(decode(raw, CreateBody), now_ns)
    staged = await asyncio.to_thread(_stage, service.vault, new)
    try:
        answer = await service.mutate(lambda view: plan_create(view, principal, new, staged, now_ns), keyed)
    finally:
        await asyncio.to_thread(service.vault.discard, staged.name)
    return send(answer)


def _new_item(body: CreateBody, now_ns: int) -> NewItem:
    new = NewItem(
        parent_id=body.parent_id,
        name=check_name(body.name),
        kind=body.kind,
        mode=DEFAULT_MODE[body.kind] if body.mode is None else checked_mode(body.mode),
        modified_ns=now_ns if body.modified_at is None else checked_instant(body.modified_at),
        symlink_target=body.symlink_target,
        xattrs=xattrs.changed({}, {xattrs.check_name(name): value for name, value in body.xattrs.items()}),
        conflict=body.conflict,
    )
    check_shape(new)
    return new


def _stage(vault: Vault, new: NewItem) -> Staged:
    if new.kind is Kind.FOLDER:
        return vault.stage_folder(mode=new.mode, modified_ns=new.modified_ns)
    if new.symlink_target is not None:
        return vault.stage_symlink(new.symlink_target, modified_ns=new.modified_ns)
    return vault.begin().finish(mode=new.mode, modified_ns=new.modified_ns)


@endpoint
async def patch(request: Request, service: Service, principal: Principal) -> Response:
    """Move, rename, mode and time in one transaction."""
    raw = await limited_body(request, service.settings.json_body_max_bytes)
    keyed = keyed_of(request, principal, sha256_of(raw), required=True)
    base = base_version(request)
    body = decode(raw, PatchBody)
    change = Patch(
        parent_id=body.parent_id,
        name=None if body.name is None else check_name(body.name),
        modified_ns=None if body.modified_at is None else checked_instant(body.modified_at),
        mode=None if body.mode is None else checked_mode(body.mode),
        replace=body.replace,
        xattrs={xattrs.check_name(name): value for name, value in body.xattrs.items()},
    )
    item_id, now_ns = path_id(request), time.time_ns()
    return send(
        await service.mutate(
            lambda view: plan_patch(view, principal, item_id=item_id, base=base, patch=change, now_ns=now_ns),
            keyed,
        )
    )


@endpoint
async def remove(request: Request, service: Service, principal: Principal) -> Response:
    """To the trash; with `recursive=true`, also a folder of which everything was seen."""
    keyed = keyed_of(request, principal, sha256_of(b""), required=True)
    base, recursive = base_version(request), flag(request, "recursive")
    item_id, now_ns = path_id(request), time.time_ns()
    if not recursive:
        return send(await service.mutate(lambda view: plan_remove(view, principal, item_id, base, now_ns), keyed))
    anchor, aside = request.query_params.get("anchor"), service.vault.new_name()
    if anchor is None:
        raise Problem("invalid_request", "recursive=true needs the anchor up to which everything below was seen")

    def decide(view: View) -> Intent:
        return plan_remove_tree(
            view,
            principal,
            item_id=item_id,
            base=base,
            after_seq=require_position(service, view, anchor),
            aside=aside,
            limit=service.settings.tree_max_items,
            now_ns=now_ns,
        )

    answer = await service.mutate(decide, keyed)
    if answer.status == 204:  # its contents have a second name in the vault since before it left the tree
        await asyncio.to_thread(service.vault.discard, aside)
    return send(answer)


def checked_mode(mode: int) -> int:
    """Permission bits; Problem invalid_request."""
    if not 0 <= mode <= 0o7777:
        raise Problem("invalid_request", "mode is a number from 0 to 4095", status=422)
    return mode


def checked_instant(text: str) -> int:
    """Nanoseconds of an RFC 3339 date-time; Problem invalid_request."""
    try:
        return parse_instant(text)
    except ValueError as error:
        raise Problem("invalid_request", f"modified_at: {error}", status=422) from None


routes = [
    Route("/v1/root", get_root, methods=["GET"]),
    Route("/v1/items:batchGet", batch_get, methods=["POST"]),
    Route("/v1/items", create, methods=["POST"]),
    Route("/v1/items/{item_id}", get_item, methods=["GET"]),
    Route("/v1/items/{item_id}", patch, methods=["PATCH"]),
    Route("/v1/items/{item_id}", remove, methods=["DELETE"]),
    Route("/v1/items/{item_id}/children", children, methods=["GET"]),
    Route("/v1/items/{item_id}/path", path, methods=["GET"]),
]
