"""What every route shares: who asks, what was asked, and how an answer or a refusal goes out."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from server_stub.conditions import tags_of
from server_stub.drive import problem_of
from server_stub.keys import Answer, Keyed, fingerprint, parse_key
from server_stub.problems import MEDIA_TYPE, Problem

if TYPE_CHECKING:
    from server_stub.service import Service
    from server_stub.values import Principal

log = logging.getLogger(__name__)

T = TypeVar("T")
Endpoint = Callable[[Request], Awaitable[Response]]
# Headers that change what a request asks for; two requests under one key must agree on them.
_ASKING_HEADERS = (
    "if-match",
    "if-none-match",
    "anchor-modified-at",
    "anchor-mode",
    "content-digest",
    "repr-digest",
    "upload-length",
    "upload-defer-length",
    "upload-metadata",
    "upload-concat",
)


def service_of(request: Request) -> Service:
    """The running service."""
    service: Service = request.app.state.service
    return service


def problem_response(problem: Problem) -> Response:
    """A problem as it is sent."""
    return Response(problem.body(), problem.status, {"content-type": MEDIA_TYPE, **problem.headers})


def endpoint(handler: Callable[[Request, Service, Principal], Awaitable[Response]]) -> Endpoint:
    """Authenticate, then handle; every refusal becomes a problem document, every surprise a logged 500."""

    @wraps(handler)
    async def serve(request: Request) -> Response:
        try:
            service = service_of(request)
            principal = await service.principal(_secret(request))
            request.scope["anchorfs.token_id"] = principal.token_id  # for the log
            return await handler(request, service, principal)
        except Problem as problem:
            return problem_response(problem)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except OSError as error:
            log.warning("%s %s: %s", request.method, request.url.path, error)
            return problem_response(problem_of(error))

    return serve


async def is_welcome(request: Request, service: Service) -> bool:
    """Whether the token of this request is still valid."""
    try:
        await service.principal(_secret(request))
    except Problem:
        return False
    return True


def _secret(request: Request) -> str | None:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" and secret.strip() else None


def send(answer: Answer) -> Response:
    """An answer as it is sent."""
    return Response(answer.body or None, answer.status, answer.headers)


def json_response(document: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(document), status, headers, media_type="application/json")


async def limited_body(request: Request, limit_bytes: int) -> bytes:
    """The whole body; Problem too_large before it is held in memory."""
    parts: list[bytes] = []
    size_bytes = 0
    async for chunk in request.stream():
        size_bytes += len(chunk)
        if size_bytes > limit_bytes:
            raise Problem("too_large", f"at most {limit_bytes} bytes", headers={"connection": "close"})
        parts.append(chunk)
    return b"".join(parts)


def decode(body: bytes, shape: type[T]) -> T:
    """A JSON body of that shape; Problem invalid_request: 400 when it is no JSON, 422 when it is another
    shape.
    """
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        raise Problem("invalid_request", str(error), status=422) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem("invalid_request", f"not JSON: {error}") from None


def keyed_of(request: Request, principal: Principal, body_sha256: str, *, required: bool) -> Keyed | None:
    """The idempotency key with what this request asks. Problem idempotency_key_missing."""
    key = parse_key(request.headers.get("idempotency-key"))
    if key is None:
        if required:
            raise Problem("idempotency_key_missing", "this request needs an Idempotency-Key")
        return None
    target = request.scope.get("raw_path", b"").decode("ascii", "replace") + "?" + request.url.query
    parts = [request.headers.get(name) for name in _ASKING_HEADERS]
    return Keyed(
        token_id=principal.token_id,
        key=key,
        fingerprint=fingerprint(request.method, target, parts, body_sha256),
    )


def sha256_of(body: bytes) -> str:
    """Hex digest of a small body."""
    return hashlib.sha256(body).hexdigest()


def base_version(request: Request) -> str:
    """The version in If-Match; Problem precondition_required without one. `*` names no version, so it is
    none.
    """
    field = request.headers.get("if-match")
    tags = None if field is None else tags_of(field)
    if tags is None:
        raise Problem("precondition_required", "If-Match must name the version that the change is based on")
    strong = [tag for weak, tag in tags if not weak]
    return strong[0] if len(strong) == 1 else ""  # several or weak tags match no single base: 412


def integer(request: Request, name: str, default: int, *, minimum: int, maximum: int) -> int:
    """An integer of the query, cut to the maximum; Problem invalid_request."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 18 or int(text) < minimum:
        raise Problem("invalid_request", f"{name} is an integer from {minimum} to {maximum}")
    return min(int(text), maximum)


def flag(request: Request, name: str) -> bool:
    """`true` or `false` of the query, false without it; Problem invalid_request."""
    text = request.query_params.get(name, "false")
    if text not in {"true", "false"}:
        raise Problem("invalid_request", f"{name} is true or false")
    return text == "true"


def raw_name(request: Request) -> str:
    """The percent-encoded name of `/v1/items/{id}/children/{name}/content`, decoded strictly: the framework's decoding
    is lossy. Problem not_found when the path means that only after decoding.
    """
    raw: bytes = request.scope.get("raw_path", b"").partition(b"?")[0]
    parts = raw.decode("ascii", "replace").split("/", 5)
    if len(parts) < 6 or parts[4] != "children" or not parts[5].endswith("/content"):
        raise Problem("not_found", "no such path")
    try:
        return unquote_to_bytes(parts[5].removesuffix("/content")).decode()
    except UnicodeDecodeError:
        raise Problem("name_invalid", "not valid UTF-8") from None


def path_id(request: Request, name: str = "item_id") -> str:
    """An id of the path."""
    value: Any = request.path_params[name]
    return str(value)
