"""Resumable uploads: tus 1.0.0 with creation, creation-with-upload, creation-defer-length, checksum,
expiration, termination and concatenation; and the state of an upload as JSON.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from server_stub.instants import format_instant, http_date
from server_stub.plans.common import visible
from server_stub.problems import Problem
from server_stub.routes.http import endpoint, json_response, keyed_of, path_id, send
from server_stub.uploads import headers as tus
from server_stub.uploads.plan import location_of
from server_stub.uploads.turns import Interrupted, Turn
from server_stub.uploads.values import Upload, UploadState, new_upload_id
from server_stub.wire import item_json

if TYPE_CHECKING:
    from starlette.requests import Request

    from server_stub.routes.http import Endpoint
    from server_stub.service import Service
    from server_stub.store import View
    from server_stub.values import Item, Principal

Handler = Callable[["Request", "Service", "Principal"], Awaitable[Response]]
_PREFIX: Final = location_of("")
_NO_BODY: Final = (None, "0")


def _effective_method(request: Request) -> str:
    """X-HTTP-Method-Override stands for the method where a client cannot send it."""
    return request.headers.get("x-http-method-override", request.method).upper()


def _resource(handlers: dict[str, Handler]) -> Endpoint:
    """One address, by effective method; every answer is one of tus and belongs in no cache."""

    async def serve(request: Request, service: Service, principal: Principal) -> Response:
        method = _effective_method(request)
        handler = handlers.get(method)
        if handler is None:
            raise Problem("method_not_allowed", headers={"allow": ", ".join(handlers)})
        if method not in {"OPTIONS", "GET"} and request.headers.get("tus-resumable") != tus.VERSION:
            raise Problem("upload_version_unsupported", "Tus-Resumable: 1.0.0", headers={"tus-version": tus.VERSION})
        try:
            return await handler(request, service, principal)
        except Interrupted:
            detail = "another request took over, or nothing came for too long; what arrived is kept"
            raise Problem("upload_interrupted", detail, headers={"connection": "close"}) from None

    return _marked(endpoint(serve))


def _marked(inner: Endpoint) -> Endpoint:
    @wraps(inner)
    async def serve(request: Request) -> Response:
        response = await inner(request)
        response.headers["tus-resumable"] = tus.VERSION
        response.headers["cache-control"] = "no-store"
        return response

    return serve


async def _options(_request: Request, service: Service, _principal: Principal) -> Response:
    told = {
        "tus-version": tus.VERSION,
        "tus-extension": tus.EXTENSIONS,
        "tus-max-size": str(service.settings.upload_max_bytes),
        "tus-checksum-algorithm": ",".join(tus.ALGORITHMS),
    }
    return Response(status_code=204, headers=told)


def _told(upload: Upload) -> dict[str, str]:
    """What every answer about an upload tells."""
    told = {"upload-offset": str(upload.offset), "anchor-upload-state": upload.state.value}
    if upload.state is not UploadState.COMMITTED:
        told["upload-expires"] = http_date(upload.expires_ns)
    if upload.item_id is not None:
        told["anchor-item-id"] = upload.item_id
    return told


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length") not in _NO_BODY or "transfer-encoding" in request.headers


def _check_media_type(request: Request) -> None:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != tus.MEDIA_TYPE:
        raise Problem("upload_media_type", f"the bytes of an upload are {tus.MEDIA_TYPE}")


def _check_size(request: Request, offset: int, length: int | None, max_bytes: int) -> int:
    """What the body says that it brings; 0 when it does not say. Problem too_large."""
    limit_bytes = max_bytes if length is None else length
    declared = request.headers.get("content-length", "0")
    more_bytes = int(declared) if declared.isdigit() else 0
    if offset + more_bytes > limit_bytes:
        raise Problem("too_large", f"at most {limit_bytes} bytes", headers={"connection": "close"})
    return more_bytes


def _absolute(request: Request, path: str) -> str:
    """The address as this client reaches it; some clients cannot resolve a relative Location."""
    host = request.headers.get("host")
    return path if host is None else f"{request.url.scheme}://{host}{path}"


async def _create(request: Request, service: Service, principal: Principal) -> Response:
    """POST: creation, with or without bytes, or the concatenation of partial uploads."""
    parts = _part_ids(request)
    upload = _new_upload(request, service, principal, is_final=bool(parts))
    keyed = keyed_of(request, principal, "", required=False)
    answer = await service.uploads.open(principal, upload, parts, keyed)
    location = answer.headers.get("location")
    if location is None:
        return send(answer)
    told = {"location": _absolute(request, location)}
    try:
        upload = await _begin(request, service, principal, location.removeprefix(_PREFIX))
    except Problem as problem:
        problem.headers.update(told)
        raise
    return Response(status_code=201, headers=told | _told(upload))


def _part_ids(request: Request) -> tuple[str, ...]:
    paths = tus.parse_concat(request.headers.get("upload-concat")) or ()
    if not all(path.startswith(_PREFIX) for path in paths):
        raise Problem("invalid_request", "Upload-Concat names an address that is no upload of this server")
    if paths and (_has_body(request) or "upload-length" in request.headers):
        raise Problem("invalid_request", "a final upload has neither a length nor a body of its own")
    return tuple(path.removeprefix(_PREFIX) for path in paths)


def _new_upload(request: Request, service: Service, principal: Principal, *, is_final: bool) -> Upload:
    length = tus.parse_length(request.headers, required=not is_final)
    limit_bytes = service.settings.upload_max_bytes
    if length is not None and length > limit_bytes:
        raise Problem("too_large", f"at most {limit_bytes} bytes")
    if _has_body(request):
        _check_media_type(request)
        _check_size(request, 0, length, limit_bytes)
    tus.parse_checksum(request.headers.get("upload-checksum"))
    metadata, concat = request.headers.get("upload-metadata"), request.headers.get("upload-concat")
    wish = tus.read_wish(None if concat == "partial" else metadata, principal.root_id)
    if wish.delta is not None and wish.delta.size > limit_bytes:
        raise Problem("too_large", f"at most {limit_bytes} bytes")
    return Upload(
        upload_id=new_upload_id(),
        token_id=principal.token_id,
        length=length,
        metadata=metadata,
        concat=concat,
        target=wish.target,
        modified_ns=wish.modified_ns,
        mode=wish.mode,
        digest=wish.digest,
        delta=wish.delta,
        expires_ns=service.uploads.until_ns(),
    )


async def _begin(request: Request, service: Service, principal: Principal, upload_id: str) -> Upload:
    """The bytes that came with the creation, if they are wanted: a replay finds its upload further on."""
    async with service.uploads.turns.take(upload_id) as turn:
        upload = await service.uploads.find(principal, upload_id)
        if upload.state is not UploadState.OPEN:
            return upload
        if _has_body(request) and upload.offset == 0:
            return await _receive(request, service, principal, upload, turn)
        if upload.is_final or upload.length == upload.offset:
            return await service.uploads.settle(principal, upload)
        return upload


async def _patch(request: Request, service: Service, principal: Principal) -> Response:
    """PATCH: bytes behind the offset; the last one commits."""
    _check_media_type(request)
    offset = tus.parse_size(request.headers.get("upload-offset"), "Upload-Offset")
    if offset is None:
        raise Problem("invalid_request", "Upload-Offset must say where the bytes belong")
    uploads, upload_id = service.uploads, path_id(request, "upload_id")
    await uploads.find(principal, upload_id)  # a stranger ends nobody's request
    async with uploads.turns.take(upload_id) as turn:
        upload = await uploads.find(principal, upload_id)
        if upload.is_final:
            raise Problem("forbidden", "a final upload takes no bytes")
        if upload.offset != offset:
            raise Problem(
                "upload_offset_mismatch",
                "the upload stands elsewhere",
                headers={"upload-offset": str(upload.offset)},
                expected_offset=upload.offset,
            )
        before, upload = upload, _with_length(request, upload, service.settings.upload_max_bytes)
        more_bytes = _check_size(request, offset, upload.length, service.settings.upload_max_bytes)
        await uploads.check_growth(before, upload, more_bytes)
        if upload.state is not UploadState.COMMITTED:
            upload = await _receive(request, service, principal, upload, turn)
        return Response(status_code=204, headers=_told(upload))


def _with_length(request: Request, upload: Upload, limit_bytes: int) -> Upload:
    """The length that a PATCH tells for an upload whose length was put off; it never changes again."""
    length = tus.parse_length(request.headers, required=False)
    if length is None or length == upload.length:
        return upload
    if length > limit_bytes:
        raise Problem("too_large", f"at most {limit_bytes} bytes")
    if upload.length is not None or length < upload.offset:
        raise Problem("invalid_request", "the upload has another length")
    return msgspec.structs.replace(upload, length=length)


async def _receive(request: Request, service: Service, principal: Principal, upload: Upload, turn: Turn) -> Upload:
    checksum = tus.parse_checksum(request.headers.get("upload-checksum"))
    if upload.state is UploadState.OPEN:
        upload = await service.uploads.receive(turn, upload, request.stream(), checksum)
    if upload.offset != upload.length:
        return upload
    try:
        return await service.uploads.settle(principal, upload)
    except Problem as problem:
        if problem.status < 500:
            problem.headers["upload-offset"] = str(upload.offset)
        raise


async def _head(request: Request, service: Service, principal: Principal) -> Response:
    """HEAD: where the upload stands, once whoever still sends has been ended."""
    uploads, upload_id = service.uploads, path_id(request, "upload_id")
    await uploads.find(principal, upload_id)
    async with uploads.turns.take(upload_id):
        upload = await uploads.resume(principal, await uploads.find(principal, upload_id))
    told = _told(upload)
    told |= {"upload-defer-length": "1"} if upload.length is None else {"upload-length": str(upload.length)}
    if upload.metadata is not None:
        told["upload-metadata"] = upload.metadata
    if upload.concat is not None:
        told["upload-concat"] = upload.concat
    return Response(status_code=200, headers=told)


async def _delete(request: Request, service: Service, principal: Principal) -> Response:
    """DELETE: the bytes go; what was committed stays."""
    upload_id = path_id(request, "upload_id")
    await service.uploads.find(principal, upload_id)
    async with service.uploads.turns.take(upload_id):
        await service.uploads.terminate(principal, upload_id)
    return Response(status_code=204)


async def _get(request: Request, service: Service, principal: Principal) -> Response:
    """GET: the state as JSON; nobody's request is ended by asking."""
    upload = await service.uploads.find(principal, path_id(request, "upload_id"))
    item = await service.read(lambda view: _item_of(view, principal, upload))
    return json_response(_document(upload, principal, item))


def _item_of(view: View, principal: Principal, upload: Upload) -> Item | None:
    item = None if upload.item_id is None else view.item(upload.item_id)
    return item if item is not None and visible(view, principal, item) else None


def _document(upload: Upload, principal: Principal, item: Item | None) -> dict[str, object]:
    return {
        "upload_id": upload.upload_id,
        "state": upload.state.value,
        "offset": upload.offset,
        "length": upload.length,
        "expires_at": None if upload.state is UploadState.COMMITTED else format_instant(upload.expires_ns),
        "target": upload.target,
        "refusal": upload.refusal,
        "item_id": upload.item_id,
        "item": None if item is None else item_json(item, principal),
    }


_collection = _resource({"POST": _create, "OPTIONS": _options})
_upload = _resource({"HEAD": _head, "PATCH": _patch, "DELETE": _delete, "GET": _get, "OPTIONS": _options})

routes = [
    Route("/v1/uploads", _collection, methods=["POST", "OPTIONS"]),
    Route(
        "/v1/uploads/{upload_id}",
        _upload,
        methods=["GET", "HEAD", "PATCH", "DELETE", "OPTIONS", "POST"],  # POST: with X-HTTP-Method-Override
    ),
]
