"""Ending an item with all that is below it: children before their folder, so that no page of the feed leaves an orphan.

One transaction takes a bounded number. A folder that holds more is hollowed out first, from the bottom up, in
transactions of their own, between which others have their turn. A crash, or a change of mind of whoever moved it,
leaves a folder that holds less and is still missing; what comes back is revived under its id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from server_stub.store import Tx, View
    from server_stub.values import Item

AT_ONCE_MAX: Final = 1_000  # items of one transaction: about a tenth of a second
_ROWS_AT_ONCE: Final = 200  # of each folder on the way down


def bury(tx: Tx, row: Item, now_ns: int) -> int:
    """The item and what is below it, which `hollow` has made few; how many they were."""
    order = [row]
    for folder in order:
        if folder.is_folder:
            order.extend(tx.children(folder.item_id))
    for each in reversed(order):
        tx.bury(each, deleted_ns=now_ns)
    tx.found_again(each.item_id for each in order)
    return len(order)


def hollow(tx: Tx, folder: Item, *, moving: Collection[str], left: Collection[str], now_ns: int) -> int:
    """Bury some of what is below a folder that holds much, and nothing of one that holds little; how many they were.
    What is moving away stays with all below it, and so does what it has `left`, the folders above it.
    """
    if tx.items_below(folder.item_id, AT_ONCE_MAX + 1) <= AT_ONCE_MAX:
        return 0
    buried: list[str] = []
    for item in _bottom_up(tx, folder, moving):
        if item.item_id not in left:
            tx.bury(item, deleted_ns=now_ns)
            buried.append(item.item_id)
        if len(buried) >= AT_ONCE_MAX:
            break
    tx.found_again(buried)
    return len(buried)


def _bottom_up(view: View, top: Item, moving: Collection[str]) -> Iterator[Item]:
    """What is below the top, entries before their folder; it may be buried as it comes."""
    pending = [(top, _entries(view, top))]
    while pending:
        folder, entries = pending[-1]
        entry = next(entries, None)
        if entry is None:
            pending.pop()
            if pending:
                yield folder
        elif entry.item_id in moving:
            continue
        elif entry.is_folder:
            pending.append((entry, _entries(view, entry)))
        else:
            yield entry


def _entries(view: View, folder: Item) -> Iterator[Item]:
    after = None
    while rows := view.children(folder.item_id, after=after, limit=_ROWS_AT_ONCE):
        yield from rows
        after = rows[-1].name
