"""Items in the contract."""

from __future__ import annotations

from typing import Final

from server_stub.openapi.parts import (
    BODY,
    FOUND,
    IF_MATCH,
    IF_NONE_MATCH,
    ITEM_ID,
    KEY_NEEDED,
    KEY_REQUIRED,
    STORED,
    TAG_HEADER,
    Operation,
    answered,
    body,
    count,
    item_answered,
    query,
    ref,
)

_TAG: Final = "items"
_UNCHANGED: Final = answered("The version in If-None-Match is still the current one.", headers={"ETag": TAG_HEADER})
_CURSOR: Final = query("cursor", {"type": "string"}, "What the page before answered.")
_PLACED: Final = ("not_found", "deleted", "name_taken", "not_a_folder", "name_invalid", "name_too_long")

OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/v1/root",
        name="getRoot",
        tag=_TAG,
        summary="The folder that this token sees as its root",
        parameters=[IF_NONE_MATCH],
        answers={200: item_answered("The item."), 304: _UNCHANGED},
        refusals=FOUND,
    ),
    Operation(
        method="GET",
        path="/v1/items/{item_id}",
        name="getItem",
        tag=_TAG,
        summary="One item, whole",
        parameters=[ITEM_ID, IF_NONE_MATCH],
        answers={200: item_answered("The item."), 304: _UNCHANGED},
        refusals=FOUND,
    ),
    Operation(
        method="POST",
        path="/v1/items:batchGet",
        name="batchGet",
        tag=_TAG,
        summary="Many items at once, each with its own status, in the asked order",
        body=body(ref("Batch")),
        answers={200: answered("One result per asked id.", ref("BatchResults"))},
        refusals=BODY,
    ),
    Operation(
        method="GET",
        path="/v1/items/{item_id}/children",
        name="listChildren",
        tag=_TAG,
        summary="A page of a folder, by name, with the anchor taken before its first page",
        parameters=[ITEM_ID, query("limit", count(1, 5000, 500), "How many at most."), _CURSOR],
        answers={200: answered("Whole items; `cursor` is null at the end.", ref("Children"))},
        refusals=[*FOUND, "not_a_folder", "cursor_invalid"],
    ),
    Operation(
        method="GET",
        path="/v1/items/{item_id}/path",
        name="getPath",
        tag=_TAG,
        summary="Where an item lies below this token's root",
        parameters=[ITEM_ID],
        answers={200: answered("Path and URI.", ref("Path"))},
        refusals=FOUND,
    ),
    Operation(
        method="POST",
        path="/v1/items",
        name="createItem",
        tag=_TAG,
        summary="Make a folder, a symlink or an empty file",
        parameters=[KEY_NEEDED],
        body=body(ref("NewItem")),
        answers={201: item_answered("The new item.", created=True)},
        refusals=[*BODY, *KEY_REQUIRED, *_PLACED, *STORED],
    ),
    Operation(
        method="PATCH",
        path="/v1/items/{item_id}",
        name="patchItem",
        tag=_TAG,
        summary="Move, rename, mode and time in one transaction; with `replace`, over an existing item",
        parameters=[ITEM_ID, IF_MATCH, KEY_NEEDED],
        body=body(ref("Patch")),
        answers={200: item_answered("The item as it is now.")},
        refusals=[
            *BODY,
            *KEY_REQUIRED,
            *_PLACED,
            *STORED,
            "precondition_required",
            "precondition_failed",
            "would_cycle",
            "not_empty",
            "is_a_folder",
        ],
    ),
    Operation(
        method="DELETE",
        path="/v1/items/{item_id}",
        name="deleteItem",
        tag=_TAG,
        summary="Delete an item; it leaves a tombstone, and its content stays readable for the retention time",
        parameters=[ITEM_ID, IF_MATCH, KEY_NEEDED],
        answers={204: answered("It is deleted.")},
        refusals=[*FOUND, *KEY_REQUIRED, *STORED, "precondition_required", "precondition_failed", "not_empty"],
    ),
)
