"""The named schemas of trees, the trash, versions and batches. Pure."""

from __future__ import annotations

from typing import Final

from server_stub.openapi.parts import Json, ref
from server_stub.openapi.schemas import ITEM, listed, record

_TEXT: Final[Json] = {"type": "string"}
_OR_NULL: Final[Json] = {"type": ["string", "null"]}
_COUNT: Final[Json] = {"type": "integer", "minimum": 0}
_INSTANT: Final[Json] = ITEM["properties"]["modified_at"]
_DIGEST: Final[Json] = ITEM["properties"]["digest"]

TARGET: Final = record(
    {"parent_id": _OR_NULL, "name": _OR_NULL, "conflict": {"enum": ["fail", "rename"], "default": "fail"}},
    optional=("parent_id", "name", "conflict"),
    closed=True,
)
TRASHED: Final = record(
    ITEM["properties"]
    | {
        "deleted": {"const": True},
        "deleted_at": _INSTANT,
        "reason": {"const": "deleted"},
        "top_id": _TEXT,
        "path": _TEXT,
        "expires_at": _INSTANT,
    },
    optional=("path", "expires_at"),
)
VERSIONS: Final = record(
    {
        "item": ref("Item"),
        "versions": listed(
            record(
                {
                    "content_version": _TEXT,
                    "size": _COUNT,
                    "digest": _DIGEST,
                    "modified_at": _INSTANT,
                    "replaced_at": {"anyOf": [_INSTANT, {"type": "null"}]},
                }
            )
        ),
        "cursor": _OR_NULL,
    }
)
WANTED: Final = record(
    {
        "item_id": _TEXT,
        "content_version": _OR_NULL,
        "range": {
            "anyOf": [
                {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
                {"type": "null"},
            ]
        },
    },
    optional=("content_version", "range"),
    closed=True,
)

TREE_SCHEMAS: Final[Json] = {
    "Target": TARGET,
    "Trashed": TRASHED,
    "Trash": record({"items": listed(ref("Trashed")), "cursor": _OR_NULL}),
    "Versions": VERSIONS,
    "VersionBody": record({"content_version": _TEXT}, closed=True),
    "Found": record({"items": listed(ref("Item")), "cursor": _OR_NULL}),
    "ContentBatch": record({"items": {"type": "array", "items": WANTED, "maxItems": 5000}}, closed=True),
}
