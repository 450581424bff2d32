"""What is made of the kernel's news of the network."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from vfs import network

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

URL = "http://192.0.2.1:8420"


class Machine:
    """Its addresses towards the server, as the test says, and the reactions to them: whether the way had moved."""

    def __init__(self, kernel: socket.socket) -> None:
        self.addresses = frozenset({"10.0.0.1"})
        self.reactions: list[bool] = []
        self._kernel = kernel

    async def react(self, *, moved: bool) -> None:
        """Note it."""
        self.reactions.append(moved)

    async def tell(self, *addresses: str) -> None:
        """The kernel's news, in pieces, after which these are the addresses."""
        self.addresses = frozenset(addresses)
        for _ in range(3):
            self._kernel.send(b"news")
        await trio.testing.wait_all_tasks_blocked(network.QUIET_S * 2)


@pytest.fixture
async def machine(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Machine]:
    """Watched, and without a resolver's delay."""
    kernel, told = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    made = Machine(kernel)
    monkeypatch.setattr(network, "sources", lambda _targets: made.addresses)
    async with _watching(made, told):
        yield made
    kernel.close()


@asynccontextmanager
async def _watching(machine: Machine, told: socket.socket) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.watch_way, URL, machine.react, trio.socket.from_stdlib_socket(told))
        await trio.testing.wait_all_tasks_blocked(0.05)
        yield
        nursery.cancel_scope.cancel()


async def test_other_networks_concern_nobody(machine: Machine) -> None:
    await machine.tell("10.0.0.1")
    assert machine.reactions == []


async def test_a_way_that_is_lost_and_back_keeps_what_was_under_way(machine: Machine) -> None:
    await machine.tell()
    assert machine.reactions == [False]
    await machine.tell("10.0.0.1")
    assert machine.reactions == [False, False]


async def test_from_another_address_nothing_old_can_live(machine: Machine) -> None:
    await machine.tell("10.7.7.7")
    assert machine.reactions == [True]
    await machine.tell()
    await machine.tell("10.8.8.8")
    assert machine.reactions == [True, False, True]


async def test_a_further_address_ends_nothing(machine: Machine) -> None:
    await machine.tell("10.0.0.1", "2001:db8::1")
    assert machine.reactions == [False]


def test_the_source_of_a_real_route() -> None:
    assert network.sources([(socket.AF_INET, ("127.0.0.1", 9))]) == {"127.0.0.1"}
    assert network.sources([(socket.AF_INET, ("255.255.255.255", 9))]) == frozenset()
