"""`sync.archive.Archive` of a Nextcloud: the trash, older contents, search; and what the trash is to deleted folders.

An older content's token is `old.` and the time that names it there. How long the trash keeps is the administrator's
choice and not told; thirty days is what a server does unless told otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from cache.model import Item, ItemId, Kind, Version
from sync.archive import ContentVersion, Trashed
from sync.remote import Conflict, Gone, ProtocolViolation, VersionGone
from sync.remotes.asking import Ask
from sync.remotes.nextcloud.asks import look, with_name
from sync.remotes.nextcloud.entries import DAV, NC, OC
from sync.remotes.nextcloud.rows import item_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sync.remotes.dav.multistatus import Told
    from sync.remotes.nextcloud.places import Places
    from sync.remotes.nextcloud.rows import Entry

_NS = 10**9
KEPT_S = 30 * 86_400
MOVED = frozenset({201, 204})
TRASH_PROPERTIES = (
    f"{DAV}resourcetype", f"{DAV}getcontentlength", f"{OC}fileid", f"{NC}trashbin-original-location",
    f"{NC}trashbin-deletion-time",
)  # fmt: skip
VERSION_PROPERTIES = (f"{DAV}getcontentlength", f"{DAV}getlastmodified")
AGO_S = 3  # a deletion's name in the trash tells its second, which may lie this much before the answer's


class NextcloudArchive:
    """The requests of a person, and two of the adapter itself: `swept` and `bring_back`."""

    def __init__(self, reach: Callable[[], Awaitable[Places]]) -> None:
        self._reach = reach

    # --- older contents

    async def versions(self, item_id: ItemId, limit: int) -> Sequence[ContentVersion]:
        """The contents that can still be had, the current one first; Gone."""
        places = await self._reach()
        entry = await places.need(item_id)
        assert entry.version is not None or entry.kind is Kind.FOLDER  # noqa: S101 - files have one
        path = places.dav_path("versions", places.user_id, "versions", item_id)
        told, _ = await places.exchange.looked(look(path, VERSION_PROPERTIES, depth=1, asked=item_id))
        rows = [row for row in told.responses if row.text(f"{DAV}getcontentlength") is not None]  # not the folder
        older = sorted(
            (
                (second, row)
                for row in rows
                if (second := _second(_name(row))) is not None and not _is(row, second, entry)
            ),
            key=lambda each: -each[0],
        )
        current = ContentVersion(
            content_version=entry.version or Version(""),
            size=entry.size,
            mtime_ns=entry.mtime_s * _NS,
            replaced_ns=None,
        )
        replaced = [entry.upload_s or entry.mtime_s, *(second for second, _ in older)]
        return [current, *(_old(second, row, at) for (second, row), at in zip(older, replaced, strict=False))][:limit]

    async def restore_version(self, item_id: ItemId, base: Version, wanted: Version, *, key: str) -> Item:  # noqa: ARG002
        """Under `content_version == base`; Conflict, VersionGone."""
        places = await self._reach()
        entry = await places.need(item_id)
        if entry.version != base:
            raise Conflict("another content than the one that was seen", current=item_of(entry))
        second = wanted.removeprefix("old.")
        if second == wanted or not second.isdecimal():
            raise VersionGone("no such older content", current=item_of(entry))
        source = places.dav_path("versions", places.user_id, "versions", item_id, second)
        target = places.dav_path("versions", places.user_id, "restore", "target")
        try:
            await self._move(source, target)
        except Gone:
            raise VersionGone("the server keeps that content no more", current=item_of(entry)) from None
        return item_of(await places.need(item_id))

    # --- the trash

    async def trash(self, limit: int) -> Sequence[Trashed]:
        """The newest deletions first."""
        rows = [row for row in await self._trash() if row.text(f"{OC}fileid")]
        found = sorted((_trashed(row) for row in rows), key=lambda each: -each.deleted_ns)
        return found[:limit]

    async def restore(self, item_id: ItemId, *, key: str) -> Item:  # noqa: ARG002
        """Bring what was deleted back to where it was; Conflict (a taken name, no folder), Gone."""
        places = await self._reach()
        row = next((row for row in await self._trash() if row.text(f"{OC}fileid") == item_id), None)
        if row is None:
            now = await places.need(item_id)
            raise Conflict("it is not in the trash", current=item_of(now))
        location = _trashed(row).path
        there = await places.at(location)
        if there is not None:
            raise Conflict("the name is taken", current=item_of(there), code="name_taken")
        if await places.at(location.rpartition("/")[0]) is None:
            raise Conflict("the folder that it was in is gone", code="not_a_folder")
        await self._restored(row)
        return item_of(await places.need(item_id))

    async def swept(self, folder: ItemId, name: str) -> bool:
        """Whether the deletion of a folder, a moment ago, took something with it."""
        places = await self._reach()
        row = await self._just_trashed(folder, name)
        if row is None:
            return False
        told, _ = await places.exchange.looked(look(_path(row), TRASH_PROPERTIES, depth=1))
        return len(told.responses) > 1

    async def bring_back(self, folder: ItemId, name: str) -> None:
        """Out of the trash again."""
        row = await self._just_trashed(folder, name)
        if row is not None:
            await self._restored(row)

    async def _just_trashed(self, item_id: ItemId, name: str) -> Told | None:
        places = await self._reach()
        if not places.has_trash:
            return None
        for second in range(places.clock_s, places.clock_s - AGO_S, -1):
            path = places.dav_path("trashbin", places.user_id, "trash", f"{name}.d{second}")
            try:
                told, _ = await places.exchange.looked(look(path, TRASH_PROPERTIES, depth=0))
            except Gone:
                continue
            if told.responses and told.responses[0].text(f"{OC}fileid") == item_id:
                return told.responses[0]
        return next((row for row in await self._trash() if row.text(f"{OC}fileid") == item_id), None)

    async def _trash(self) -> list[Told]:
        places = await self._reach()
        path = places.dav_path("trashbin", places.user_id, "trash")
        told, _ = await places.exchange.looked(look(path, TRASH_PROPERTIES, depth=1))
        return list(told.responses)

    async def _restored(self, row: Told) -> None:
        places = await self._reach()
        target = places.dav_path("trashbin", places.user_id, "restore", _name(row))
        await self._move(_path(row), target)

    # --- search

    async def search(self, text: str, limit: int) -> Sequence[Item]:
        """By a part of the name."""
        places = await self._reach()
        wanted = text.casefold()
        found = await places.search(with_name(text), limit)
        return [item_of(entry) for entry in found if wanted in entry.name.casefold()]

    async def path(self, item_id: ItemId) -> str:
        """Below the root; Gone."""
        places = await self._reach()
        await places.need(item_id)
        return places.ledger.path(item_id) or ""

    async def _move(self, source: str, target: str) -> None:
        places = await self._reach()
        headers = {"destination": places.exchange.origin + target}
        await places.exchange.reply(Ask(method="MOVE", path=source, headers=headers, mutates=True, expect=MOVED))


def _path(row: Told) -> str:
    return urlsplit(row.href).path.rstrip("/")


def _name(row: Told) -> str:
    return unquote(_path(row).rpartition("/")[2])


def _second(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) <= 12 else None


def _number(text: str | None) -> int:
    if text is None or not text.isdecimal():
        raise ProtocolViolation("the trash tells no number where one has to be")
    return int(text)


def _is(row: Told, second: int, entry: Entry) -> bool:
    """The current content, which stands among its versions: a version is named by the second of its mtime, and two
    contents of one second have two sizes, by the mtimes that we send (`storing`)."""
    return (second, _number(row.text(f"{DAV}getcontentlength"))) == (entry.mtime_s, entry.size)


def _old(second: int, row: Told, replaced_s: int) -> ContentVersion:
    return ContentVersion(
        content_version=Version(f"old.{second}"),
        size=_number(row.text(f"{DAV}getcontentlength")),
        mtime_ns=second * _NS,
        replaced_ns=replaced_s * _NS,
    )


def _trashed(row: Told) -> Trashed:
    collection = row.properties.get(f"{DAV}resourcetype")
    is_folder = collection is not None and collection.has(f"{DAV}collection")
    deleted_s = _number(row.text(f"{NC}trashbin-deletion-time"))
    return Trashed(
        item_id=ItemId(row.text(f"{OC}fileid") or ""),
        path=(row.text(f"{NC}trashbin-original-location") or "").strip("/"),
        kind=Kind.FOLDER if is_folder else Kind.FILE,
        size=0 if is_folder else _number(row.text(f"{DAV}getcontentlength")),
        deleted_ns=deleted_s * _NS,
        expires_ns=(deleted_s + KEPT_S) * _NS,
    )
