"""How far anchors hold. Each start of the server begins an epoch, and the state remembers at which change.

An anchor names the epoch that its change was made in, and holds as far as that epoch went in this very state. So a
state that was put back to an older copy, and has gone on from there however far, refuses what was told of the changes
that it lost. Rows go when the feed does not reach back to them any more.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import msgspec

from server_stub.anchors import EPOCH_BYTES

if TYPE_CHECKING:
    from server_stub.store import Ledger

KEPT: Final = 1000  # starts; an anchor of before is expired
_NOTE: Final = "epochs"
_FIRST: Final = "epoch"  # of a state that had one for all its starts


class Epochs(msgspec.Struct, frozen=True):
    """Those of a state, oldest first: (hex, the newest change when it began)."""

    begun: tuple[tuple[str, int], ...] = ()

    def of(self, seq: int) -> bytes:
        """The one that a change was made in: its anchor is the same after each start."""
        made_in = (text for text, begun in reversed(self.begun) if begun < seq)
        return bytes.fromhex(next(made_in, self.begun[0][0]))

    def and_then(self, epoch: bytes, *, newest: int, floor: int) -> Epochs:
        """With another one that begins now; without those that ended before `floor`, where no anchor holds any more."""
        kept = [each for each, end in zip(self.begun, self._ends(newest), strict=True) if end >= floor]
        return Epochs((*kept, (epoch.hex(), newest))[-KEPT:])

    def reached(self, epoch: bytes, newest: int) -> int:
        """The newest change that an anchor of an epoch may name; -1 for an epoch that this state never had."""
        ends = zip(self.begun, self._ends(newest), strict=True)
        return next((end for (text, _), end in ends if text == epoch.hex()), -1)

    def lacks(self, epoch: bytes, seq: int, newest: int) -> bool:
        """Whether an anchor is of a change that this state does not have, so that it cannot be merely old: what it
        forgot of its epochs ended before the oldest that it knows."""
        end = self.reached(epoch, newest)
        return seq > (end if end >= 0 else self.begun[0][1])

    def _ends(self, newest: int) -> list[int]:
        return [*(seq for _, seq in self.begun[1:]), newest] if self.begun else []


def begin(ledger: Ledger) -> Epochs:
    """A start: nothing was told yet of what it changes."""
    with ledger.transaction() as tx:
        noted, first = tx.note(_NOTE), tx.note(_FIRST)
        known = Epochs() if first is None else Epochs(((first, 0),))
        if noted is not None:
            known = msgspec.json.decode(noted, type=Epochs)
        epochs = known.and_then(secrets.token_bytes(EPOCH_BYTES), newest=tx.newest_seq(), floor=tx.floor_seq())
        tx.set_note(_NOTE, msgspec.json.encode(epochs).decode())
    return epochs
