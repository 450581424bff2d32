"""Write locks of a WebDAV server that takes a file away for a moment while another client replaces it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sync.remote import Conflict, Gone
from tests.engine.test_awkward_dav import client

if TYPE_CHECKING:
    import trio.testing


@pytest.fixture(autouse=True)
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    """Pauses between attempts take no time."""
    return autojump_clock


@pytest.mark.parametrize("back_before", ["PROPFIND", "DELETE"])
async def test_what_is_replaced_while_it_is_locked_is_not_taken_away(back_before: str) -> None:
    """A server that replaces a file by removing it first: the lock makes an empty one in between."""
    mine = await client()
    item = await mine.put("f", b"one", "1")
    left = ["LOCK", back_before]

    def replace(method: str, names: tuple[str, ...]) -> None:
        if not left or (method, names) != (left[0], ("f",)):
            return
        if left.pop(0) == "LOCK":
            del mine.server.things["f",]
        else:
            mine.server.write("f", data=b"theirs")

    mine.server.before = replace
    with pytest.raises(Conflict):
        await mine.over(item, b"mine", "2")
    assert (left, mine.server.things["f",].data, mine.server.locks) == ([], b"theirs", {})


async def test_a_lock_on_what_is_gone_leaves_nothing_there() -> None:
    mine = await client()
    item = await mine.put("f", b"one", "1")
    del mine.server.things["f",]
    with pytest.raises(Gone):
        await mine.over(item, b"mine", "2")
    assert (("f",) in mine.server.things, mine.server.locks) == (False, {})
