"""What systemd is told, and what follows a sleep."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio

from tests.harness.waiting import DEADLINE_S
from vfs.supervision import LOOK_INTERVAL_S, ServiceManager, watch_sleep

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trio.testing import MockClock

_MORE_THAN_WAIT = 2_000  # datagrams in a socket that nobody reads: 10, or as many hundreds as a distribution allows


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """A listening manager, and the environment that it gives."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening, {"NOTIFY_SOCKET": str(tmp_path / "notify")}


def test_facts_are_told_in_one_datagram(manager: tuple[socket.socket, dict[str, str]]) -> None:
    listening, environment = manager
    ServiceManager(environment).tell("READY=1", "STATUS=x")
    assert listening.recv(4096) == b"READY=1\nSTATUS=x"


def test_an_abstract_socket_is_one_too() -> None:
    name = f"anchorfs-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).tell("READY=1")
        assert listening.recv(4096) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "vsock:1:2"])
def test_nobody_who_listens_is_no_failure(address: str) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": address})
    manager.tell("READY=1")
    assert manager.watchdog_s is None


def test_a_manager_that_takes_nothing_in_holds_up_nobody(manager: tuple[socket.socket, dict[str, str]]) -> None:
    """The loop that serves the kernel is who tells it."""
    _, environment = manager
    service = ServiceManager(environment)
    full = threading.Thread(target=lambda: [service.tell("WATCHDOG=1") for _ in range(_MORE_THAN_WAIT)], daemon=True)
    full.start()
    full.join(DEADLINE_S)
    assert not full.is_alive()


def fill(address: str) -> None:
    """Leave no room in a manager's socket; each sender has room of its own for what waits."""
    with suppress(BlockingIOError):
        while True:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto(b"STATUS=others", address)


def test_what_the_manager_had_no_room_for_is_told_with_what_comes_next(
    manager: tuple[socket.socket, dict[str, str]],
) -> None:
    """A unit of Type=notify that never hears that it is ready is ended."""
    listening, environment = manager
    service = ServiceManager(environment)
    fill(environment["NOTIFY_SOCKET"])
    for facts in (["READY=1", "STATUS=x"], ["WATCHDOG=1"], ["WATCHDOG=1"]):
        service.tell(*facts)
    with suppress(BlockingIOError):
        while listening.recv(4096):
            pass
    service.tell("STATUS=y")
    assert set(listening.recv(4096).split(b"\n")) == {b"READY=1", b"STATUS=y", b"WATCHDOG=1"}
    service.tell("WATCHDOG=1")
    assert listening.recv(4096) == b"WATCHDOG=1"


async def test_the_watchdog_hears_us_twice_as_often_as_it_asks(
    manager: tuple[socket.socket, dict[str, str]],
    autojump_clock: MockClock,  # noqa: ARG001
) -> None:
    listening, environment = manager
    service = ServiceManager(environment | {"WATCHDOG_USEC": "60000000"})
    with trio.move_on_after(100):
        await service.keep_alive()
    assert [listening.recv(4096) for _ in range(4)] == [b"WATCHDOG=1"] * 4
    with pytest.raises(BlockingIOError):
        listening.recv(4096)


def test_a_watchdog_of_another_process_is_not_ours() -> None:
    assert ServiceManager({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).watchdog_s is None
    assert ServiceManager({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())}).watchdog_s == 1.0


async def test_after_a_sleep_the_server_is_asked_once(autojump_clock: MockClock) -> None:  # noqa: ARG001
    woken: list[float] = []
    slept = iter([0.0, 0.1, 3600.0, 3600.0, 3600.5])
    with trio.move_on_after(LOOK_INTERVAL_S * 4.5):
        await watch_sleep(lambda: woken.append(trio.current_time()), lambda: next(slept))
    assert len(woken) == 1
