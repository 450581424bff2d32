"""The named schemas of the contract. Pure."""

from __future__ import annotations

from typing import Final

from server_stub.openapi.parts import Json, ref
from server_stub.problems import STATUS
from server_stub.values import Capability, Kind, Reason

_TEXT: Final[Json] = {"type": "string"}
_OR_NULL: Final[Json] = {"type": ["string", "null"]}
_COUNT: Final[Json] = {"type": "integer", "minimum": 0}
_INSTANT: Final[Json] = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$"}
_NAME: Final[Json] = {"type": "string", "description": "one path component, at most 255 bytes of UTF-8"}
_MODE: Final[Json] = {"type": "integer", "minimum": 0, "maximum": 4095}
_GIVEN_INSTANT: Final[Json] = {"type": ["string", "null"], "description": "RFC 3339"}


def record(members: Json, *, optional: tuple[str, ...] = (), closed: bool = False) -> Json:
    """An object; every member is there unless it is named optional."""
    required = [name for name in members if name not in optional]
    told: Json = {"type": "object", "properties": members}
    if required:
        told["required"] = required
    return told | ({"additionalProperties": False} if closed else {})


def listed(item: Json) -> Json:
    """An array."""
    return {"type": "array", "items": item}


def _xattrs(value: Json) -> Json:
    """Extended attributes by name."""
    return {"type": "object", "propertyNames": {"pattern": r"^user\.(?!anchorfs\.)."}, "additionalProperties": value}


ITEM: Final = record(
    {
        "item_id": _TEXT,
        "parent_id": _OR_NULL,
        "name": _TEXT,
        "kind": {"enum": [kind.value for kind in Kind]},
        "is_folder": {"type": "boolean"},
        "size": _COUNT,
        "created_at": _INSTANT,
        "modified_at": _INSTANT,
        "content_version": _OR_NULL,
        "metadata_version": _TEXT,
        "digest": {"type": ["string", "null"], "pattern": "^sha-256:[0-9a-f]{64}$"},
        "mode": _MODE,
        "symlink_target": _OR_NULL,
        "capabilities": listed({"enum": [capability.value for capability in Capability]}),
        "deleted": {"const": False},
        "xattrs": _xattrs({"type": "string", "contentEncoding": "base64"}),
    }
)
TOMBSTONE: Final = record(
    {
        "item_id": _TEXT,
        "parent_id": _OR_NULL,
        "deleted": {"const": True},
        "deleted_at": _INSTANT,
        "reason": {"enum": [reason.value for reason in Reason]},
    }
)
PROBLEM: Final = record(
    {
        "type": {"type": "string", "pattern": "^urn:anchorfs:problem:"},
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "code": {"enum": sorted(STATUS)},
        "item": ref("Tombstone"),
        "current": {"anyOf": [ref("Item"), ref("Trashed"), {"type": "null"}]},
        "existing_id": _TEXT,
        "anchor": _TEXT,
        "lost": {"type": "boolean"},
    },
    optional=("item", "current", "existing_id", "anchor", "lost"),
)
CHANGE: Final[Json] = {
    "oneOf": [
        record({"type": {"const": "changed"}, "item": ref("Item")}),
        record(
            {
                "type": {"const": "deleted"},
                "item_id": _TEXT,
                "parent_id": _OR_NULL,
                "deleted_at": _INSTANT,
                "reason": {"enum": [reason.value for reason in Reason]},
            }
        ),
    ]
}
NEW_ITEM: Final = record(
    {
        "parent_id": _TEXT,
        "name": _NAME,
        "kind": {"enum": [kind.value for kind in Kind]},
        "mode": {"anyOf": [_MODE, {"type": "null"}]},
        "modified_at": _GIVEN_INSTANT,
        "symlink_target": _OR_NULL,
        "xattrs": _xattrs({"type": "string", "contentEncoding": "base64"}),
        "conflict": {"enum": ["fail", "rename"], "default": "fail"},
    },
    optional=("mode", "modified_at", "symlink_target", "xattrs", "conflict"),
    closed=True,
)
PATCH: Final = record(
    {
        "parent_id": _OR_NULL,
        "name": {"type": ["string", "null"]},
        "mode": {"anyOf": [_MODE, {"type": "null"}]},
        "modified_at": _GIVEN_INSTANT,
        "replace": {"anyOf": [record({"item_id": _TEXT, "content_version": _OR_NULL}), {"type": "null"}]},
        "xattrs": _xattrs({"type": ["string", "null"], "contentEncoding": "base64", "description": "null: removed"}),
    },
    optional=("parent_id", "name", "mode", "modified_at", "replace", "xattrs"),
    closed=True,
)
BATCH: Final = record({"item_ids": {"type": "array", "items": _TEXT, "maxItems": 1000}}, closed=True)
BATCH_RESULTS: Final = record(
    {
        "results": listed(
            record(
                {
                    "item_id": _TEXT,
                    "status": {"enum": [200, 404, 410]},
                    "item": {"anyOf": [ref("Item"), ref("Tombstone")]},
                },
                optional=("item",),
            )
        )
    }
)
CHILDREN: Final = record({"items": listed(ref("Item")), "anchor": _TEXT, "cursor": _OR_NULL})
PATH: Final = record({"path": _TEXT, "uri": {"type": "string", "pattern": "^anchor://"}})
SPACE: Final = record({"total": _COUNT, "used": _COUNT, "free": _COUNT})
PAGE: Final = record({"changes": listed(ref("Change")), "anchor": _TEXT, "has_more": {"type": "boolean"}})

SCHEMAS: Final[Json] = {
    "Item": ITEM,
    "Tombstone": TOMBSTONE,
    "Problem": PROBLEM,
    "Change": CHANGE,
    "Page": PAGE,
    "NewItem": NEW_ITEM,
    "Patch": PATCH,
    "Batch": BATCH,
    "BatchResults": BATCH_RESULTS,
    "Children": CHILDREN,
    "Path": PATH,
    "Space": SPACE,
}
