"""Uploads in the contract: tus 1.0.0, and what the drive adds."""

from __future__ import annotations

from typing import Final

from server_stub.openapi.parts import (
    BODY,
    FOUND,
    KEY,
    KEY_NEEDED,
    KEY_REQUIRED,
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
from server_stub.openapi.schemas import record
from server_stub.uploads.headers import ALGORITHMS, EXTENSIONS, MEDIA_TYPE, VERSION

_TAG: Final = "uploads"
_TEXT: Final[Json] = {"schema": {"type": "string"}}
_NUMBER: Final[Json] = {"schema": {"type": "integer", "minimum": 0}}
_BYTES: Final[Json] = {"type": "string", "format": "binary"}
_UPLOAD_ID: Final = path_parameter("upload_id", "An upload's id; only the token that made it knows it.")
_TUS: Final = header("Tus-Resumable", "The version of tus.", required=True, schema={"const": VERSION})
_CHECKSUM: Final = header("Upload-Checksum", f"`algorithm base64` over this body: {', '.join(ALGORITHMS)}.")
_LENGTH: Final = header("Upload-Length", "Bytes in all.", schema={"type": "integer", "minimum": 0})
_MARKED: Final[Json] = {
    "Tus-Resumable": {"schema": {"const": VERSION}},
    "Cache-Control": {"schema": {"const": "no-store"}},
}
_TOLD: Final[Json] = _MARKED | {
    "Upload-Offset": _NUMBER,
    "Upload-Expires": _TEXT,
    "Anchor-Upload-State": {"schema": {"enum": ["open", "finished", "committed"]}},
    "Anchor-Item-Id": _TEXT,
}
_TOLD_BY_OPTIONS: Final[Json] = _MARKED | {
    "Tus-Version": {"schema": {"const": VERSION}},
    "Tus-Extension": {"schema": {"const": EXTENSIONS}},
    "Tus-Max-Size": _NUMBER,
    "Tus-Checksum-Algorithm": {"schema": {"const": ",".join(ALGORITHMS)}},
}
_OURS: Final = ("not_found", "upload_gone", "upload_version_unsupported")
_RECEIVED: Final = (
    *STORED,
    "too_large",
    "upload_media_type",
    "upload_checksum_mismatch",
    "upload_interrupted",
    "precondition_failed",
    "digest_mismatch",
)
_AIMED: Final = (
    *FOUND,
    "invalid_request@422",
    "precondition_required",
    "not_a_folder",
    "is_a_folder",
    "name_invalid",
    "name_too_long",
)
_METADATA: Final = (
    "`key base64` pairs. The drive reads `item_id` and `content_version`, or `parent_id` and `name` (`filename` alone "
    "means the root); `modified_at`, `mode` (octal), `digest` (`sha-256:<hex>`); for a delta "
    "`delta` (`1`), `base_item_id`, `base_version`, `size`."
)
_OPTIONS: Final = answered("What this server speaks.", headers=_TOLD_BY_OPTIONS)
_ACCEPTED: Final = answered("The bytes are durable; the last one has committed the upload.", headers=_TOLD)

_OR_NULL: Final[Json] = {"type": ["string", "null"]}
_TARGET: Final = record(
    {"item_id": _OR_NULL, "content_version": _OR_NULL, "parent_id": _OR_NULL, "name": _OR_NULL},
    optional=("item_id", "content_version", "parent_id", "name"),
    closed=True,
)
_TARGET_OR_NULL: Final[Json] = {"anyOf": [ref("Target"), {"type": "null"}]}
SCHEMAS: Final[Json] = {
    "Target": _TARGET | {"description": "item_id and content_version, or parent_id and name"},
    "Upload": record(
        {
            "upload_id": {"type": "string"},
            "state": {"enum": ["open", "finished", "committed"]},
            "offset": {"type": "integer", "minimum": 0},
            "length": {"type": ["integer", "null"], "minimum": 0},
            "expires_at": _OR_NULL,
            "target": _TARGET_OR_NULL,
            "refusal": _OR_NULL | {"description": "the code of the problem that kept it out of the drive"},
            "item_id": _OR_NULL,
            "item": {"anyOf": [ref("Item"), {"type": "null"}]},
        }
    ),
    "Commit": record(
        {
            "target": _TARGET_OR_NULL,
            "modified_at": _OR_NULL | {"description": "RFC 3339"},
            "mode": {"type": ["integer", "null"], "minimum": 0, "maximum": 4095},
        },
        optional=("target", "modified_at", "mode"),
        closed=True,
    ),
}

OPERATIONS: Final = (
    Operation(
        method="OPTIONS",
        path="/v1/uploads",
        name="describeUploads",
        tag=_TAG,
        summary="Version, extensions, largest size and checksum algorithms",
        answers={204: _OPTIONS},
    ),
    Operation(
        method="POST",
        path="/v1/uploads",
        name="createUpload",
        tag=_TAG,
        summary="Begin an upload, with its first bytes when they are at hand, or join partial uploads",
        details="A condition that is false already is told before a byte is sent; an upload that is whole commits.",
        parameters=[
            _TUS,
            KEY,
            _LENGTH,
            header("Upload-Defer-Length", "Instead of the length: told by a later PATCH.", schema={"const": "1"}),
            header("Upload-Metadata", _METADATA),
            header("Upload-Concat", "`partial`, or `final;` and the partial uploads' addresses."),
            _CHECKSUM,
        ],
        body=body(_BYTES, media=MEDIA_TYPE, required=False),
        answers={201: answered("The new upload.", headers=_TOLD | {"Location": _TEXT})},
        refusals=[*_OURS, *KEYED, *_RECEIVED, *_AIMED, "upload_incomplete", "version_gone"],
    ),
    Operation(
        method="OPTIONS",
        path="/v1/uploads/{upload_id}",
        name="describeUpload",
        tag=_TAG,
        summary="The same as for all uploads",
        parameters=[_UPLOAD_ID],
        answers={204: _OPTIONS},
    ),
    Operation(
        method="HEAD",
        path="/v1/uploads/{upload_id}",
        name="headUpload",
        tag=_TAG,
        summary="Where the upload stands; a request that still sends is ended first, with what arrived kept",
        parameters=[_UPLOAD_ID, _TUS],
        answers={
            200: answered(
                "The durable offset.",
                headers=_TOLD
                | {"Upload-Length": _NUMBER, "Upload-Defer-Length": {"schema": {"const": "1"}}}
                | {"Upload-Metadata": _TEXT, "Upload-Concat": _TEXT},
            )
        },
        refusals=_OURS,
    ),
    Operation(
        method="PATCH",
        path="/v1/uploads/{upload_id}",
        name="appendUpload",
        tag=_TAG,
        summary="Bytes behind the offset; the last one commits under the upload's condition",
        details="412 `precondition_failed` after the last byte: the upload is kept, and :commit takes it elsewhere.",
        parameters=[
            _UPLOAD_ID,
            _TUS,
            header("Upload-Offset", "Where the bytes belong.", required=True, schema={"type": "integer", "minimum": 0}),
            _LENGTH,
            _CHECKSUM,
        ],
        body=body(_BYTES, media=MEDIA_TYPE, required=False),
        answers={204: _ACCEPTED},
        refusals=[*_OURS, *_RECEIVED, "upload_offset_mismatch"],
    ),
    Operation(
        method="DELETE",
        path="/v1/uploads/{upload_id}",
        name="endUpload",
        tag=_TAG,
        summary="End an upload; what was committed stays",
        parameters=[_UPLOAD_ID, _TUS],
        answers={204: answered("It is gone.", headers=_MARKED)},
        refusals=_OURS,
    ),
    Operation(
        method="POST",
        path="/v1/uploads/{upload_id}",
        name="overrideUpload",
        tag=_TAG,
        summary="HEAD, PATCH or DELETE for clients that cannot send them",
        parameters=[
            _UPLOAD_ID,
            _TUS,
            header("X-HTTP-Method-Override", "The method that is meant.", schema={"enum": ["PATCH", "DELETE"]}),
            header("Upload-Offset", "As for PATCH."),
        ],
        body=body(_BYTES, media=MEDIA_TYPE, required=False),
        answers={204: _ACCEPTED},
        refusals=[*_OURS, *_RECEIVED, "upload_offset_mismatch", "method_not_allowed"],
    ),
    Operation(
        method="GET",
        path="/v1/uploads/{upload_id}",
        name="getUpload",
        tag=_TAG,
        summary="The state of an upload and the item that it became; ends nobody's request",
        parameters=[_UPLOAD_ID],
        answers={200: answered("The upload.", ref("Upload"), headers=_MARKED)},
        refusals=["not_found", "upload_gone"],
    ),
    Operation(
        method="POST",
        path="/v1/uploads/{upload_id}:commit",
        name="commitUpload",
        tag=_TAG,
        summary="A finished upload into the drive, there or elsewhere, without sending a byte again",
        parameters=[_UPLOAD_ID, KEY_NEEDED],
        body=body(ref("Commit")),
        answers={
            200: item_answered("The item with its new content."),
            201: item_answered("The new item.", created=True),
        },
        refusals=[
            *KEY_REQUIRED,
            *BODY,
            *STORED,
            *_AIMED,
            "upload_gone",
            "version_gone",
            "upload_incomplete",
            "upload_committed",
            "precondition_failed",
            "digest_mismatch",
        ],
    ),
)
