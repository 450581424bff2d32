"""One cloud drive in memory, with the protocol's semantics: conditions, atomic moves, idempotency keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from msgspec.structs import replace as with_

from cache.model import NAME_MAX_BYTES, Item, ItemId, Kind, Version, XattrChanges
from sync.remote import Conflict, Denied, NameRefused, Permanent, QuotaFull, Refused, Replaced
from tests.fakes.state import START_NS, DriveState, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes.sessions import FakeSession

_T = TypeVar("_T")


class FakeDrive(DriveState):
    """A drive that several FakeRemotes, its clients, may share."""

    def __init__(
        self, *, now_ns: Callable[[], int] = lambda: START_NS, retain: bool = True, total_bytes: int = 1 << 40
    ) -> None:
        super().__init__(now_ns=now_ns, retain=retain, total_bytes=total_bytes)
        self._answers: dict[str, tuple[object, object]] = {}
        self.sessions: dict[str, FakeSession] = {}

    def once(self, key: str, request: object, act: Callable[[], _T]) -> _T:
        """`act` under an idempotency key: the first answer, a refusal included, is the answer for ever."""
        known = self._answers.get(key)
        if known is not None:
            if known[0] != request:
                raise Refused(code="idempotency_key_reused")
            if isinstance(known[1], Permanent):
                raise known[1]
            return cast("_T", known[1])  # the same request stored it
        try:
            answer = act()
        except Permanent as refusal:
            self._answers[key] = (request, refusal)
            raise
        self._answers[key] = (request, answer)
        return answer

    def create(
        self,
        parent: ItemId,
        name: str,
        kind: Kind,
        *,
        mode: int,
        mtime_ns: int,
        data: bytes = b"",
        target: str | None = None,
        taken_code: str = "name_taken",
    ) -> Item:
        """A new item; Conflict with what holds the name."""
        self.folder(parent)
        _check_name(name)
        taken = self.child(parent, name)
        if taken is not None:
            raise Conflict(current=taken, code=taken_code)
        self._reserve(len(data))
        return self.new(parent, name, kind, mode=mode, mtime_ns=mtime_ns, data=data, target=target)

    def overwrite(self, item_id: ItemId, base: Version, data: bytes, *, mode: int, mtime_ns: int) -> Item:
        """New content under content_version == base."""
        item = self.item(item_id)
        if item.kind is not Kind.FILE:
            raise Conflict(current=item, code="is_a_folder")
        if item.content_version != base:
            raise Conflict(current=item, code="precondition_failed")
        self._reserve(len(data) - item.size)
        if not self.retain:
            self.bodies.pop((item_id, base), None)
        version = Version(f"c{self.count()}")
        self.bodies[item_id, version] = data
        return self.store(
            with_(
                item,
                size=len(data),
                content_version=version,
                digest=digest_of(data),
                mode=mode,
                mtime_ns=mtime_ns,
            )
        )

    def move(self, item_id: ItemId, base: Version, parent: ItemId, name: str, replaced: Replaced | None) -> Item:
        """Move and rename in one step, under metadata_version == base."""
        item = self._at_base(item_id, base)
        self.folder(parent)
        _check_name(name)
        if item.parent_id is None or self._is_below(parent, item_id):
            raise Conflict(current=item, code="would_cycle")
        taken = self.child(parent, name)
        if taken is not None and taken.item_id != item_id:
            self._replace(item, taken, replaced)
        elif replaced is not None:
            raise Conflict(current=taken, code="precondition_failed")
        del self.names[item.parent_id][self.fold(item.name)]
        self.names[parent][self.fold(name)] = item_id
        return self.store(with_(item, parent_id=parent, name=name))

    def set_attributes(self, item_id: ItemId, base: Version, *, mode: int, mtime_ns: int) -> Item:
        """Mode and times under metadata_version == base."""
        return self.store(with_(self._at_base(item_id, base), mode=mode, mtime_ns=mtime_ns))

    def set_xattrs(self, item_id: ItemId, base: Version, changes: XattrChanges) -> Item:
        """These extended attributes under metadata_version == base."""
        item = self._at_base(item_id, base)
        merged = dict(item.xattrs or ()) | dict(changes)
        return self.store(with_(item, xattrs=tuple(sorted((n, v) for n, v in merged.items() if v is not None))))

    def remove(self, item_id: ItemId, base: Version) -> None:
        """To the trash, under metadata_version == base; only an empty folder."""
        item = self._at_base(item_id, base)
        if item.parent_id is None:
            raise Denied("the root stays")
        if self.names.get(item_id):
            raise Conflict(current=item, code="not_empty")
        self.bury(item)

    def _at_base(self, item_id: ItemId, base: Version) -> Item:
        item = self.item(item_id)
        if item.metadata_version != base:
            raise Conflict(current=item, code="precondition_failed")
        return item

    def _replace(self, item: Item, taken: Item, replaced: Replaced | None) -> None:
        """Make room for `item` where `taken` stands, if that is what the client says it has seen there."""
        if replaced is None:
            raise Conflict(current=taken, code="name_taken")
        if replaced.item_id != taken.item_id or replaced.content_version != taken.content_version:
            raise Conflict(current=taken, code="precondition_failed")
        if taken.kind is Kind.FOLDER and item.kind is not Kind.FOLDER:
            raise Conflict(current=taken, code="is_a_folder")
        if item.kind is Kind.FOLDER and taken.kind is not Kind.FOLDER:
            raise Conflict(current=taken, code="not_a_folder")
        if self.names.get(taken.item_id):
            raise Conflict(current=taken, code="not_empty")
        self.bury(taken)

    def _is_below(self, folder: ItemId, ancestor: ItemId) -> bool:
        at: ItemId | None = folder
        while at is not None and at != ancestor:
            at = self.items[at].parent_id
        return at is not None

    def _reserve(self, more_bytes: int) -> None:
        if self.used_bytes() + more_bytes > self.total_bytes:
            raise QuotaFull


def _check_name(name: str) -> None:
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise NameRefused("not a name of one entry")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise NameRefused("a name that is no UTF-8 text") from None
    if size > NAME_MAX_BYTES:
        raise NameRefused("longer than 255 bytes")
