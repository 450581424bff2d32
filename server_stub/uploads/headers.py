"""The header fields of tus 1.0.0, read strictly. Pure; sizes in bytes.

https://tus.io/protocols/resumable-upload
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from server_stub.digests import parse_digests
from server_stub.instants import parse_instant
from server_stub.problems import Problem
from server_stub.uploads.values import Delta, Target, check_target

if TYPE_CHECKING:
    from collections.abc import Mapping
    from hashlib import _Hash

VERSION: Final = "1.0.0"
EXTENSIONS: Final = "creation,creation-with-upload,creation-defer-length,checksum,expiration,termination,concatenation"
ALGORITHMS: Final = ("sha1", "sha256", "sha512", "md5")
MEDIA_TYPE: Final = "application/offset+octet-stream"
METADATA_MAX_BYTES: Final = 16 << 10
DELTA_FORMAT: Final = "1"
PARTS_MAX: Final = 1_000  # partial uploads in one concatenation
_SIZE: Final = re.compile(r"\d{1,18}", re.ASCII)
_OCTAL: Final = re.compile(r"0?[0-7]{1,4}", re.ASCII)
_HEX_DIGEST: Final = re.compile(r"sha-256:([0-9a-f]{64})", re.ASCII)


class Wish(NamedTuple):
    """What Upload-Metadata asks of the drive."""

    target: Target | None
    modified_ns: int | None
    mode: int | None
    digest: str | None
    delta: Delta | None = None


class Checksum:
    """Upload-Checksum: what the body of one request must add up to."""

    def __init__(self, algorithm: str, expected: bytes) -> None:
        self._hash: _Hash = hashlib.new(algorithm, usedforsecurity=False)
        self._expected = expected

    def update(self, chunk: bytes) -> None:
        """More of the body."""
        self._hash.update(chunk)

    def agrees(self) -> bool:
        """Whether the whole body was what was announced."""
        return self._hash.digest() == self._expected


def parse_size(field: str | None, name: str) -> int | None:
    """A non-negative integer; None without the field. Problem invalid_request."""
    if field is None:
        return None
    if _SIZE.fullmatch(field) is None:
        raise Problem("invalid_request", f"{name} is a number of bytes")
    return int(field)


def parse_length(fields: Mapping[str, str], *, required: bool) -> int | None:
    """Upload-Length, or None when Upload-Defer-Length puts it off. Problem invalid_request."""
    length, deferred = parse_size(fields.get("upload-length"), "Upload-Length"), fields.get("upload-defer-length")
    if deferred is not None and deferred != "1":
        raise Problem("invalid_request", "Upload-Defer-Length is 1 or absent")
    if required and (length is None) == (deferred is None):
        raise Problem("invalid_request", "either Upload-Length or Upload-Defer-Length: 1")
    return length


def parse_concat(field: str | None) -> tuple[str, ...] | None:
    """The paths of a final upload's parts; None for an upload that is not final. Problem invalid_request."""
    if field is None or field == "partial":
        return None
    kind, semicolon, rest = field.partition(";")
    parts = tuple(_path(address) for address in rest.split())
    if kind != "final" or not semicolon or not parts or len(parts) > PARTS_MAX:
        raise Problem("invalid_request", "Upload-Concat is 'partial' or 'final;' and the partial uploads' addresses")
    return parts


def _path(address: str) -> str:
    """Absolute addresses and paths both name an upload of this server."""
    _, scheme_end, rest = address.partition("://")
    return "/" + rest.partition("/")[2] if scheme_end else address


def parse_checksum(field: str | None) -> Checksum | None:
    """Upload-Checksum; Problem invalid_request for an algorithm that OPTIONS does not tell."""
    if field is None:
        return None
    algorithm, _, encoded = field.strip().partition(" ")
    if algorithm not in ALGORITHMS:
        raise Problem("invalid_request", f"Upload-Checksum by one of {', '.join(ALGORITHMS)}")
    return Checksum(algorithm, _decoded(encoded, "Upload-Checksum"))


def parse_metadata(field: str | None) -> dict[str, bytes]:
    """Keys and values of Upload-Metadata; Problem invalid_request."""
    pairs: dict[str, bytes] = {}
    if field is None or not field.strip():
        return pairs
    if len(field) > METADATA_MAX_BYTES:
        raise Problem("too_large", f"Upload-Metadata has at most {METADATA_MAX_BYTES} bytes")
    for member in field.split(","):
        key, _, encoded = member.strip().partition(" ")
        if not key.isascii() or not key or key in pairs:
            raise Problem("invalid_request", "Upload-Metadata: every key once, as 'key base64'")
        pairs[key] = _decoded(encoded, "Upload-Metadata")
    return pairs


def read_wish(field: str | None, root_id: str) -> Wish:
    """What the metadata asks for. A plain client that only says `filename` means the root. Problem."""
    texts = {key: _text(value) for key, value in parse_metadata(field).items()}
    stamp, mode = texts.get("modified_at"), texts.get("mode")
    if mode is not None and _OCTAL.fullmatch(mode) is None:
        raise Problem("invalid_request", "mode is octal, as in 0644")
    return Wish(
        target=_target(texts, root_id),
        modified_ns=None if stamp is None else _instant(stamp),
        mode=None if mode is None else int(mode, 8),
        digest=_digest(texts.get("digest")),
        delta=_delta(texts),
    )


def _delta(texts: Mapping[str, str]) -> Delta | None:
    """Half a delta is none: its bytes would be taken for content."""
    if "delta" not in texts:
        return None
    item_id, version, size = texts.get("base_item_id"), texts.get("base_version"), texts.get("size", "")
    if texts["delta"] != DELTA_FORMAT or not item_id or not version or _SIZE.fullmatch(size) is None:
        detail = f"delta {DELTA_FORMAT} needs base_item_id, base_version and size"
        raise Problem("invalid_request", detail, status=422)
    if _digest(texts.get("digest")) is None:
        raise Problem("invalid_request", "a delta needs the digest of what comes out", status=422)
    return Delta(item_id=item_id, content_version=version, size=int(size))


def _target(texts: Mapping[str, str], root_id: str) -> Target | None:
    item_id, parent_id = texts.get("item_id"), texts.get("parent_id")
    name = texts.get("name") if item_id is not None else texts.get("name", texts.get("filename"))
    if item_id is None and parent_id is None and name is None:
        return None
    if item_id is None and parent_id is None:
        parent_id = root_id
    target = Target(item_id=item_id, content_version=texts.get("content_version"), parent_id=parent_id, name=name)
    return check_target(target)


def _digest(text: str | None) -> str | None:
    """`sha-256:<hex>` as items tell it, or a digest field of RFC 9530."""
    if text is None:
        return None
    match = _HEX_DIGEST.fullmatch(text)
    return parse_digests(text) if match is None else match[1]


def _instant(text: str) -> int:
    try:
        return parse_instant(text)
    except ValueError as error:
        raise Problem("invalid_request", f"modified_at: {error}", status=422) from None


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return ""  # a value of somebody else's; ours are checked where they are read


def _decoded(encoded: str, name: str) -> bytes:
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise Problem("invalid_request", f"{name}: not base64") from None
