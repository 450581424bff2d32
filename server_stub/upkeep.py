"""Work that is never urgent: forgetting what is past its retention, and digests of content that others brought.

Each step is small, so that it waits for requests and not they for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from server_stub.instants import NANOS
from server_stub.values import Evidence, Item

if TYPE_CHECKING:
    from server_stub.service import Service
    from server_stub.store import Ledger, View

log = logging.getLogger(__name__)

_FORGET_EVERY_S: Final = 3_600.0
_EXPIRE_EVERY_S: Final = 300.0
_BATCH: Final = 256
_FLOOR_STEP: Final = 20_000  # sequence numbers in one transaction, so that the writer is never held for long
_HASH_STEP_BYTES: Final = 1 << 20  # 1 to 2 ms
_ASKED_OF_LATE_S: Final = 0.1
_GIVE_WAY_S: Final = 0.01  # then a tenth of a core hashes


async def forget_for_ever(service: Service) -> None:
    """Retention, now and every hour."""
    while True:
        await forget(service)
        await asyncio.sleep(_FORGET_EVERY_S)


async def forget(service: Service) -> None:
    """Drop older contents, answers and tombstones that are past their time; rows first, then files."""
    settings = service.settings
    before_ns = time.time_ns() - settings.retention_s * NANOS

    def drop_rows(ledger: Ledger) -> list[str]:
        surplus = ledger.kept_surplus(before_ns=before_ns, max_bytes=settings.kept_max_bytes, limit=_BATCH)
        with ledger.transaction() as tx:
            tx.forget_kept(surplus)
            tx.forget_before(before_ns)
            tx.forget_activity(before_ns=before_ns, max_rows=settings.activity_max)
        return surplus

    await lift_floor(service, before_ns)
    while await service.store.write(partial(_empty_trash, before_ns)):
        continue
    while surplus := await service.store.write(drop_rows):
        for content_version in surplus:
            await asyncio.to_thread(service.blobs.drop_kept, content_version)
        if len(surplus) < _BATCH:
            return


def _empty_trash(before_ns: int, ledger: Ledger) -> int:
    """Drop what is past its time from the trash, a batch at a time; returns how many went."""
    past = ledger.trash_past(before_ns, _BATCH)
    if past:
        with ledger.transaction() as tx:
            tx.drop_trash(past)
    return len(past)


async def lift_floor(service: Service, before_ns: int) -> None:
    """Expire anchors that only tombstones and departures past their time or their count could serve."""
    max_rows = service.settings.feed_max_rows
    target = await service.read(lambda view: view.feed_surplus(before_ns=before_ns, max_rows=max_rows))
    floor = await service.read(lambda view: view.floor_seq())
    while floor < target:
        floor = min(target, floor + _FLOOR_STEP)
        await service.store.write(partial(_lift, floor))


def _lift(floor: int, ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        tx.lift_floor(floor)


async def expire_for_ever(service: Service) -> None:
    """Uploads past their time, often enough that none outlives it by much."""
    while True:
        try:
            while await service.uploads.expire():
                continue
        except OSError as error:
            log.warning("uploads past their time wait: %s", error)
        await asyncio.sleep(min(_EXPIRE_EVERY_S, service.settings.upload_ttl_s / 4))


async def digest_for_ever(service: Service) -> None:
    """Missing digests, now and after every scan's time."""
    while not service.notifier.closed:
        await digest_all(service)
        await asyncio.sleep(service.settings.scan_interval_s or 60.0)


async def digest_all(service: Service) -> int:
    """Compute every missing digest; returns how many were. A file that changes meanwhile is left for later."""
    after, done = "", 0
    while batch := await service.store.read(partial(_with_names, after)):
        found = {}
        for item, names in batch:
            digest = await asyncio.to_thread(_digest, service, item, names)
            if digest is not None:
                found[item.item_id, item.content_version or ""] = digest
        await service.store.write(partial(_note, found))
        done += len(found)
        after = batch[-1][0].item_id
    return done


def _with_names(after: str, view: View) -> list[tuple[Item, tuple[str, ...]]]:
    items = view.undigested(after, _BATCH)
    return [(item, tuple(name for _, name in view.lineage(item.item_id)[1:])) for item in items]


def _digest(service: Service, item: Item, names: tuple[str, ...]) -> str | None:
    """The SHA-256 when the file was what the row says before and after; None otherwise."""
    try:
        fd = service.blobs.open_current(names)
    except OSError:
        return None
    try:
        if Evidence.of(os.fstat(fd)) != item.evidence:
            return None
        digest = hashlib.sha256()
        while chunk := os.read(fd, _HASH_STEP_BYTES):
            digest.update(chunk)
            if time.monotonic() - service.asked_s < _ASKED_OF_LATE_S:  # who asks goes first
                time.sleep(_GIVE_WAY_S)
            if service.notifier.closed:  # the server stops; it does not wait for a large file
                return None
        return digest.hexdigest() if Evidence.of(os.fstat(fd)) == item.evidence else None
    except OSError:
        return None
    finally:
        os.close(fd)


def _note(found: dict[tuple[str, str], str], ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        for (item_id, content_version), digest in found.items():
            tx.note_digest(item_id, content_version, digest)
