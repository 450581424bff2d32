"""What changed: a walk from the root through the folders whose ETag is not the one they were listed under.

A change gives every folder above it a new ETag in the same request, and a moved folder keeps its own: so an unchanged
drive costs one request, a change one more per folder above it, and only folders that somebody listed are walked. A
folder that an earlier walk did not come to, or that another listing told as changed, is walked though nothing above it
is changed any more. What left a folder is searched for by its id before it is called gone, so no listing alone deletes
anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from cache.model import ItemId, Kind
from sync.remote import AnchorExpired, Conflict, Gone
from sync.remotes.nextcloud.entries import GRACE_S

if TYPE_CHECKING:
    from sync.remotes.nextcloud.places import Places
    from sync.remotes.nextcloud.rows import Entry

LISTED_AT_ONCE = 4


async def root_of(places: Places) -> Entry:
    """The root as it is now. When the server's data were put back to an older state, another epoch begins."""
    ledger = places.ledger
    root, fingerprint = await places.root()
    if ledger.fingerprint is None:
        await ledger.note_fingerprint(fingerprint)
    elif ledger.fingerprint != fingerprint:
        await ledger.begin_epoch(fingerprint)
    return root


def is_changed(folder: Entry) -> bool:
    """Whether something below a listed folder is not as it was listed."""
    return folder.kind is Kind.FOLDER and folder.listed_etag not in {None, folder.etag}


async def walk(places: Places) -> None:
    """Bring the ledger up to date; raises RemoteError, AnchorExpired."""
    epoch = places.ledger.epoch
    root = await root_of(places)
    if places.ledger.epoch != epoch:
        raise AnchorExpired("the server's data were restored from a backup", fresh=places.ledger.newest(), lost=True)
    level, listed = [root.item_id] if is_changed(root) else [], set[ItemId]()
    while level := level or [each for each in places.ledger.changed_folders() if each not in listed]:
        listed.update(level)
        level = [each for each in await _listed(places, level) if each not in listed]
    await _look_again(places)
    await _find_missing(places)
    await places.ledger.forget_oldest()


async def _listed(places: Places, folders: list[ItemId]) -> list[ItemId]:
    """List these; the changed folders in them are the next level."""
    limit, deeper = trio.CapacityLimiter(LISTED_AT_ONCE), list[ItemId]()
    failures: list[Exception] = []

    async def one(folder: ItemId) -> None:
        async with limit:
            try:
                children = await places.children(folder)
            except (Gone, Conflict):
                return  # it went away since its parent was listed; that folder is changed, and tells
            except Exception as error:  # noqa: BLE001 - raised below: as itself, not as a group
                failures.append(error)
                return
            deeper.extend(child.item_id for child in children if is_changed(child))

    async with trio.open_nursery() as nursery:
        for folder in folders:
            nursery.start_soon(one, folder)
    if failures:
        raise failures[0]
    return deeper


async def _look_again(places: Places) -> None:
    """Files that were written in the very second they were looked at."""
    due = [each.item_id for each in places.ledger.unsettled() if due_s(each) <= places.clock_s]
    if due:
        await places.by_ids(due)


def due_s(entry: Entry) -> int:
    """When, by the server's clock, an entry is settled."""
    return (entry.mtime_s if entry.upload_s is None else entry.upload_s) + GRACE_S + 1


async def _find_missing(places: Places) -> None:
    """Moved to where nobody looked, or gone; with a folder everything that was in it is asked for."""
    while missing := places.ledger.missing():
        with places.ledger.looking() as looking:
            found = await places.by_ids(missing)
            await places.ledger.bury([each for each in missing if each not in found], looking)
