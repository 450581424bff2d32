"""The first request of a mount and its answer pass through unharmed, but for what is agreed beyond them."""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from tests.harness.waiting import DEADLINE_S
from vfs.handshake import HANDLE_KILLPRIV_V2, Handshake, agreed

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHERS = 0x0040_A029


def _offer(flags: int) -> bytes:
    return (
        struct.pack("=IIQQIIIHH", 104, 26, 2, 0, 0, 0, 1, 0, 0)
        + struct.pack("=IIII", 7, 45, 131_072, flags)
        + bytes(48)
    )


def _answer(flags: int, error: int = 0) -> bytes:
    return struct.pack("=IiQ", 80, error, 2) + struct.pack("=IIII", 7, 31, 131_072, flags) + bytes(48)


@pytest.fixture
def channel() -> Iterator[tuple[int, socket.socket]]:
    """What libfuse has open, and the kernel at its other end."""
    ours, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, kernel:
        kernel.settimeout(DEADLINE_S)
        yield ours.fileno(), kernel


@pytest.mark.parametrize(
    ("offered", "expected"), [(OTHERS, OTHERS), (OTHERS | HANDLE_KILLPRIV_V2, OTHERS | HANDLE_KILLPRIV_V2)]
)
def test_what_is_offered_is_agreed_to(offered: int, expected: int) -> None:
    assert agreed(_answer(OTHERS), offered) == _answer(expected)


def test_a_refusal_stays_one() -> None:
    assert agreed(_answer(0, -71), HANDLE_KILLPRIV_V2) == _answer(0, -71)


async def test_both_ends_hear_each_other_and_then_have_the_channel_to_themselves(
    channel: tuple[int, socket.socket],
) -> None:
    fd, kernel = channel
    kernel.send(_offer(OTHERS | HANDLE_KILLPRIV_V2))
    handshake = Handshake(fd)
    await handshake.begin()
    assert os.read(fd, 4096) == _offer(OTHERS | HANDLE_KILLPRIV_V2)
    os.write(fd, _answer(OTHERS))
    handshake.finish()
    assert kernel.recv(4096) == _answer(OTHERS | HANDLE_KILLPRIV_V2)
    kernel.send(b"a request")
    assert os.read(fd, 4096) == b"a request"


async def test_an_offer_that_is_not_answered_leaves_the_channel_as_it_was(channel: tuple[int, socket.socket]) -> None:
    fd, kernel = channel
    kernel.send(_offer(OTHERS))
    handshake = Handshake(fd)
    await handshake.begin()
    handshake.finish()
    kernel.send(b"a request")
    assert os.read(fd, 4096) == b"a request"
