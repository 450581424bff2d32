"""How many rows of the outbox may be under way while programs work."""

from __future__ import annotations

import pytest
import trio

from cache.model import Ino
from sync.slots import BUSY_S, PARALLEL, PARALLEL_BUSY, PAUSE_S, PAUSED_MAX_S, Slots

pytestmark = pytest.mark.usefixtures("autojump_clock")


def _begun(slots: Slots) -> int:
    """How many begin now."""
    count = 0
    while not slots.all_taken():
        slots.take(Ino(count), large=False)
        count += 1
    for number in range(count):
        slots.release(Ino(number))
    return count


async def test_nothing_begins_right_after_a_change_a_few_soon_after_it_and_all_when_programs_are_quiet() -> None:
    slots = Slots()
    assert _begun(slots) == PARALLEL
    slots.changed()
    assert _begun(slots) == 0
    await trio.sleep(PAUSE_S + 0.001)
    assert _begun(slots) == PARALLEL_BUSY
    await trio.sleep(BUSY_S)
    assert _begun(slots) == PARALLEL


async def test_a_pause_tells_when_it_ends() -> None:
    slots = Slots()
    slots.changed()
    quiet_in_s = slots.quiet_in_s()
    assert quiet_in_s is not None
    await trio.sleep(quiet_in_s)
    assert _begun(slots) > 0


async def test_changes_without_end_hold_nothing_up_for_longer_than_a_second() -> None:
    slots = Slots()
    begun_at = trio.current_time()
    slots.changed()
    while _begun(slots) == 0:
        await trio.sleep(PAUSE_S / 4)
        slots.changed()
    assert trio.current_time() - begun_at == pytest.approx(PAUSED_MAX_S, abs=PAUSE_S)
    await trio.sleep(BUSY_S + PAUSE_S)
    slots.changed()  # a new burst is another one
    assert _begun(slots) == 0
