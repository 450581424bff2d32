"""What a server says of itself: the capabilities document of the OCS interface. Pure.

Everything in it is optional, and what is not told is not used; a document that is none is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from sync.remote import ProtocolViolation
from sync.remotes.nextcloud.names import NameRules

OCS_HEADERS = {"ocs-apirequest": "true", "accept": "application/json"}


class _Chunked(msgspec.Struct, frozen=True):
    max_size: int = 0


class _Files(msgspec.Struct, frozen=True):
    bigfilechunking: bool = False
    undelete: bool = False
    versioning: bool = False
    chunked_upload: _Chunked = _Chunked()
    forbidden_filenames: list[str] | None = None
    forbidden_filename_basenames: list[str] | None = None
    forbidden_filename_characters: list[str] | None = None
    forbidden_filename_extensions: list[str] | None = None


class _Dav(msgspec.Struct, frozen=True):
    chunking: str = ""
    bulkupload: str = ""


class _Endpoints(msgspec.Struct, frozen=True):
    websocket: str = ""


class _Push(msgspec.Struct, frozen=True):
    type: list[str] = []
    endpoints: _Endpoints = _Endpoints()


class _Capabilities(msgspec.Struct, frozen=True):
    files: _Files = _Files()
    dav: _Dav = _Dav()
    notify_push: _Push = _Push()


class _Version(msgspec.Struct, frozen=True):
    string: str = ""


class _Data(msgspec.Struct, frozen=True):
    capabilities: _Capabilities
    version: _Version = _Version()


class _Ocs(msgspec.Struct, frozen=True):
    data: _Data


class _Document(msgspec.Struct, frozen=True):
    ocs: _Ocs


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What can be used of a server."""

    version: str = ""
    chunks: bool = False
    chunk_max_bytes: int = 0  # what the server proposes; 0: nothing
    bulk: bool = False
    trash: bool = False
    versions: bool = False
    push_url: str | None = None
    names: NameRules = field(default_factory=NameRules)


def announced_of(body: bytes) -> Announced:
    """Of the document; ProtocolViolation."""
    try:
        data = msgspec.json.decode(body, type=_Document).ocs.data
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProtocolViolation(f"the server's capabilities are no such document: {error}") from None
    files, push = data.capabilities.files, data.capabilities.notify_push
    return Announced(
        version=data.version.string,
        chunks=files.bigfilechunking and bool(data.capabilities.dav.chunking),
        chunk_max_bytes=max(files.chunked_upload.max_size, 0),
        bulk=bool(data.capabilities.dav.bulkupload),
        trash=files.undelete,
        versions=files.versioning,
        push_url=push.endpoints.websocket or None if "files" in push.type else None,
        names=_rules(files),
    )


def _rules(files: _Files) -> NameRules:
    """The announced rules; of old servers, that announce none, the ones they all had."""
    if files.forbidden_filename_characters is None:
        return NameRules()
    return NameRules(
        names=frozenset(each.casefold() for each in files.forbidden_filenames or ()),
        stems=frozenset(each.casefold() for each in files.forbidden_filename_basenames or ()),
        characters=frozenset("".join(files.forbidden_filename_characters)) | {"\\", "\n"},
        endings=tuple(each.casefold() for each in files.forbidden_filename_extensions or () if each.strip()),
    )
