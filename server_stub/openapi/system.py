"""What the server tells of itself, in the contract."""

from __future__ import annotations

from typing import Final

from server_stub.openapi.parts import Operation, answered, ref
from server_stub.watching.status import WatchState

_TAG: Final = "server"
_HEALTH: Final = {
    "type": "object",
    "properties": {"status": {"const": "ok"}, "watch": {"enum": [state.value for state in WatchState]}},
    "required": ["status", "watch"],
}

OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/v1/space",
        name="getSpace",
        tag=_TAG,
        summary="The drive's room in bytes",
        answers={200: answered("What statfs says.", ref("Space"))},
    ),
    Operation(
        method="GET",
        path="/healthz",
        name="getHealth",
        tag=_TAG,
        summary="Whether the server answers, index included",
        answers={200: answered("It does.", _HEALTH)},
        is_open=True,
    ),
    Operation(
        method="GET",
        path="/metrics",
        name="getMetrics",
        tag=_TAG,
        summary="Figures for Prometheus; for tokens that see the whole drive",
        answers={200: answered("Text format 0.0.4.", {"type": "string"}, media="text/plain")},
        refusals=["forbidden"],
    ),
    Operation(
        method="GET",
        path="/openapi.json",
        name="getContract",
        tag=_TAG,
        summary="This document",
        answers={200: answered("OpenAPI 3.1.", {"type": "object"})},
        is_open=True,
    ),
    Operation(
        method="GET",
        path="/docs",
        name="getDocs",
        tag=_TAG,
        summary="This document as a page",
        answers={200: answered("One page that loads nothing.", {"type": "string"}, media="text/html")},
        is_open=True,
    ),
)
