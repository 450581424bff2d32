"""A page of a folder's descendants: a line per item, and a last one that says where it stands.

Without the last line the page was cut, and nothing of it is taken.
"""

from __future__ import annotations

import msgspec

from cache.model import Anchor, Item, ItemId
from sync.batches import Descendants
from sync.remote import ProtocolViolation, Unreachable
from sync.remotes.anchor.wire import WireLine, item_of
from sync.remotes.asking import Ask, segment

_LINE = msgspec.json.Decoder(WireLine)


def descendants_ask(folder: ItemId, limit: int, cursor: str | None) -> Ask:
    """The request for at most `limit` items."""
    query = [("limit", str(limit))] + ([] if cursor is None else [("cursor", cursor)])
    return Ask(
        method="GET",
        path=f"items/{segment(folder)}/descendants",
        query=query,
        headers={"accept": "application/x-ndjson, application/problem+json"},
        asked=folder,
    )


def page_of(body: bytes, ask: Ask, folder: ItemId, limit: int) -> Descendants:
    """The whole answer; ProtocolViolation, Unreachable when it was cut."""
    *lines, rest = body.split(b"\n")
    items: list[Item] = []
    for at, line in enumerate(lines):
        told = _line(line, ask)
        if told.item is None:
            if told.anchor is None or rest or at != len(lines) - 1:
                raise ProtocolViolation(f"{ask}: a line that is neither an item nor the last one")
            return Descendants(
                items=items, anchor=Anchor(told.anchor), cursor=told.cursor, unchanged=told.unchanged
            )  # fmt: skip
        items.append(item_of(told.item))
        if items[-1].parent_id is None or items[-1].item_id == folder:
            raise ProtocolViolation(f"{ask}: an item that is not below the folder")
        if len(items) > limit:
            raise ProtocolViolation(f"{ask}: more items than were asked for")
    raise Unreachable(f"{ask}: the answer ended early")


def _line(line: bytes, ask: Ask) -> WireLine:
    try:
        return _LINE.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ProtocolViolation(f"{ask}: a malformed line: {error}") from None
