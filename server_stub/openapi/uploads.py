"""Resumable uploads (tus 1.0.0) in the contract."""

from __future__ import annotations

from typing import Final

from server_stub.openapi.parts import (
    KEY,
    KEY_NEEDED,
    KEYED,
    STORED,
    Json,
    Operation,
    answered,
    body,
    header,
    item_answered,
    path_parameter,
    ref,
)

_TAG: Final = "uploads"
_OFFSETS: Final = "application/offset+octet-stream"
_BYTES: Final = body({"type": "string", "format": "binary"}, media=_OFFSETS, required=False)
_TEXT: Final[Json] = {"schema": {"type": "string"}}
_NUMBER: Final[Json] = {"schema": {"type": "integer"}}
_TUS: Final[Json] = {"Tus-Resumable": {"schema": {"const": "1.0.0"}}}
_STATE: Final = _TUS | {"Upload-Offset": _NUMBER, "Upload-Expires": _TEXT, "Anchor-Item-Id": _TEXT}
_ID: Final = path_parameter("upload_id", "The upload's id: the end of its Location.")
_RESUMABLE: Final = header("Tus-Resumable", "`1.0.0`; anything else: 412.")
_CHECKSUM: Final = header("Upload-Checksum", "Algorithm and base64, for the bytes of this request.")
_OVERRIDE: Final = header("X-HTTP-Method-Override", "Stands for the method of a POST.")
_KNOWN: Final = ("not_found", "upload_gone", "upload_version_unsupported", "upload_interrupted")
_COMMITS: Final = (
    *STORED,
    "deleted",
    "not_a_folder",
    "is_a_folder",
    "name_taken",
    "name_invalid",
    "name_too_long",
    "precondition_failed",
    "digest_mismatch",
    "too_large",
)
_ARRIVES: Final = ("upload_media_type", "upload_checksum_mismatch", "upload_offset_mismatch")
_NEW: Final = answered("The upload.", headers=_STATE | {"Location": _TEXT})
_TOLD: Final = answered("What this server can do.", headers=_TUS | {"Tus-Version": _TEXT, "Tus-Extension": _TEXT})
_MOVED: Final = answered("What arrived is durable; at the end it is an item.", headers=_STATE)

OPERATIONS: Final = (
    Operation(
        method="OPTIONS",
        path="/v1/uploads",
        name="uploadOptions",
        tag=_TAG,
        summary="Version, extensions and limits",
        answers={204: _TOLD},
    ),
    Operation(
        method="POST",
        path="/v1/uploads",
        name="createUpload",
        tag=_TAG,
        summary="Begin an upload, with or without its first bytes, or join partial ones",
        parameters=[
            _RESUMABLE,
            header("Upload-Length", "The whole size, unless it is deferred."),
            header("Upload-Defer-Length", "`1`."),
            header("Upload-Metadata", "What the bytes are to become."),
            header("Upload-Concat", "`partial`, or `final;` with the parts."),
            _CHECKSUM,
            _OVERRIDE,
            KEY,
        ],
        body=_BYTES,
        answers={201: _NEW, 204: _TOLD},
        refusals=[
            *_COMMITS,
            *KEYED,
            *_ARRIVES,
            *_KNOWN,
            "upload_incomplete",
            "method_not_allowed",
            "invalid_request@422",
        ],
    ),
    Operation(
        method="OPTIONS",
        path="/v1/uploads/{upload_id}",
        name="oneUploadOptions",
        tag=_TAG,
        summary="Version, extensions and limits",
        parameters=[_ID],
        answers={204: _TOLD},
    ),
    Operation(
        method="HEAD",
        path="/v1/uploads/{upload_id}",
        name="headUpload",
        tag=_TAG,
        summary="Where to go on; ends a request that still sends",
        parameters=[_ID, _RESUMABLE],
        answers={200: answered("Offset, length and state.", headers=_STATE | {"Upload-Length": _NUMBER})},
        refusals=_KNOWN,
    ),
    Operation(
        method="GET",
        path="/v1/uploads/{upload_id}",
        name="getUpload",
        tag=_TAG,
        summary="The state as JSON; ends nobody's request",
        parameters=[_ID],
        answers={200: answered("The upload, and the item when it is one.", ref("Upload"))},
        refusals=["not_found", "upload_gone"],
    ),
    Operation(
        method="PATCH",
        path="/v1/uploads/{upload_id}",
        name="patchUpload",
        tag=_TAG,
        summary="Further bytes; the last one commits",
        parameters=[
            _ID,
            _RESUMABLE,
            header("Upload-Offset", "Where the bytes begin."),
            header("Upload-Length", "Once, when it was deferred."),
            _CHECKSUM,
        ],
        body=_BYTES,
        answers={204: _MOVED},
        refusals=[*_KNOWN, *_ARRIVES, *_COMMITS, "upload_committed", "invalid_request@422"],
    ),
    Operation(
        method="POST",
        path="/v1/uploads/{upload_id}",
        name="overriddenUpload",
        tag=_TAG,
        summary="With X-HTTP-Method-Override: what the other methods do",
        parameters=[_ID, _RESUMABLE, _OVERRIDE, header("Upload-Offset", "Where the bytes begin."), _CHECKSUM],
        body=_BYTES,
        answers={200: answered("As GET or HEAD.", ref("Upload"), headers=_TUS), 204: _MOVED},
        refusals=[*_KNOWN, *_ARRIVES, *_COMMITS, "upload_committed", "method_not_allowed", "invalid_request@422"],
    ),
    Operation(
        method="DELETE",
        path="/v1/uploads/{upload_id}",
        name="deleteUpload",
        tag=_TAG,
        summary="End an upload; what it committed stays",
        parameters=[_ID, _RESUMABLE],
        answers={204: answered("Its bytes are gone.", headers=_TUS)},
        refusals=_KNOWN,
    ),
    Operation(
        method="POST",
        path="/v1/uploads/{upload_id}:commit",
        name="commitUpload",
        tag=_TAG,
        summary="Commit a finished upload, there or elsewhere, without sending a byte",
        parameters=[_ID, KEY_NEEDED],
        body=body(ref("Commit"), required=False),
        answers={
            200: item_answered("The item with its new content."),
            201: item_answered("The new item.", created=True),
        },
        refusals=[
            *_COMMITS,
            *KEYED,
            "idempotency_key_missing",
            "invalid_request@422",
            "not_found",
            "upload_gone",
            "upload_incomplete",
            "upload_committed",
            "upload_interrupted",
        ],
    ),
)
