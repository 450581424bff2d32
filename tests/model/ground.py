"""What the whole of a wide history stands on: another kind of server, or files that are fetched in small pieces."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cache.evict
import sync.downloads
import sync.hydrator
import sync.readahead
from cache.model import Kind
from sync.capabilities import EVERYTHING
from sync.choices import Policy
from sync.remote import VersionGone
from tests.fakes.drive import FakeDrive

if TYPE_CHECKING:
    import random
    from types import ModuleType

    from cache.model import Item, ItemId, Version
    from tests.model.machine import Machine

PIECES: dict[tuple[ModuleType, str], object] = {  # what is done with films is done with some bytes
    (sync.hydrator, "BLOCK_BYTES"): 2,
    (sync.readahead, "BLOCK_BYTES"): 2,
    (sync.readahead, "WINDOW_MIN_BYTES"): 2,
    (sync.readahead, "WINDOW_MAX_BYTES"): 4,
    (sync.readahead, "SLACK_BYTES"): 2,
    (sync.hydrator, "NEAR_BYTES"): 2,
    (sync.hydrator, "NEAR_RANDOM_BYTES"): 1,
    (sync.hydrator, "KEEP_GOING_BYTES"): 0,
    (sync.hydrator, "SMALL_BYTES"): 1,
    (sync.downloads, "SMALL_BYTES"): 1,
    (cache.evict, "LARGE_BYTES"): 4,
    (cache.evict, "GRAIN_BYTES"): 2,
}
NAMES = ("a", "b", "c")
CLASHING = ("a", "b", "A")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The defaults are what every history stood on before there were wide ones."""

    pieces: bool = False  # nothing beyond what is read is fetched, in pieces of some bytes
    folds: bool = False  # the server holds names that differ in letter case to be one
    forgets: bool = False  # only current contents can be read there
    bare: bool = False  # contents and names are all that it keeps: no sessions, batches, digests
    wide: bool = False  # more can happen than before

    @property
    def names(self) -> tuple[str, ...]:
        """What things are called."""
        return CLASHING if self.folds else NAMES

    def prepare(self, machine: Machine) -> None:
        """A machine, before its first contact and after every start."""
        if self.pieces:
            machine.engine.hydrator.policy = Policy.PARTIAL
            machine.engine.prefetcher.enabled = False
            machine.remote.piece_bytes = 2
        if self.bare:
            machine.remote.capabilities = replace(EVERYTHING, features=frozenset(), digests=False)


NARROW = Ground()


def drawn_ground(chance: random.Random) -> Ground:
    """One of many; half of them are the usual one."""
    pieces, folds, forgets, bare = (chance.random() < share for share in (0.4, 0.15, 0.15, 0.15))
    return Ground(pieces=pieces, folds=folds, forgets=forgets, bare=bare, wide=True)


class WideDrive(FakeDrive):
    """A drive with a trash; with `forgets` replaced contents are its own matter only."""

    def __init__(self, ground: Ground) -> None:
        self.trash: dict[ItemId, Item] = {}
        self._forgets = ground.forgets
        super().__init__()
        if ground.folds:
            self.fold = str.casefold

    def content(self, item_id: ItemId, version: Version) -> bytes:
        """As of a drive without versions."""
        current = self.items.get(item_id)
        if self._forgets and current is not None and current.content_version != version:
            raise VersionGone(current=current)
        return super().content(item_id, version)

    def bury(self, item: Item) -> None:
        """To the trash."""
        self.trash[item.item_id] = item
        super().bury(item)

    def undelete(self, item: Item) -> None:
        """Back to where it was, under its id, with what was deleted in it; nothing where that is not to be had."""
        folder = None if item.parent_id is None else self.items.get(item.parent_id)
        if folder is None or folder.kind is not Kind.FOLDER or item.item_id in self.items:
            return
        if self.child(folder.item_id, item.name) is not None:
            return
        self.tombstones.pop(item.item_id, None)
        self.names[folder.item_id][self.fold(item.name)] = item.item_id
        if item.kind is Kind.FOLDER:
            self.names[item.item_id] = {}
        self.store(item)
        for each in [each for each in self.trash.values() if each.parent_id == item.item_id]:
            self.undelete(each)
