"""Two things at once on one machine, in an order that is chosen: one is held on the wire while the other goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from sync.remote import RemoteError
from tests.fakes.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.model.machine import Machine


async def overlapped(
    machine: Machine, held: Callable[[], Awaitable[object]], beside: Callable[[], Awaitable[object]],
    *, late: bool, dies: bool,
) -> None:  # fmt: skip
    """`held` up to its first request (`late`: its answer), then `beside`, then the rest, unless the machine `dies`."""
    gate, done = trio.Event(), trio.Event()
    fault = machine.remote.inject(Fault(answer_gate=gate) if late else Fault(gate=gate))

    async def whole(act: Callable[[], Awaitable[object]], event: trio.Event) -> None:
        try:
            await act()
        except RemoteError:
            assert not machine.remote.online
        event.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(whole, held, trio.Event())
        with trio.move_on_after(1):
            await (fault.applied if late else fault.reached).wait()
        if fault in machine.remote._faults:
            machine.remote._faults.remove(fault)  # no request was made
        nursery.start_soon(whole, beside, done)
        with trio.move_on_after(20) as waiting:  # it may itself wait for what is held
            await done.wait()
        machine.interleaved = waiting.cancelled_caught
        if dies:
            nursery.cancel_scope.cancel()
        gate.set()
    machine.interleaved = False
