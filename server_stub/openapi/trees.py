"""Trees, the trash, versions and search in the contract."""

from __future__ import annotations

from typing import Final

from server_stub.openapi.parts import (
    BODY,
    CURSOR,
    FOUND,
    IF_MATCH,
    ITEM_ID,
    KEY_NEEDED,
    KEY_REQUIRED,
    STORED,
    Operation,
    answered,
    body,
    count,
    item_answered,
    query,
    ref,
)

_TAG: Final = "trees and trash"
_LIMIT: Final = query("limit", count(1, 5000, 500), "How many at most.")
_TO_A_PLACE: Final = [
    *BODY,
    *KEY_REQUIRED,
    *STORED,
    *FOUND,
    "name_taken",
    "not_a_folder",
    "name_invalid",
    "name_too_long",
]
_BASE: Final = ("precondition_required", "precondition_failed")

OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/v1/items/{item_id}/descendants",
        name="listDescendants",
        tag=_TAG,
        summary="Everything below a folder, breadth first, as one stream",
        details="A line `{item}` each; the last line is `{anchor, cursor, unchanged}`. Without it the stream was cut. "
        "`unchanged`: nothing changed since the anchor, so all that was told stood like that at one moment.",
        parameters=[
            ITEM_ID,
            query("depth", {"type": "integer", "minimum": 1}, "How deep; without it: to the ground."),
            query("limit", {"type": "integer", "minimum": 1}, "How many at most; then the cursor goes on."),
            CURSOR,
        ],
        answers={200: answered("Whole items, then the anchor.", {"type": "string"}, media="application/x-ndjson")},
        refusals=[*FOUND, "not_a_folder", "cursor_invalid"],
    ),
    Operation(
        method="GET",
        path="/v1/search",
        name="search",
        tag=_TAG,
        summary="Items whose name holds a text, letter case aside",
        parameters=[query("q", {"type": "string"}, "1 to 255 bytes.", required=True), _LIMIT, CURSOR],
        answers={200: answered("Whole items; a page may be short before the end.", ref("Found"))},
        refusals=["cursor_invalid"],
    ),
    Operation(
        method="POST",
        path="/v1/items/{item_id}:copy",
        name="copyItem",
        tag=_TAG,
        summary="Copy a file, a symlink or a whole folder on the server; it appears whole",
        parameters=[ITEM_ID, IF_MATCH, KEY_NEEDED],
        body=body(ref("Target"), required=False),
        answers={201: item_answered("The copy.", created=True)},
        refusals=[*_TO_A_PLACE, "precondition_failed", "precondition_required", "would_cycle"],
    ),
    Operation(
        method="GET",
        path="/v1/trash",
        name="listTrash",
        tag=_TAG,
        summary="What was deleted, the newest first; what was deleted together is one entry",
        parameters=[_LIMIT, CURSOR],
        answers={200: answered("Items as they were.", ref("Trash"))},
        refusals=["cursor_invalid"],
    ),
    Operation(
        method="DELETE",
        path="/v1/trash/{item_id}",
        name="purgeItem",
        tag=_TAG,
        summary="Drop a deleted item for good, with every content",
        parameters=[ITEM_ID, IF_MATCH, KEY_NEEDED],
        answers={204: answered("It is gone.")},
        refusals=[*KEY_REQUIRED, *FOUND, *STORED, *_BASE, "not_deleted", "too_large"],
    ),
    Operation(
        method="POST",
        path="/v1/items/{item_id}:restore",
        name="restoreItem",
        tag=_TAG,
        summary="Bring a deleted item back under its id, with all that was deleted with it",
        parameters=[ITEM_ID, KEY_NEEDED],
        body=body(ref("Target"), required=False),
        answers={200: item_answered("The item.")},
        refusals=[*(code for code in _TO_A_PLACE if code != "deleted"), "not_deleted", "parent_gone"],
    ),
    Operation(
        method="GET",
        path="/v1/items/{item_id}/versions",
        name="listVersions",
        tag=_TAG,
        summary="The current content and the retained older ones, the newest first",
        parameters=[ITEM_ID, _LIMIT, CURSOR],
        answers={200: answered("Each can be read by `version=`.", ref("Versions"))},
        refusals=[*FOUND, "is_a_folder", "cursor_invalid"],
    ),
    Operation(
        method="POST",
        path="/v1/items/{item_id}:restoreVersion",
        name="restoreVersion",
        tag=_TAG,
        summary="Make an older content the newest one, under a new content_version",
        parameters=[ITEM_ID, IF_MATCH, KEY_NEEDED],
        body=body(ref("VersionBody")),
        answers={200: item_answered("The item as it is now.")},
        refusals=[*BODY, *KEY_REQUIRED, *STORED, *FOUND, *_BASE, "is_a_folder", "version_gone"],
    ),
)
