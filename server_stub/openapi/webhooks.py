"""Webhooks in the contract."""

from __future__ import annotations

from typing import Final

from server_stub.openapi.parts import (
    BODY,
    KEY_NEEDED,
    KEY_REQUIRED,
    Json,
    Operation,
    answered,
    body,
    path_parameter,
    ref,
)

_TAG: Final = "webhooks"
_ID: Final = path_parameter("webhook_id", "A webhook's id.")
_TEXT: Final[Json] = {"type": "string"}
_MOMENT_OR_NULL: Final[Json] = {"type": ["string", "null"], "format": "date-time"}
_MEMBERS: Final[Json] = {
    "webhook_id": _TEXT,
    "url": _TEXT,
    "state": {"enum": ["active", "disabled"]},
    "reason": {"type": ["string", "null"], "description": "Of the last failure; when disabled: why."},
    "anchor": {"type": "string", "description": "What the receiver has confirmed."},
    "failed_attempts": {"type": "integer", "minimum": 0},
    "created_at": {"type": "string", "format": "date-time"},
    "delivered_at": _MOMENT_OR_NULL,
    "failing_since": _MOMENT_OR_NULL,
    "next_attempt_at": _MOMENT_OR_NULL,
}
_SECRET: Final[Json] = {"type": "string", "pattern": "^whsec_[A-Za-z0-9+/]+=*$"}

SCHEMAS: Final[Json] = {
    "Webhook": {"type": "object", "required": sorted(_MEMBERS), "properties": _MEMBERS},
    "NewWebhook": {
        "type": "object",
        "required": sorted([*_MEMBERS, "secret"]),
        "properties": _MEMBERS | {"secret": _SECRET | {"description": "Told in this answer only."}},
    },
    "Webhooks": {
        "type": "object",
        "required": ["webhooks"],
        "properties": {"webhooks": {"type": "array", "items": ref("Webhook")}},
    },
}

OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/v1/webhooks",
        name="createWebhook",
        tag=_TAG,
        summary="Have a URL called when something was committed",
        details=(
            "The URL is first sent a signed `webhook.challenge` and has to send `data.challenge` back, as text or as "
            "`{challenge}`. Signed as in Standard Webhooks. Addresses that are not public are refused."
        ),
        parameters=[KEY_NEEDED],
        body=body(
            {
                "type": "object",
                "required": ["url"],
                "properties": {"url": _TEXT, "secret": {"type": ["string", "null"]}},
                "additionalProperties": False,
            }
        ),
        answers={
            201: answered(
                "Verified and active.", ref("NewWebhook"), headers={"Location": {"schema": {"type": "string"}}}
            )
        },
        refusals=[*KEY_REQUIRED, *BODY, "webhook_limit", "webhook_target_refused", "webhook_unverified"],
    ),
    Operation(
        method="GET",
        path="/v1/webhooks",
        name="listWebhooks",
        tag=_TAG,
        summary="The token's webhooks and how they fare",
        answers={200: answered("Without their secrets.", ref("Webhooks"))},
    ),
    Operation(
        method="GET",
        path="/v1/webhooks/{webhook_id}",
        name="getWebhook",
        tag=_TAG,
        summary="One webhook",
        parameters=[_ID],
        answers={200: answered("Without its secret.", ref("Webhook"))},
        refusals=["not_found"],
    ),
    Operation(
        method="DELETE",
        path="/v1/webhooks/{webhook_id}",
        name="deleteWebhook",
        tag=_TAG,
        summary="Stop calling",
        parameters=[_ID],
        answers={204: answered("Gone; a call on its way may still arrive.")},
        refusals=["not_found"],
    ),
)
