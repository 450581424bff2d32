"""Whether something new at the server is something known that moved: ids are invented here, and should survive that.

What bears the server's own id is known by it. Else evidence counts: a file of the same tag, or of the same size and
time under its old name or in its old folder, whose old place is empty now; a folder that holds just what a known one
held, whose old place is empty. One candidate must be left, or it is new. An id that was given wrongly does no harm to
bytes: the content counts as the same only if its tag is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache.model import Kind
from sync.remote import Gone
from sync.remotes.dav.facts import opaque, same_content

if TYPE_CHECKING:
    from cache.model import ItemId
    from sync.remotes.dav.facts import Entry, Facts
    from sync.remotes.dav.looking import Looker
    from sync.remotes.dav.mirror import Mirror

CANDIDATES_MAX = 8  # more that look alike are not told apart
_ALIKE = """gone = 0 AND kind = 'file' AND size = ? AND (tag IN (?, ?)
    OR (server_mtime_ns = ? AND (name = ? OR parent_id = ?))) LIMIT 10"""


class Recogniser:
    """`missing` are the ids that a walk found gone from their places."""

    def __init__(self, mirror: Mirror, looker: Looker) -> None:
        self._mirror = mirror
        self._looker = looker

    async def known_as(
        self, parent_id: ItemId, name: str, told: Facts, missing: set[ItemId], present: set[str]
    ) -> Entry | None:
        """The row that this is, somewhere else; `present` are the names that the folder is known to hold still."""
        if told.native_id is not None:
            entry = self._mirror.native(told.native_id)
            return None if entry is None or entry.kind is not told.kind else entry
        found = [
            each
            for each in await self._candidates(parent_id, name, told)
            if not (each.parent_id == parent_id and each.name in present)
            and not self._mirror.is_below(parent_id, each.item_id)
        ]
        if not found or len(found) > CANDIDATES_MAX:
            return None
        left = [each for each in found if each.item_id in missing or await self._is_away(each)]
        return left[0] if len(left) == 1 else None

    async def _candidates(self, parent_id: ItemId, name: str, told: Facts) -> list[Entry]:
        if told.kind is Kind.FILE:
            alike = self._mirror.entries(_ALIKE, told.size, *_tags(told), told.mtime_ns, name, parent_id)
            return [each for each in alike if _evident(each, parent_id, name, told)]
        if not self._mirror.entries("gone = 0 AND kind = 'folder' AND parent_id IS NOT NULL AND listed = 1 LIMIT 1"):
            return []
        return await self._like_folders(parent_id, name)

    async def _like_folders(self, parent_id: ItemId, name: str) -> list[Entry]:
        """Known folders that held exactly what this one holds."""
        above = self._mirror.names(parent_id)
        if above is None:
            return []
        try:
            holds = (await self._looker.listing((*above, name))).children
        except Gone:
            return []
        sample = next(((each, told) for each, told in holds.items() if told.kind is Kind.FILE), None)
        if sample is None:
            return []
        child_name, child = sample
        alike = self._mirror.entries(
            "gone = 0 AND kind = 'file' AND size = ? AND name = ? LIMIT 50", child.size, child_name
        )
        folders = [self._mirror.get(each.parent_id) for each in alike if each.parent_id and same_content(each, child)]
        return [each for each in folders if each is not None and each.parent_id and self._held(each, holds)]

    def _held(self, folder: Entry, holds: dict[str, Facts]) -> bool:
        known = {each.name: each for each in self._mirror.children(folder.item_id)}
        return known.keys() == holds.keys() and all(
            known[name].kind is told.kind and known[name].size == told.size for name, told in holds.items()
        )

    async def _is_away(self, entry: Entry) -> bool:
        names = self._mirror.names(entry.item_id)
        return names is not None and await self._looker.look(names, folder=entry.kind is Kind.FOLDER) is None


def _tags(told: Facts) -> tuple[str | None, str | None]:
    """How a row may bear the tag."""
    plain = opaque(told.tag)
    return plain, None if plain is None else f"W/{plain}"


def _evident(entry: Entry, parent_id: ItemId, name: str, told: Facts) -> bool:
    if entry.tag is not None and told.tag is not None and opaque(entry.tag) == opaque(told.tag):
        return True
    near = entry.name == name or entry.parent_id == parent_id
    return near and told.size > 0 and entry.server_mtime_ns == told.mtime_ns != 0
