"""Contents found and opened for reading: the current one in the tree, an older one in the vault.

What lies in the tree may be written to by others at any time: a content is its version only as long as the
file is the one that the index has seen.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

import msgspec

from server_stub.plans.common import require_file, was_visible
from server_stub.problems import Problem
from server_stub.values import Evidence, Item, Kind, Principal
from server_stub.wire import item_json

if TYPE_CHECKING:
    from server_stub.service import Service
    from server_stub.store import View

_ATTEMPTS: Final = 3


class Opened:
    """An open content; `watched` when others may edit it in place."""

    def __init__(self, fd: int, *, watched: bool) -> None:
        self.fd = fd
        self._stamp = self._now() if watched else None

    def _now(self) -> tuple[int, int]:
        found = os.fstat(self.fd)
        return (found.st_mtime_ns, found.st_size)

    def read(self, start: int, stop: int) -> bytes:
        """Exactly these bytes, or fewer when the file is not what it was."""
        return self._checked(os.pread(self.fd, stop - start, start))

    def read_now(self, start: int, stop: int) -> bytes | None:
        """The same on the spot, when all of it is in memory; None when the disk would have to be waited for."""
        buffer = bytearray(stop - start)
        try:
            count = os.preadv(self.fd, [buffer], start, os.RWF_NOWAIT)
        except OSError:  # EAGAIN, or a file system that cannot tell
            return None
        return self._checked(bytes(buffer)) if count == len(buffer) else None

    def _checked(self, data: bytes) -> bytes:
        if self._stamp is not None and self._now() != self._stamp:
            return b""
        return data

    def close(self) -> None:
        """Give the descriptor back, once."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """One version's bytes: where they lie and what is told of them."""

    item: Item
    names: tuple[str, ...]
    version: str
    size: int
    modified_ns: int
    digest: str | None

    @property
    def is_current(self) -> bool:
        """False for an older version from the vault."""
        return self.version == self.item.content_version


def find_content(view: View, principal: Principal, item_id: str, version: str | None) -> Content:
    """The current content or the asked version; Problem version_gone with the current item."""
    buried = None if version is None else _buried_content(view, principal, item_id, version)
    if buried is not None:
        return buried
    item = require_file(view, principal, item_id)
    current = item.content_version or ""
    if version is None or version == current:
        names = tuple(name for _, name in view.lineage(item_id)[1:])
        return Content(
            item=item,
            names=names,
            version=current,
            size=item.size,
            modified_ns=item.modified_ns,
            digest=item.digest,
        )
    kept = view.kept(version)
    if kept is None or kept.item_id != item_id:
        raise Problem("version_gone", "this version is not retained", current=item_json(item, principal))
    return Content(
        item=item, names=(), version=version, size=kept.size, modified_ns=kept.modified_ns, digest=kept.digest
    )


def _buried_content(view: View, principal: Principal, item_id: str, version: str) -> Content | None:
    """A retained version of a deleted item: a handle that has it open reads on."""
    tombstone, kept = view.tombstone(item_id), view.kept(version)
    if tombstone is None or kept is None or kept.item_id != item_id:
        return None
    if not was_visible(principal, tombstone):
        return None
    item = msgspec.structs.replace(tombstone.item, content_version=None)
    return Content(
        item=item, names=(), version=version, size=kept.size, modified_ns=kept.modified_ns, digest=kept.digest
    )


async def open_content(
    service: Service, principal: Principal, item_id: str, version: str | None
) -> tuple[Content, Opened]:
    """Find and open, with the index brought in line first when somebody else wrote to the file. Problem."""
    before: Content | None = None
    for _ in range(_ATTEMPTS):
        content = await service.read(lambda view: find_content(view, principal, item_id, version))
        opened = await _open(service, content)
        if opened is not None:
            return content, opened
        if content.is_current:
            await service.refresh(content.names[:-1])
        elif content == before:
            await service.read(lambda view: require_file(view, principal, item_id))  # tells the tombstone, if any
            raise Problem("version_gone", "this version is not retained", current=item_json(content.item, principal))
        before = content  # an older content that was restored since it was found is current now
    raise Problem("unavailable", "the file is being changed by others", headers={"retry-after": "1"})


async def _open(service: Service, content: Content) -> Opened | None:
    """`open_at` in a thread. Nobody stops a thread: what it opens for a request that was given up is closed then."""
    opening = asyncio.ensure_future(asyncio.to_thread(open_at, service, content))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_unwanted)
        raise


def _close_unwanted(opening: asyncio.Future[Opened | None]) -> None:
    opened = None if opening.cancelled() or opening.exception() else opening.result()
    if opened is not None:
        opened.close()


def open_at(service: Service, content: Content) -> Opened | None:
    """Blocks; None when the bytes of this version are not there (any more)."""
    if content.item.kind is Kind.SYMLINK:
        return Opened(_in_memory(content.item.symlink_target or ""), watched=False)
    try:
        if not content.is_current:
            return Opened(service.blobs.open_kept(content.version), watched=False)
        opened = Opened(service.blobs.open_current(content.names), watched=True)
    except OSError:
        return None
    if Evidence.of(os.fstat(opened.fd)) == content.item.evidence:
        return opened
    opened.close()
    return None


def _in_memory(text: str) -> int:
    fd = os.memfd_create("symlink")
    os.write(fd, text.encode())
    return fd
