"""`sync.archive.Archive` over our protocol: older contents, the trash, search.

Pages are followed until enough was told; a page may be empty, but the cursor has to move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from cache.model import Item, ItemId, Kind, Version
from sync.archive import ContentVersion, Trashed
from sync.remote import ProtocolViolation
from sync.remotes.anchor.sending import if_match, json_ask
from sync.remotes.anchor.times import ns_of_text
from sync.remotes.anchor.wire import Cursor, Size, Token, WireItem, item_of
from sync.remotes.asking import Ask, segment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sync.remotes.anchor.exchange import Exchange

PAGE = 1000
PAGES_MAX = 10_000  # a search passes over many names without finding one


class _Version(msgspec.Struct, frozen=True):
    content_version: Token
    size: Size
    modified_at: str
    replaced_at: str | None


class _Versions(msgspec.Struct, frozen=True):
    versions: list[_Version]
    cursor: Cursor | None


class _Trashed(msgspec.Struct, frozen=True):
    item_id: Token
    path: str
    kind: Kind
    size: Size
    deleted_at: str
    expires_at: str


class _Trash(msgspec.Struct, frozen=True):
    items: list[_Trashed]
    cursor: Cursor | None


class _Found(msgspec.Struct, frozen=True):
    items: list[WireItem]
    cursor: Cursor | None


class _Path(msgspec.Struct, frozen=True):
    path: str


_Page = TypeVar("_Page", _Versions, _Trash, _Found)
_Row = TypeVar("_Row")


class AnchorArchive:
    """The part of AnchorRemote that is `sync.archive.Archive`."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def versions(self, item_id: ItemId, limit: int) -> Sequence[ContentVersion]:
        """The contents that can still be had; Gone."""
        rows = await self._rows(
            f"items/{segment(item_id)}/versions", limit, _Versions, lambda page: page.versions, asked=item_id
        )
        return [
            ContentVersion(
                content_version=Version(row.content_version),
                size=row.size,
                mtime_ns=_ns(row.modified_at),
                replaced_ns=None if row.replaced_at is None else _ns(row.replaced_at),
            )
            for row in rows
        ]

    async def restore_version(self, item_id: ItemId, base: Version, wanted: Version, *, key: str) -> Item:
        """Under `content_version == base`; Conflict, VersionGone."""
        path, body = f"items/{segment(item_id)}:restoreVersion", {"content_version": wanted}
        ask = json_ask("POST", path, body, headers=if_match(base), key=key, asked=item_id)
        return await self._same(ask, item_id)

    async def trash(self, limit: int) -> Sequence[Trashed]:
        """The newest deletions first."""
        rows = await self._rows("trash", limit, _Trash, lambda page: page.items)
        return [
            Trashed(
                item_id=ItemId(row.item_id),
                path=row.path.strip("/"),
                kind=row.kind,
                size=row.size,
                deleted_ns=_ns(row.deleted_at),
                expires_ns=_ns(row.expires_at),
            )
            for row in rows
        ]

    async def restore(self, item_id: ItemId, *, key: str) -> Item:
        """To where it was; Conflict, Gone."""
        return await self._same(json_ask("POST", f"items/{segment(item_id)}:restore", {}, key=key), item_id)

    async def search(self, text: str, limit: int) -> Sequence[Item]:
        """By a part of the name."""
        rows = await self._rows("search", limit, _Found, lambda page: page.items, query=(("q", text),))
        return [item_of(row) for row in rows]

    async def path(self, item_id: ItemId) -> str:
        """Below the root; Gone."""
        ask = Ask(method="GET", path=f"items/{segment(item_id)}/path", asked=item_id)
        return (await self._exchange.answer(ask, _Path)).path.strip("/")

    async def _same(self, ask: Ask, item_id: ItemId) -> Item:
        item = item_of(await self._exchange.answer(ask, WireItem))
        if item.item_id != item_id:
            raise ProtocolViolation(f"{ask} was answered with another item")
        return item

    async def _rows(
        self,
        path: str,
        limit: int,
        shape: type[_Page],
        rows_of: Callable[[_Page], list[_Row]],
        *,
        query: Sequence[tuple[str, str]] = (),
        asked: ItemId | None = None,
    ) -> list[_Row]:
        rows: list[_Row] = []
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            asking = [*query, ("limit", str(min(limit - len(rows), PAGE)))]
            asking += [] if cursor is None else [("cursor", cursor)]
            page = await self._exchange.answer(Ask(method="GET", path=path, query=asking, asked=asked), shape)
            rows += rows_of(page)
            if page.cursor is None or len(rows) >= limit:
                return rows[:limit]
            if page.cursor == cursor:
                raise ProtocolViolation(f"{path} has more, but does not move")
            cursor = page.cursor
        raise ProtocolViolation(f"{path} has no end")


def _ns(text: str) -> int:
    try:
        return ns_of_text(text)
    except ValueError as error:
        raise ProtocolViolation(str(error)) from None
