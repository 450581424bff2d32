"""Content in the contract."""

from __future__ import annotations

from typing import Final

from server_stub.openapi.parts import (
    BYTES,
    FOUND,
    IF_MATCH,
    IF_NONE_MATCH,
    ITEM_ID,
    KEY,
    KEYED,
    STORED,
    TAG_HEADER,
    Json,
    Operation,
    answered,
    body,
    header,
    item_answered,
    path_parameter,
    query,
    ref,
)
from server_stub.routes.blocks import BLOCK_MAX_BYTES, BLOCK_MIN_BYTES, BLOCKS_MAX, MEDIA_TYPE

_TAG: Final = "content"
_RAW: Final[Json] = {"type": "string", "format": "binary"}
_TEXT_HEADER: Final[Json] = {"schema": {"type": "string"}}
_SENT_HEADERS: Final[Json] = {
    "ETag": TAG_HEADER,
    "Accept-Ranges": {"schema": {"const": "bytes"}},
    "Last-Modified": _TEXT_HEADER,
    "Repr-Digest": {"description": "RFC 9530; when the digest is known", "schema": {"type": "string"}},
    "Content-Length": {"schema": {"type": "integer"}},
}
_WHOLE: Final = answered("The whole content.", _RAW, media=BYTES, headers=_SENT_HEADERS)
_PART: Final = answered("One range.", _RAW, media=BYTES, headers=_SENT_HEADERS | {"Content-Range": _TEXT_HEADER})
_PARTS: Final = _PART | {
    "description": "One range, or several as multipart/byteranges.",
    "content": {BYTES: {"schema": _RAW}, "multipart/byteranges": {"schema": _RAW}},
    "headers": _SENT_HEADERS,
}
_UNCHANGED: Final = answered("The condition says that nothing is to be sent.", headers={"ETag": TAG_HEADER})
_VERSION: Final = query("version", {"type": "string"}, "An older content_version, while it is retained.")
_READ: Final = [
    ITEM_ID,
    _VERSION,
    header("If-Match", "Answer 412 unless the version is this one."),
    IF_NONE_MATCH,
    header("If-Modified-Since", "An HTTP date."),
    header("If-Unmodified-Since", "An HTTP date."),
]
_REFUSED: Final = [*FOUND, "is_a_folder", "version_gone", "precondition_failed"]
_WRITE: Final = [
    KEY,
    header("Anchor-Modified-At", "RFC 3339; without it, now."),
    header("Anchor-Mode", "Permission bits in octal, as in 0644."),
    header("Content-Digest", "RFC 9530; checked before anything changes."),
    header("Repr-Digest", "RFC 9530; checked before anything changes."),
]
_WRITE_REFUSED: Final = [
    *KEYED,
    *FOUND,
    *STORED,
    "invalid_request@422",
    "digest_mismatch",
    "too_large",
    "precondition_required",
    "precondition_failed",
]

OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/v1/content:batch",
        name="batchContent",
        tag=_TAG,
        summary="Many contents in one stream, in the asked order; a refusal for one does not end it",
        details="Per item: u32 big-endian length, JSON head, bytes. The last head is `{end: true}`.",
        body=body(ref("ContentBatch")),
        answers={200: answered("Frames.", _RAW, media="application/vnd.anchorfs.frames")},
        refusals=["invalid_request@422", "too_large"],
    ),
    Operation(
        method="GET",
        path="/v1/items/{item_id}/content",
        name="getContent",
        tag=_TAG,
        summary="The bytes, whole or by ranges, under the conditions of RFC 9110",
        parameters=[*_READ, header("Range", "RFC 9110 §14."), header("If-Range", "An entity tag; dates never match.")],
        answers={200: _WHOLE, 206: _PARTS, 304: _UNCHANGED},
        refusals=[*_REFUSED, "range_not_satisfiable"],
    ),
    Operation(
        method="HEAD",
        path="/v1/items/{item_id}/content",
        name="headContent",
        tag=_TAG,
        summary="What a GET would tell of the bytes",
        parameters=_READ,
        answers={200: answered("The headers of the whole content.", headers=_SENT_HEADERS), 304: _UNCHANGED},
        refusals=_REFUSED,
    ),
    Operation(
        method="GET",
        path="/v1/items/{item_id}/content/blocks",
        name="getBlocks",
        tag=_TAG,
        summary="SHA-256 of each block of a version: what a delta upload need not send",
        details="32 bytes per block, in order; the last block may be shorter. An answer with fewer was cut short.",
        parameters=[
            ITEM_ID,
            _VERSION,
            query(
                "block_bytes",
                {"type": "integer", "minimum": BLOCK_MIN_BYTES, "maximum": BLOCK_MAX_BYTES},
                f"The length of a block; a content has at most {BLOCKS_MAX:,}.",
                required=True,
            ),
        ],
        answers={200: answered("Digests.", _RAW, media=MEDIA_TYPE, headers={"ETag": TAG_HEADER})},
        refusals=[*FOUND, "invalid_request@422", "is_a_folder", "version_gone"],
    ),
    Operation(
        method="PUT",
        path="/v1/items/{item_id}/content",
        name="putContent",
        tag=_TAG,
        summary="New content for an item that is still at the version in If-Match; atomic",
        parameters=[ITEM_ID, IF_MATCH, *_WRITE],
        body=body(_RAW, media=BYTES, required=False),
        answers={200: item_answered("The item as it is now; everything is on disk.")},
        refusals=[*_WRITE_REFUSED, "is_a_folder"],
    ),
    Operation(
        method="PUT",
        path="/v1/items/{parent_id}/children/{name}/content",
        name="putNewContent",
        tag=_TAG,
        summary="A new file with its content, under a name that must be free; atomic",
        parameters=[
            path_parameter("parent_id", "The folder's id."),
            path_parameter("name", "The file's name, percent-encoded."),
            header("If-None-Match", "`*`; anything else: 428."),
            *_WRITE,
        ],
        body=body(_RAW, media=BYTES, required=False),
        answers={201: item_answered("The new item; everything is on disk.", created=True)},
        refusals=[*_WRITE_REFUSED, "not_a_folder", "name_invalid", "name_too_long"],
    ),
)
