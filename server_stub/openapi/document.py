"""The whole document, from the operations of every resource. Pure."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from server_stub.openapi import changes, content, items, system, trees, uploads, webhooks
from server_stub.openapi.schemas import SCHEMAS
from server_stub.openapi.tree_schemas import TREE_SCHEMAS

if TYPE_CHECKING:
    from server_stub.openapi.parts import Json, Operation

_DESCRIPTION: Final = (
    "Items with permanent ids and two versions, a change feed with anchors, writes under conditions. "
    "Refusals are problem documents (RFC 9457): decide on `code` and facts, never on text."
)
_TAGS: Final = {
    "items": "Files, folders and symlinks.",
    "trees and trash": "Whole subtrees, what was deleted, older contents, search.",
    "content": "Their bytes.",
    "uploads": "Bytes that survive a cut connection: tus 1.0.0.",
    "changes": "What happened since an anchor.",
    "webhooks": "Who is called when something happens.",
    "server": "The server itself.",
}


def operations() -> tuple[Operation, ...]:
    """Every operation of the contract."""
    return (
        *items.OPERATIONS,
        *trees.OPERATIONS,
        *content.OPERATIONS,
        *uploads.OPERATIONS,
        *changes.OPERATIONS,
        *webhooks.OPERATIONS,
        *system.OPERATIONS,
    )


def document() -> Json:
    """The OpenAPI 3.1 document."""
    paths: Json = {}
    for operation in operations():
        paths.setdefault(operation.path, {})[operation.method.lower()] = operation.described()
    return {
        "openapi": "3.1.0",
        "info": {"title": "The Anchor protocol", "version": _version(), "description": _DESCRIPTION},
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS | TREE_SCHEMAS | uploads.SCHEMAS | webhooks.SCHEMAS,
            "headers": {
                "RequestId": {
                    "description": "Names this request in the server's log; taken over from the request.",
                    "schema": {"type": "string"},
                }
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _version() -> str:
    try:
        return version("anchorfs")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0"
