"""Looks that take more than one turn of the writer: what holds much ends in steps, and what only the bytes can tell is
read off the writer's thread, then looked at again.

An answer about bytes is of one evidence; a file that was touched since is read again. One that is touched each time, or
cannot be read, is told as new content: who has the old one fetches it once too often, better than once too seldom.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from server_stub.external import contents
from server_stub.external.looking import Terms
from server_stub.external.outcomes import Outcomes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from server_stub.external.contents import Known
    from server_stub.external.doubts import Names
    from server_stub.external.looking import Certainty, Spot
    from server_stub.external.reconcile import Reconciler
    from server_stub.store import Ledger, Store, Tx, View
    from server_stub.values import Evidence, Item

_TRIES: Final = 3


class Settler:
    """Takes looks to their end."""

    def __init__(self, store: Store, reconciler: Reconciler) -> None:
        self._store = store
        self._reconciler = reconciler

    async def look(
        self, spots: Sequence[Spot], terms: Terms, then: Callable[[Tx, Outcomes], None] | None = None
    ) -> Outcomes:
        """As `Reconciler.look`, in as many transactions as it takes; `then` belongs to the last one, with the outcomes
        of all. What is `unread` is left so.
        """
        total = Outcomes()
        pending = list(spots)

        def take(ledger: Ledger) -> None:
            with ledger.transaction() as tx:
                outcomes = self._reconciler.look(tx, pending, terms)
                total.add(outcomes)
                if then is not None and not outcomes.unfinished:
                    then(tx, total)

        while True:
            await self._store.write(take)
            pending, total.unfinished = total.unfinished, []
            if not pending:
                return total

    async def read(self, spots: Mapping[Spot, Certainty], *, due: bool = False) -> Outcomes:
        """Read one file after the other, and look at its name again."""
        total = Outcomes()
        for spot, certainty in spots.items():
            total.add(await self._read_one(spot, Terms(certainty=certainty, due=due)))
        return total

    async def _read_one(self, spot: Spot, terms: Terms) -> Outcomes:
        for _ in range(_TRIES):
            outcomes = await self.look([spot], replace(terms, known=await self._bytes_of(spot)))
            if not outcomes.unread:
                return outcomes
        return await self.look([spot], replace(terms, known=_new))

    async def _bytes_of(self, spot: Spot) -> Known:
        names = await self._store.read(partial(_names_of, spot))
        told = await asyncio.to_thread(contents.read, self._reconciler.tree, names)

        def known(row: Item, now: Evidence) -> bool | None:
            return None if told is None or told[0] != now else told[1] == row.digest

        return known


def _names_of(spot: Spot, view: View) -> Names:
    folder_id, name = spot
    return (*(each for _, each in view.lineage(folder_id)[1:]), name)


def _new(_row: Item, _now: Evidence) -> bool:
    return False
