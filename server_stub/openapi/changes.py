"""The change feed in the contract."""

from __future__ import annotations

from typing import Final

from server_stub.openapi.parts import Operation, answered, count, header, query, ref

_TAG: Final = "changes"
_ANCHOR: Final = query("anchor", {"type": "string"}, "Where the client stands.")

OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/v1/changes",
        name="getChanges",
        tag=_TAG,
        summary="A page of changes after an anchor; `limit=0` tells the newest anchor",
        parameters=[
            _ANCHOR,
            query("limit", count(0, 5000, 500), "How many at most."),
            query("scope", {"type": "string"}, "A folder's id: itself and its children, or with `deep` all below it."),
            query("deep", {"enum": ["true", "false"], "default": "false"}, "Belongs to a scope."),
            query("wait", count(0, 60, 0), "Seconds that an empty answer is held back."),
        ],
        answers={200: answered("Per item its newest state, in feed order.", ref("Page"))},
        refusals=["anchor_expired", "not_found", "deleted", "not_a_folder"],
    ),
    Operation(
        method="GET",
        path="/v1/changes/stream",
        name="streamChanges",
        tag=_TAG,
        summary="Server-sent events: an anchor per batch of commits",
        details='`event: anchor`, `id: <anchor>`, `data: {"anchor": …}`; a comment line every 15 seconds.',
        parameters=[_ANCHOR, header("Last-Event-ID", "The last event's id; stronger than `anchor`.")],
        answers={200: answered("Never ends by itself.", {"type": "string"}, media="text/event-stream")},
        refusals=["anchor_expired"],
    ),
)
