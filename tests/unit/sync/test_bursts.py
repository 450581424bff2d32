"""A burst of changes elsewhere is shown when it is told, not when the clock says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from cache import tree
from tests.engine.machine import body, file_of, flat, machine, until

if TYPE_CHECKING:
    from pathlib import Path


async def test_no_hint_is_lost_while_pages_are_taken_in(tmp_path: Path) -> None:
    """Changes keep coming while the puller asks, applies and begins to wait; the poll is beyond this test's end."""
    drive = flat(1)
    async with machine(tmp_path, drive) as here:
        folder = await here.ino("many")
        await here.entries(folder)
        parent = next(item.item_id for item in drive.children(drive.root_id))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.engine.puller.run)
            for number in range(1, 600):
                file_of(drive, parent, f"f{number:05}", body(number))
                for _ in range(number % 7):
                    await trio.lowlevel.checkpoint()
            reader = here.store.db.reader
            await until(lambda: len(list(tree.children(reader, folder))) == 600)
            nursery.cancel_scope.cancel()
        assert len(await here.entries(folder)) == 600
