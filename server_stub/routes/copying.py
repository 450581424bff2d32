"""Copies on the server, and the older contents of an item: no bytes over the wire."""

from __future__ import annotations

import asyncio
import os
import time
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from starlette.routing import Route

from server_stub.anchors import decode_opaque, encode_opaque
from server_stub.digests import wire_digest
from server_stub.drive import replayed
from server_stub.duplicating import Member, SourceChanged, stage_copy, stage_tree
from server_stub.instants import format_instant
from server_stub.plans.common import folder_names, require_file
from server_stub.plans.content import NewContent, check_overwrite, plan_overwrite
from server_stub.plans.copy import Target, check_copy, copy_source, plan_copy
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
from server_stub.routes.trash import target_of
from server_stub.values import Evidence, Item, Kept, Kind, Principal
from server_stub.wire import Json, item_json

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from server_stub.clearing import Path
    from server_stub.intents import Intent
    from server_stub.keys import Keyed
    from server_stub.service import Service
    from server_stub.store import View
    from server_stub.vault import Staged

_ATTEMPTS = 3

Source = tuple[list[Member], tuple[str, ...]]  # the tree, and the names down to its top


class VersionsCursor(msgspec.Struct, frozen=True, array_like=True, tag="versions"):
    """The older content that was told last."""

    kept_ns: int
    content_version: str


class VersionBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /v1/items/{id}:restoreVersion."""

    content_version: str


@endpoint
async def copy(request: Request, service: Service, principal: Principal) -> Response:
    """A file, a symlink or a whole folder, as it stands when the copying begins; it appears whole."""
    raw = await limited_body(request, service.settings.json_body_max_bytes)
    keyed = keyed_of(request, principal, sha256_of(raw), required=True)
    target, item_id = target_of(raw), path_id(request)
    base = base_version(request) if "if-match" in request.headers else None
    limit = service.settings.tree_max_items
    find = partial(_source, limit=limit, principal=principal, item_id=item_id, base=base, target=target, keyed=keyed)
    async with service.copies:
        found = await _stage_source(service, find)
    if found is None:
        return send(await service.mutate(_never, keyed))
    source, staged = found
    now_ns = time.time_ns()

    def decide(view: View) -> Intent:
        return plan_copy(view, principal, source=source, target=target, staged=staged, now_ns=now_ns)

    try:
        answer = await service.mutate(decide, keyed)
    finally:
        await asyncio.to_thread(service.vault.discard, staged.name)
    return send(answer)


def _never(_view: View) -> Intent:
    """For a request whose answer is stored: it is not decided again."""
    raise Problem("unavailable", "the stored answer is gone", headers={"retry-after": "1"})


def _source(
    view: View,
    *,
    limit: int,
    principal: Principal,
    item_id: str,
    base: str | None,
    target: Target,
    keyed: Keyed | None,
) -> Source | None:
    """What is to be copied; None when it was copied already under this key."""
    if keyed is not None and replayed(view, keyed) is not None:
        return None
    source = copy_source(view, principal, item_id, base, limit)
    check_copy(view, principal, source[0].item, target)
    return source, folder_names(view, source[0].item)


async def _stage_source(service: Service, find: partial[Source | None]) -> tuple[list[Member], Staged] | None:
    """Copy what stands there, again when somebody writes to it meanwhile. Problem."""
    for _ in range(_ATTEMPTS):
        found = await service.read(find)
        if found is None:
            return None
        source, names = found
        try:
            return source, await asyncio.to_thread(_stage, service, source, names)
        except SourceChanged as changed:
            await service.refresh((*names, *changed.path)[:-1])
    raise Problem("unavailable", "the source is being changed by others", headers={"retry-after": "1"})


def _stage(service: Service, source: list[Member], names: tuple[str, ...]) -> Staged:
    top = source[0].item
    if top.kind is Kind.SYMLINK:
        return service.vault.stage_symlink(top.symlink_target or "", modified_ns=top.modified_ns)
    if top.is_folder:
        return stage_tree(service.vault, source, lambda path: service.tree.open_file((*names, *path)))
    return _stage_file(service, top, names)


def _stage_file(service: Service, item: Item, names: tuple[str, ...]) -> Staged:
    nowhere: Path = ()
    try:
        fd = service.tree.open_file(names)
    except OSError as error:
        raise SourceChanged(nowhere) from error
    try:
        if Evidence.of(os.fstat(fd)) != item.evidence:
            raise SourceChanged(nowhere)
        staged = stage_copy(service.vault, fd, mode=item.mode, modified_ns=item.modified_ns, digest=item.digest)
        if Evidence.of(os.fstat(fd)) != item.evidence:
            service.vault.discard(staged.name)
            raise SourceChanged(nowhere)
        return staged
    finally:
        os.close(fd)


@endpoint
async def versions(request: Request, service: Service, principal: Principal) -> Response:
    """The current content and the retained older ones, the newest first."""
    settings = service.settings
    limit = integer(request, "limit", settings.page_default, minimum=1, maximum=settings.page_max)
    text = request.query_params.get("cursor")
    cursor = None if text is None else decode_opaque(text, VersionsCursor)
    if text is not None and cursor is None:
        raise Problem("cursor_invalid", "not a cursor of this server")
    before = None if cursor is None else (cursor.kept_ns, cursor.content_version)
    item_id = path_id(request)

    def find(view: View) -> tuple[Item, list[Kept]]:
        return require_file(view, principal, item_id), view.versions(item_id, before, limit + 1)

    item, kept = await service.read(find)
    told = [_version_json(each) for each in kept[:limit]]
    if cursor is None:
        told.insert(0, _current_json(item))
    following = None
    if len(kept) > limit:
        last = kept[limit - 1]
        following = encode_opaque(VersionsCursor(last.kept_ns, last.content_version))
    return json_response({"item": item_json(item, principal), "versions": told, "cursor": following})


def _current_json(item: Item) -> Json:
    return {
        "content_version": item.content_version,
        "size": item.size,
        "digest": wire_digest(item.digest),
        "modified_at": format_instant(item.modified_ns),
        "replaced_at": None,
    }


def _version_json(kept: Kept) -> Json:
    return {
        "content_version": kept.content_version,
        "size": kept.size,
        "digest": wire_digest(kept.digest),
        "modified_at": format_instant(kept.modified_ns),
        "replaced_at": format_instant(kept.kept_ns),
    }


@endpoint
async def restore_version(request: Request, service: Service, principal: Principal) -> Response:
    """An older content becomes the newest one, under a new content_version; the present one is kept."""
    raw = await limited_body(request, service.settings.json_body_max_bytes)
    keyed = keyed_of(request, principal, sha256_of(raw), required=True)
    base, item_id = base_version(request), path_id(request)
    wanted = decode(raw, VersionBody).content_version
    find = partial(_wanted, principal=principal, item_id=item_id, base=base, wanted=wanted, keyed=keyed)
    kept = await service.read(find)
    if kept is None:
        return send(await service.mutate(_never, keyed))
    async with service.copies:
        staged = await asyncio.to_thread(_stage_kept, service, kept)
    content, now_ns = NewContent(modified_ns=kept.modified_ns), time.time_ns()

    def decide(view: View) -> Intent:
        return plan_overwrite(
            view, principal, item_id=item_id, base=base, content=content, staged=staged, now_ns=now_ns
        )

    try:
        answer = await service.mutate(decide, keyed)
    finally:
        await asyncio.to_thread(service.vault.discard, staged.name)
    return send(answer)


def _wanted(
    view: View, *, principal: Principal, item_id: str, base: str, wanted: str, keyed: Keyed | None
) -> Kept | None:
    """The older content; None when it was brought back already under this key."""
    if keyed is not None and replayed(view, keyed) is not None:
        return None
    item = check_overwrite(view, principal, item_id, base)
    kept = view.kept(wanted)
    if kept is None or kept.item_id != item_id:
        raise Problem("version_gone", "this version is not retained", current=item_json(item, principal))
    return kept


def _stage_kept(service: Service, kept: Kept) -> Staged:
    try:
        fd = service.vault.open_kept(kept.content_version)
    except FileNotFoundError:
        raise Problem("unavailable", "it was being dropped", headers={"retry-after": "1"}) from None
    try:
        return stage_copy(service.vault, fd, mode=0o600, modified_ns=kept.modified_ns, digest=kept.digest)
    finally:
        os.close(fd)


routes = [
    Route("/v1/items/{item_id}:copy", copy, methods=["POST"]),
    Route("/v1/items/{item_id}:restoreVersion", restore_version, methods=["POST"]),
    Route("/v1/items/{item_id}/versions", versions, methods=["GET"]),
]
