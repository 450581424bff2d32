"""What every request to a fake goes through: being there, faults, and who may do what."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import trio
from msgspec.structs import replace as with_

from cache.model import ALL_CAPABILITIES, Capability, Item, ItemId
from sync.capabilities import EVERYTHING, Capabilities
from sync.remote import Conflict, Denied, NotSignedIn, Tombstone, Unreachable
from tests.fakes.faults import NO_FAULT, Fault

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Callable

    from tests.fakes.drive import FakeDrive

_T = TypeVar("_T")


class FakeReader:
    """An open download of `data[start:stop]`, cut short after `cut_after_bytes`."""

    def __init__(self, data: bytes, start: int, stop: int, *, piece_bytes: int, cut_after_bytes: int | None) -> None:
        self.start, self.stop, self.total = start, min(stop, len(data)), len(data)
        self._cut = cut_after_bytes is not None
        end = self.stop if cut_after_bytes is None else min(self.stop, start + cut_after_bytes)
        self._pieces = iter([data[at : min(at + piece_bytes, end)] for at in range(start, end, piece_bytes)])

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        piece = next(self._pieces, None)
        if piece is not None:
            return piece
        if self._cut:
            raise Unreachable("the download was cut")
        raise StopAsyncIteration


class FakeClient:
    """One machine's way to a drive. `adversary` is asked for a Fault when none was injected for a request;
    `page_order` tells each page of the feed in another order; `capabilities` may be taken away."""

    capabilities: Capabilities = EVERYTHING

    def __init__(
        self,
        drive: FakeDrive,
        *,
        permitted: frozenset[Capability] = ALL_CAPABILITIES,
        page: int = 1000,
        piece_bytes: int = 1 << 16,
        adversary: Callable[[str], Fault | None] | None = None,
        page_order: random.Random | None = None,
    ) -> None:
        self.drive, self.permitted, self.page = drive, permitted, page
        self.piece_bytes, self.adversary, self.page_order = piece_bytes, adversary, page_order
        self.requests: list[str] = []
        self.batches: list[list[ItemId]] = []
        self.signed_in = True
        self._online = True
        self._faults: list[Fault] = []

    # --- what a test does to it

    def inject(self, fault: Fault) -> Fault:
        """Queue a fault; the first that fits a request is used up by it."""
        self._faults.append(fault)
        return fault

    @property
    def online(self) -> bool:
        """Whether requests arrive; when not, each is Unreachable and hints are lost."""
        return self._online

    @online.setter
    def online(self, online: bool) -> None:
        self._online = online
        self.drive.pulse()

    def _fault(self, operation: str) -> Fault:
        for fault in self._faults:
            if fault.operation in {operation, "*"}:
                self._faults.remove(fault)
                return fault
        return (self.adversary and self.adversary(operation)) or NO_FAULT

    async def arrive(self, operation: str) -> Fault:
        """The request is at the server's door; its fault, if any, is chosen."""
        self.requests.append(operation)
        await trio.lowlevel.checkpoint()
        if not self._online:
            raise Unreachable("offline")
        fault = self._fault(operation)
        fault.reached.set()
        if fault.before is not None:
            raise fault.before
        if fault.gate is not None:
            await fault.gate.wait()
        if not self.signed_in:
            raise NotSignedIn
        return fault

    async def perform(self, operation: str, act: Callable[[], _T]) -> _T:
        """A whole request, of which `act` is the effect."""
        fault = await self.arrive(operation)
        return await self.apply(fault, act)

    async def apply(self, fault: Fault, act: Callable[[], _T]) -> _T:
        """The effect, and the answer's way back."""
        try:
            answer = act()
            if fault.twice:
                answer = act()
        except Conflict as refusal:
            refusal.current = None if refusal.current is None else self.seen(refusal.current)
            raise
        fault.applied.set()
        if fault.answer_gate is not None:
            await fault.answer_gate.wait()
        if fault.after is not None:
            raise fault.after
        return answer

    def need(self, *needed: Capability) -> None:
        """Denied, unless this client may."""
        if not self.permitted.issuperset(needed):
            raise Denied(", ".join(needed))

    def seen(self, item: Item) -> Item:
        """The item with what *this* client may do, and what the remote tells of it."""
        return with_(item, capabilities=self.permitted, digest=item.digest if self.capabilities.digests else None)

    def told(self, state: Item | Tombstone | None) -> Item | Tombstone | None:
        """`seen` for what may be gone."""
        return self.seen(state) if isinstance(state, Item) else state
