"""A finished upload into the drive, without sending a byte again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.routing import Route

from server_stub.problems import Problem
from server_stub.routes.http import decode, endpoint, keyed_of, limited_body, path_id, send, sha256_of
from server_stub.routes.items import checked_instant, checked_mode
from server_stub.uploads.values import Target, UploadState, check_target

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from server_stub.service import Service
    from server_stub.uploads.values import Upload
    from server_stub.values import Principal


class CommitBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of :commit; what is absent is as the upload's metadata said."""

    target: Target | None = None
    modified_at: str | None = None
    mode: int | None = None


@endpoint
async def commit(request: Request, service: Service, principal: Principal) -> Response:
    """POST :commit under the target's condition, once per key."""
    raw = await limited_body(request, service.settings.json_body_max_bytes)
    body = decode(raw or b"{}", CommitBody)
    keyed = keyed_of(request, principal, sha256_of(raw), required=True)
    uploads, upload_id = service.uploads, path_id(request, "upload_id")
    upload = await uploads.find(principal, upload_id)
    if upload.state is UploadState.OPEN and not upload.is_final:  # refused, and whoever still sends goes on
        wished, target = _wished(upload, body)
        return send(await uploads.commit(principal, wished, target, keyed))
    async with uploads.turns.take(upload_id):
        upload = await uploads.resume(principal, await uploads.find(principal, upload_id))
        wished, target = _wished(upload, body)
        return send(await uploads.commit(principal, wished, target, keyed))


def _wished(upload: Upload, body: CommitBody) -> tuple[Upload, Target]:
    target = upload.target if body.target is None else check_target(body.target)
    if target is None:
        raise Problem("invalid_request", "this upload has no target of its own; name one", status=422)
    wished = msgspec.structs.replace(
        upload,
        target=target,
        modified_ns=upload.modified_ns if body.modified_at is None else checked_instant(body.modified_at),
        mode=upload.mode if body.mode is None else checked_mode(body.mode),
    )
    return wished, target


# Before the route of an upload itself, whose id would take the verb in.
routes = [Route("/v1/uploads/{upload_id}:commit", commit, methods=["POST"])]
