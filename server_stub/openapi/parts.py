"""How an operation is described: a frozen value, and short words for what many have in common. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from server_stub.problems import MEDIA_TYPE, STATUS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Json = dict[str, Any]

JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"

TAG_HEADER: Final[Json] = {"schema": {"type": "string", "pattern": '^".*"$'}}
# What every operation may answer, whatever is asked of it.
ALWAYS: Final = ("invalid_request", "request_timeout", "host_not_allowed", "head_too_large", "internal", "unavailable")
SIGNED_IN: Final = ("unauthorized", "not_found")  # not_found: the root of the token does not exist


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path. `refusals` are problem codes, `CODE@STATUS` where it is not the code's own status."""

    method: str
    path: str
    name: str
    tag: str
    summary: str
    answers: Mapping[int, Json]
    refusals: Sequence[str] = ()
    parameters: Sequence[Json] = ()
    body: Json | None = None
    is_open: bool = False  # needs no token
    details: str = ""
    facts: Json = field(default_factory=dict)  # further members of the operation object

    def described(self) -> Json:
        """The operation object."""
        told: Json = {"operationId": self.name, "tags": [self.tag], "summary": self.summary}
        if self.details:
            told["description"] = self.details
        if self.parameters:
            told["parameters"] = list(self.parameters)
        if self.body is not None:
            told["requestBody"] = self.body
        told["responses"] = {str(status): answer for status, answer in sorted(self._responses().items())}
        told["security"] = [] if self.is_open else [{"token": []}]
        return told | self.facts

    def _responses(self) -> dict[int, Json]:
        signed_in = () if self.is_open else SIGNED_IN
        by_status: dict[int, list[str]] = {}
        for refusal in (*self.refusals, *signed_in, *ALWAYS):
            code, _, status = refusal.partition("@")
            codes = by_status.setdefault(int(status or STATUS[code]), [])
            if code not in codes:
                codes.append(code)
        refused = {status: refused_as(codes) for status, codes in by_status.items()}
        return refused | dict(self.answers)


def ref(name: str) -> Json:
    """A named schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def refused_as(codes: Iterable[str]) -> Json:
    """A problem document with one of these codes."""
    named = sorted(codes)
    schema = {"allOf": [ref("Problem"), {"properties": {"code": {"enum": named}}}]}
    return {
        "description": " · ".join(named),
        "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}},
        "content": {MEDIA_TYPE: {"schema": schema}},
    }


def answered(text: str, schema: Json | None = None, *, media: str = JSON, headers: Json | None = None) -> Json:
    """An answer that is no refusal."""
    told: Json = {"description": text}
    told["headers"] = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}, **(headers or {})}
    if schema is not None:
        told["content"] = {media: {"schema": schema}}
    return told


def item_answered(text: str, *, created: bool = False) -> Json:
    """An answer that is one item."""
    headers = {"ETag": TAG_HEADER}
    if created:
        headers["Location"] = {"schema": {"type": "string"}}
    return answered(text, ref("Item"), headers=headers)


def body(schema: Json, *, media: str = JSON, required: bool = True) -> Json:
    """What a request brings."""
    return {"required": required, "content": {media: {"schema": schema}}}


def path_parameter(name: str, text: str) -> Json:
    """A part of the path."""
    return {"name": name, "in": "path", "required": True, "description": text, "schema": {"type": "string"}}


def query(name: str, schema: Json, text: str, *, required: bool = False) -> Json:
    """A parameter of the query."""
    return {"name": name, "in": "query", "required": required, "description": text, "schema": schema}


def header(name: str, text: str, *, required: bool = False, schema: Json | None = None) -> Json:
    """A header field that changes the answer."""
    return {
        "name": name,
        "in": "header",
        "required": required,
        "description": text,
        "schema": schema or {"type": "string"},
    }


def count(minimum: int, maximum: int, default: int) -> Json:
    """An integer; more than the maximum is cut to it, so it is no bound of the schema."""
    text = f"at most {maximum:,}; more is cut to that"
    return {"type": "integer", "minimum": minimum, "default": default, "description": text}


ITEM_ID: Final = path_parameter("item_id", "An item's id.")
CURSOR: Final = query("cursor", {"type": "string"}, "What the page before answered.")
KEY: Final = header("Idempotency-Key", 'A quoted string: `"…"`. Makes the request safe to send again.')
KEY_NEEDED: Final = KEY | {"required": True}
IF_MATCH: Final = header("If-Match", "The version that the change is based on, quoted; without it: 428.")
IF_NONE_MATCH: Final = header("If-None-Match", "Answer 304 when the version is still this one.")
KEYED: Final = ("idempotency_key_reused", "idempotency_key_in_progress")
KEY_REQUIRED: Final = ("idempotency_key_missing", *KEYED)
FOUND: Final = ("not_found", "deleted")
BODY: Final = ("invalid_request@422", "too_large")
STORED: Final = ("quota_exceeded", "forbidden")
