"""Webhooks of a token: made after the receiver proved that it wants them, listed without their secret, deleted."""

from __future__ import annotations

import hmac
import secrets
import time
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from server_stub.drive import replayed
from server_stub.instants import format_instant
from server_stub.keys import Answer, Keyed
from server_stub.problems import Problem
from server_stub.routes.http import (
    decode,
    endpoint,
    json_response,
    keyed_of,
    limited_body,
    path_id,
    send,
    sha256_of,
)
from server_stub.values import new_id
from server_stub.webhooks.courier import judge, send_signed
from server_stub.webhooks.posting import TargetRefused, Unanswered
from server_stub.webhooks.signing import new_secret, secret_bytes
from server_stub.webhooks.targets import parse_target
from server_stub.webhooks.values import Webhook, webhook_json
from server_stub.wire import problem_answer

if TYPE_CHECKING:
    from starlette.requests import Request

    from server_stub.service import Service
    from server_stub.store import Ledger, View
    from server_stub.values import Principal


class CreateBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """POST /v1/webhooks."""

    url: str
    secret: str | None = None


@endpoint
async def create(request: Request, service: Service, principal: Principal) -> Response:
    """A webhook, once per key; the only answer that tells its secret."""
    raw = await limited_body(request, service.settings.json_body_max_bytes)
    keyed = keyed_of(request, principal, sha256_of(raw), required=True)
    if keyed is None:
        raise Problem("idempotency_key_missing")
    with service.running(keyed):
        stored = await service.read(lambda view: replayed(view, keyed))
        if stored is not None:
            return send(stored)
        try:
            webhook = await _verified(service, principal, decode(raw, CreateBody))
        except Problem as problem:
            refusal = problem_answer(problem)
            await service.store.write(lambda ledger: _remember(ledger, keyed, refusal))
            return send(refusal)
        told = webhook_json(webhook, service.anchor(webhook.told_seq)) | {"secret": webhook.secret}
        headers = {"content-type": "application/json", "location": f"/v1/webhooks/{webhook.webhook_id}"}
        answer = Answer(status=201, headers=headers, body=msgspec.json.encode(told))
        await service.store.write(lambda ledger: _add(ledger, webhook, keyed, answer, service.settings.webhooks_max))
    service.courier.wake()
    return send(answer)


def _remember(ledger: Ledger, keyed: Keyed, answer: Answer) -> None:
    with ledger.transaction() as tx:
        tx.remember(keyed, answer, now_ns=time.time_ns())


def _add(ledger: Ledger, webhook: Webhook, keyed: Keyed, answer: Answer, most: int) -> None:
    with ledger.transaction() as tx:
        _require_room(tx, webhook.token_id, most)  # two requests may have been verified at the same time
        tx.put_webhook(webhook)
        tx.remember(keyed, answer, now_ns=webhook.created_ns)


def _require_room(view: View, token_id: str, most: int) -> None:
    if len(view.webhooks(token_id)) >= most:
        raise Problem("webhook_limit", f"a token has at most {most} webhooks")


async def _verified(service: Service, principal: Principal, body: CreateBody) -> Webhook:
    """A webhook whose receiver answered the challenge. Problem."""
    await service.read(lambda view: _require_room(view, principal.token_id, service.settings.webhooks_max))
    try:
        parse_target(body.url)
        secret = body.secret or new_secret()
        secret_bytes(secret)
    except ValueError as error:
        raise Problem("invalid_request", str(error), status=422) from None
    newest = await service.read(lambda view: view.newest_seq())
    webhook = Webhook(
        webhook_id=new_id(),
        token_id=principal.token_id,
        url=body.url,
        secret=secret,
        created_ns=time.time_ns(),
        told_seq=newest,
    )
    await _challenge(service, webhook)
    return webhook


async def _challenge(service: Service, webhook: Webhook) -> None:
    """The receiver proves that it is meant by sending a random text back; otherwise anybody could be called."""
    challenge = secrets.token_urlsafe(24)
    told = {
        "type": "webhook.challenge",
        "timestamp": format_instant(webhook.created_ns),
        "data": {"webhook_id": webhook.webhook_id, "challenge": challenge},
    }
    message_id, body = f"msg_{secrets.token_hex(12)}", msgspec.json.encode(told)
    try:
        reply = await send_signed(service, webhook.url, webhook.secret, message_id, body)
    except TargetRefused as error:
        raise Problem("webhook_target_refused", str(error)) from None
    except Unanswered as error:
        raise Problem("webhook_unverified", str(error)) from None
    failure = judge(reply)
    if failure is not None:
        raise Problem("webhook_unverified", failure.reason)
    if not hmac.compare_digest(_echo(reply.body), challenge.encode()):
        raise Problem("webhook_unverified", "the receiver did not send the challenge back")


def _echo(body: bytes) -> bytes:
    """The challenge as plain text, or as the member `challenge` of a JSON object."""
    text = body.strip()
    if not text.startswith(b"{"):
        return text
    try:
        found = msgspec.json.decode(text, type=dict[str, object]).get("challenge")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return b""
    return found.encode("utf-8", "replace") if isinstance(found, str) else b""


@endpoint
async def list_all(_request: Request, service: Service, principal: Principal) -> Response:
    """The token's webhooks."""
    hooks = await service.read(lambda view: view.webhooks(principal.token_id))
    return json_response({"webhooks": [webhook_json(hook, service.anchor(hook.told_seq)) for hook in hooks]})


@endpoint
async def get_one(request: Request, service: Service, principal: Principal) -> Response:
    """One webhook, and how it fares."""
    webhook_id = path_id(request, "webhook_id")
    hook = await service.read(lambda view: _own(view, principal, webhook_id))
    return json_response(webhook_json(hook, service.anchor(hook.told_seq)))


@endpoint
async def delete(request: Request, service: Service, principal: Principal) -> Response:
    """No more calls; one that is on its way may still arrive."""
    webhook_id = path_id(request, "webhook_id")

    def drop(ledger: Ledger) -> None:
        _own(ledger, principal, webhook_id)
        with ledger.transaction() as tx:
            tx.drop_webhook(webhook_id)

    await service.store.write(drop)
    service.courier.wake()
    return Response(status_code=204)


def _own(view: View, principal: Principal, webhook_id: str) -> Webhook:
    hook = view.webhook(webhook_id)
    if hook is None or hook.token_id != principal.token_id:
        raise Problem("not_found", "no such webhook")
    return hook


routes = [
    Route("/v1/webhooks", create, methods=["POST"]),
    Route("/v1/webhooks", list_all, methods=["GET"]),
    Route("/v1/webhooks/{webhook_id}", get_one, methods=["GET"]),
    Route("/v1/webhooks/{webhook_id}", delete, methods=["DELETE"]),
]
