"""Older contents, the trash and search, as asked on the control socket: see `sync.archive`.

What is restored is restored on the server; it comes here as any other change does. A file with changes that the server
does not have yet is not touched: they would only become a conflict.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import trio

from cache import items, journal, tree
from cache.model import Aspect, Ino, ItemId, Kind, Version
from sync.remote import Gone
from vfs.failure import Failure
from vfs.requests import Verb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from cache.model import Item, Node
    from cache.store import LocalStore
    from sync.archive import Archive, ContentVersion, Trashed
    from vfs.requests import Request

ROWS_MAX = 10_000  # of one answer
ASKED_AT_ONCE = 8
_NS = 1e9


class ArchiveAnswers:
    """Answers the requests; `nudge` pulls what was restored."""

    def __init__(self, store: LocalStore, archive: Archive, nudge: Callable[[], None]) -> None:
        self._store = store
        self._archive = archive
        self._nudge = nudge

    def handlers(self) -> dict[Verb, Callable[[Request], Awaitable[object]]]:
        """By verb."""
        return {
            Verb.VERSIONS: self._versions,
            Verb.TRASH: self._trash,
            Verb.RESTORE: self._restore,
            Verb.SEARCH: self._search,
        }

    async def _versions(self, request: Request) -> object:
        _, item = self._file(request)
        found = await self._archive.versions(item.item_id, _bounded(request.limit))
        return {"item_id": item.item_id, "versions": [_version(each) for each in found]}

    async def _trash(self, request: Request) -> object:
        return {"trash": [_trashed(each) for each in await self._archive.trash(_bounded(request.limit))]}

    async def _restore(self, request: Request) -> object:
        if request.ino is not None:
            restored = await self._restore_version(request)
        else:
            item_id = ItemId(request.item_id) if request.item_id else await self._deleted_at(request.paths[0])
            item = await self._archive.restore(item_id, key=str(uuid.uuid4()))
            restored = {"item_id": item_id, "path": await self._archive.path(item.item_id)}
        self._nudge()
        return {"restored": restored}

    async def _restore_version(self, request: Request) -> dict[str, object]:
        node, item = self._file(request)
        if journal.of_node(self._store.db.reader, node.ino).keys() & {Aspect.CREATE, Aspect.CONTENT}:
            raise Failure(
                "unsent-changes",
                f"{request.path} has changes that the server does not have yet",
                hint="`anchorfs sync --wait` sends them; they are then a version of their own",
            )
        wanted = Version(request.version) if request.version else await self._one_before(item, request.path)
        assert item.content_version is not None  # noqa: S101 - a file has one
        await self._archive.restore_version(item.item_id, item.content_version, wanted, key=str(uuid.uuid4()))
        path = tree.path_of(self._store.db.reader, node.ino).strip("/")
        return {"item_id": item.item_id, "path": path, "content_version": wanted}

    async def _one_before(self, item: Item, path: str) -> Version:
        older = [each for each in await self._archive.versions(item.item_id, 2) if each.replaced_ns is not None]
        if not older:
            raise Failure("no-older-version", f"the server keeps no older content of {path}")
        return older[0].content_version

    async def _deleted_at(self, path: str) -> ItemId:
        """What was deleted there last."""
        trash = await self._archive.trash(ROWS_MAX)
        for each in trash:
            if each.path == path:
                return each.item_id
        above = next((each.path for each in trash if path.startswith(f"{each.path}/")), None)
        hint = "`anchorfs trash` shows what can be restored"
        raise Failure(
            "not-in-trash",
            f"nothing that was deleted at {path} is in the trash",
            hint=hint if above is None else f"it was deleted with its folder: anchorfs restore {above}",
        )

    async def _search(self, request: Request) -> object:
        found = await self._archive.search(request.text, _bounded(request.limit))
        paths = await self._paths(found)
        rows = [
            {
                "path": paths[item.item_id],
                "item_id": item.item_id,
                "kind": item.kind,
                "size": item.size,
                "modified_at_s": item.mtime_ns / _NS,
            }
            for item in found
            if item.item_id in paths
        ]
        return {"found": sorted(rows, key=lambda row: str(row["path"]))}

    async def _paths(self, found: Sequence[Item]) -> dict[ItemId, str]:
        """Where they are: as known here, else the server is asked; what is gone meanwhile is left out."""
        reader = self._store.db.reader
        known = {item.item_id: tree.by_item(reader, item.item_id) for item in found}
        paths = {
            item_id: tree.path_of(reader, node.ino).strip("/") for item_id, node in known.items() if node is not None
        }
        limit = trio.CapacityLimiter(ASKED_AT_ONCE)

        async def ask(item_id: ItemId) -> None:
            async with limit:
                try:
                    paths[item_id] = await self._archive.path(item_id)
                except Gone:
                    return

        async with trio.open_nursery() as nursery:
            for item_id in known.keys() - paths.keys():
                nursery.start_soon(ask, item_id)
        return paths

    def _file(self, request: Request) -> tuple[Node, Item]:
        reader = self._store.db.reader
        node = tree.by_ino(reader, Ino(request.ino or 0))
        if node is None or node.kind is not Kind.FILE:
            raise Failure("not-a-file", f"{request.path} is no file: only files have versions")
        item = None if node.item_id is None else items.get(reader, node.item_id)
        if item is None:
            raise Failure("not-sent", f"the server does not have {request.path} yet", hint="anchorfs sync --wait")
        return node, item


def _bounded(limit: int) -> int:
    return min(max(limit, 1), ROWS_MAX)


def _version(each: ContentVersion) -> dict[str, object]:
    return {
        "content_version": each.content_version,
        "size": each.size,
        "modified_at_s": each.mtime_ns / _NS,
        "replaced_at_s": None if each.replaced_ns is None else each.replaced_ns / _NS,
    }


def _trashed(each: Trashed) -> dict[str, object]:
    return {
        "path": each.path,
        "item_id": each.item_id,
        "kind": each.kind,
        "size": each.size,
        "deleted_at_s": each.deleted_ns / _NS,
        "expires_at_s": each.expires_ns / _NS,
    }
