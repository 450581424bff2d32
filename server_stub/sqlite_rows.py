"""Rows of the SQLite index as values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from server_stub.values import Departure, Evidence, Item, Kind, Reason, Tombstone, Trace

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = tuple[Any, ...]  # what sqlite3 hands out; the schema is STRICT

SELECT_ITEM: Final = (
    "SELECT item_id, parent_id, name, kind, size, mode, created_ns, modified_ns, metadata_version, "
    "content_version, digest, symlink_target, seq, disk_ino, disk_mtime_ns, disk_ctime_ns, disk_size, disk_birth_ns, "
    "disk_marked, disk_listed, xattrs FROM items "
)
SELECT_TOMBSTONE: Final = "SELECT item, deleted_ns, reason, seq, lineage FROM tombstones"
SELECT_DEPARTURE: Final = "SELECT seq, item_id, kind, parent_id, lineage, target_lineage, left_ns FROM departures "
_decode_xattrs: Final = msgspec.json.Decoder(dict[str, bytes]).decode
_SEPARATOR: Final = "/"  # between ids of a lineage; no id holds it


def item_of(row: Row) -> Item:
    """A row of the items table, its columns in the order of the schema, as an Item."""
    (
        item_id,
        parent_id,
        name,
        kind,
        size,
        mode,
        created,
        modified,
        metadata,
        content,
        digest,
        target,
        seq,
    ) = row[:13]
    ino, mtime_ns, ctime_ns, disk_size, birth_ns, marked, listed, xattrs = row[13:]
    evidence = None
    if ino is not None:
        evidence = Evidence(ino=ino, mtime_ns=mtime_ns, ctime_ns=ctime_ns, size=disk_size)
    return Item(
        item_id=item_id,
        parent_id=parent_id,
        name=name,
        kind=Kind(kind),
        size=size,
        mode=mode,
        created_ns=created,
        modified_ns=modified,
        metadata_version=metadata,
        content_version=content,
        digest=digest,
        symlink_target=target,
        seq=seq,
        evidence=evidence,
        trace=Trace(birth_ns=birth_ns, marked=bool(marked), listed=bool(listed)),
        xattrs={} if xattrs is None else _decode_xattrs(xattrs),
    )


def tombstone_of(row: Row) -> Tombstone:
    """A row of the tombstones table as a Tombstone."""
    body, deleted_ns, reason, seq, lineage = row
    item = msgspec.json.decode(body, type=Item)
    return Tombstone(
        item=item, deleted_ns=deleted_ns, reason=Reason(reason), seq=seq, lineage=tuple(lineage.split(_SEPARATOR))
    )


def departure_of(row: Row) -> Departure:
    """A row of the departures table as a Departure."""
    seq, item_id, kind, parent_id, lineage, target_lineage, left_ns = row
    return Departure(
        seq=seq,
        item_id=item_id,
        kind=Kind(kind),
        parent_id=parent_id,
        lineage=tuple(lineage.split(_SEPARATOR)),
        target_lineage=tuple(target_lineage.split(_SEPARATOR)),
        left_ns=left_ns,
    )


def lineage_text(item_ids: Sequence[str]) -> str:
    """A lineage as it is stored."""
    return _SEPARATOR.join(item_ids)
