"""Every refusal that the protocol knows, as one exception with facts (RFC 9457).

`code` is stable and machine-readable; facts are the right values (current item, fresh anchor), so that a
client needs no second question. Nobody parses `detail`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

MEDIA_TYPE: Final = "application/problem+json"

STATUS: Final[Mapping[str, int]] = {
    "invalid_request": 400,
    "cursor_invalid": 400,
    "digest_mismatch": 400,
    "idempotency_key_missing": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "name_taken": 409,
    "not_empty": 409,
    "would_cycle": 409,
    "not_deleted": 409,
    "parent_gone": 409,
    "not_a_folder": 409,
    "is_a_folder": 409,
    "idempotency_key_in_progress": 409,
    "upload_offset_mismatch": 409,
    "upload_incomplete": 409,
    "upload_committed": 409,
    "upload_interrupted": 409,
    "webhook_limit": 409,
    "deleted": 410,
    "upload_gone": 410,
    "anchor_expired": 410,
    "version_gone": 410,
    "precondition_failed": 412,
    "upload_version_unsupported": 412,
    "too_large": 413,
    "upload_media_type": 415,
    "range_not_satisfiable": 416,
    "host_not_allowed": 421,
    "name_invalid": 422,
    "name_too_long": 422,
    "idempotency_key_reused": 422,
    "webhook_target_refused": 422,
    "webhook_unverified": 422,
    "precondition_required": 428,
    "rate_limited": 429,
    "upload_checksum_mismatch": 460,
    "head_too_large": 431,
    "internal": 500,
    "unavailable": 503,
    "quota_exceeded": 507,
}


class Problem(Exception):
    """A refusal: machine code, status, facts that stand in the body as members, and headers."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        **facts: object,
    ) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.status = status if status is not None else STATUS[code]
        self.headers = dict(headers or {})
        self.facts = facts

    def body(self) -> bytes:
        """The problem document."""
        document: dict[str, object] = {
            "type": f"urn:anchorfs:problem:{self.code}",
            "title": self.code.replace("_", " "),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        return msgspec.json.encode(document | self.facts)
