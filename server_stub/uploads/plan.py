"""Decisions about uploads: who may begin one, what a concatenation takes, how one becomes an item."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from server_stub.contents import find_content
from server_stub.instants import NANOS
from server_stub.intents import AnyStep, Intent, Put
from server_stub.keys import Answer
from server_stub.plans.common import require_writer, visible
from server_stub.plans.content import (
    NewContent,
    check_new_file,
    check_overwrite,
    plan_new_file,
    plan_overwrite,
)
from server_stub.problems import Problem
from server_stub.uploads.values import HELD, Target, Upload, UploadState
from server_stub.vault import Room
from server_stub.wire import item_json

if TYPE_CHECKING:
    from server_stub.settings import Settings
    from server_stub.store import View
    from server_stub.values import Principal
    from server_stub.vault import Staged


def location_of(upload_id: str) -> str:
    """The path of an upload."""
    return f"/v1/uploads/{upload_id}"


def require_upload(view: View, principal: Principal, upload_id: str) -> Upload:
    """The token's own upload; Problem not_found, upload_gone once it expired or was terminated."""
    upload = view.upload(upload_id)
    if upload is None or upload.token_id != principal.token_id:
        raise Problem("not_found", "no such upload")
    expired = upload.state in HELD and upload.expires_ns <= time.time_ns()
    if expired or upload.state is UploadState.GONE:
        raise Problem("upload_gone", "the upload expired or was ended")
    return upload


def require_parts(view: View, principal: Principal, part_ids: tuple[str, ...]) -> list[Upload]:
    """Finished partial uploads of this token. Problem invalid_request, upload_incomplete."""
    parts = [require_upload(view, principal, part_id) for part_id in part_ids]
    for part in parts:
        if not part.is_partial:
            raise Problem("invalid_request", "only partial uploads are concatenated")
        if part.state is not UploadState.FINISHED:
            raise Problem("upload_incomplete", "a part is not finished", offset=part.offset, length=part.length)
    return parts


def plan_open(
    view: View, principal: Principal, upload: Upload, *, parts: tuple[str, ...], settings: Settings, now_ns: int
) -> Intent:
    """A new upload, within the token's limits and with a target that is true by now; its parts end with it."""
    require_writer(principal)
    ended = [_gone(part, settings, now_ns) for part in require_parts(view, principal, tuple(dict.fromkeys(parts)))]
    if not parts:
        _check_quota(view, upload, settings)
    if upload.target is not None:
        _check_target(view, principal, upload.target)
    if upload.delta is not None:
        find_content(view, principal, upload.delta.item_id, upload.delta.content_version)
    answer = Answer(status=201, headers={"location": location_of(upload.upload_id)})
    return Intent(uploads=(upload, *ended), answer=answer, now_ns=now_ns)


def _check_quota(view: View, upload: Upload, settings: Settings) -> None:
    count, held_bytes = view.upload_room(upload.token_id)
    if count >= settings.uploads_max:
        raise Problem("quota_exceeded", f"a token has at most {settings.uploads_max} uploads at a time")
    check_room(settings, held_bytes + upload.held_bytes)


def check_room(settings: Settings, held_bytes: int) -> None:
    """Problem quota_exceeded when a token would hold so much."""
    if held_bytes > settings.uploads_max_bytes:
        raise Problem("quota_exceeded", f"a token's uploads hold at most {settings.uploads_max_bytes} bytes")


def _check_target(view: View, principal: Principal, target: Target) -> None:
    if target.item_id is not None:
        check_overwrite(view, principal, target.item_id, target.content_version or "")
    else:
        check_new_file(view, principal, target.parent_id or "", target.name or "")


def _gone(upload: Upload, settings: Settings, now_ns: int) -> Upload:
    expires_ns = now_ns + settings.upload_ttl_s * NANOS
    return msgspec.structs.replace(upload, state=UploadState.GONE, expires_ns=expires_ns)


def plan_commit(
    view: View,
    principal: Principal,
    upload: Upload,
    *,
    target: Target,
    content: NewContent,
    staged: Staged | None,
    now_ns: int,
) -> Intent:
    """The upload's bytes, once they are sealed, as an item's content under the target's condition; exactly
    once.
    """
    current = require_upload(view, principal, upload.upload_id)
    if current.state is UploadState.COMMITTED:
        raise _committed(view, principal, current)
    if current.is_partial:
        raise Problem("forbidden", "a partial upload becomes an item by concatenation only")
    if staged is None:
        raise Problem("upload_incomplete", "bytes are missing", offset=current.offset, length=current.length)
    if upload.digest is not None and upload.digest != staged.digest:
        raise Problem("digest_mismatch", "the bytes that arrived are not the bytes announced")
    intent = _plan_content(view, principal, target, content=content, staged=staged, now_ns=now_ns)
    done = msgspec.structs.replace(
        upload,
        state=UploadState.COMMITTED,
        length=upload.offset,
        item_id=intent.puts[0].item_id,
        refusal=None,
    )
    steps = intent.steps if upload.delta is not None else tuple(_from_uploads(step) for step in intent.steps)
    return msgspec.structs.replace(intent, steps=steps, uploads=(done,))


def _committed(view: View, principal: Principal, upload: Upload) -> Problem:
    item = None if upload.item_id is None else view.item(upload.item_id)
    current = item_json(item, principal) if item is not None and visible(view, principal, item) else None
    return Problem("upload_committed", "the upload is an item already", item_id=upload.item_id, current=current)


def _plan_content(
    view: View, principal: Principal, target: Target, *, content: NewContent, staged: Staged, now_ns: int
) -> Intent:
    """As any other content that was staged."""
    if target.item_id is not None:
        base = target.content_version or ""
        return plan_overwrite(
            view, principal, item_id=target.item_id, base=base, content=content, staged=staged, now_ns=now_ns
        )
    parent_id, name = target.parent_id or "", target.name or ""
    return plan_new_file(view, principal, parent_id=parent_id, name=name, content=content, staged=staged, now_ns=now_ns)


def _from_uploads(step: AnyStep) -> AnyStep:
    return msgspec.structs.replace(step, room=Room.UPLOADS) if isinstance(step, Put) else step
