"""A request to the fake as its parts see it, and their answer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What arrived; names of headers in lower case, the path decoded and without what precedes `/remote.php`."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    base_url: str  # of the whole server, as the client named it
    password: str | None = None


@dataclass(slots=True, kw_only=True)
class Reply:
    """What goes back."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def multi(body: bytes) -> Reply:
    """207."""
    return Reply(status=207, headers={"content-type": "application/xml; charset=utf-8"}, body=body)


def as_json(value: Any, status: int = 200) -> Reply:  # noqa: ANN401 - JSON
    """A JSON document."""
    return Reply(status=status, headers={"content-type": "application/json"}, body=json.dumps(value).encode())
