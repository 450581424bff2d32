"""An answer to opendir passes through our hands, with flags added, and notifications do not."""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.harness.waiting import DEADLINE_S, PAUSE_S, until
from vfs.answers import CACHE_DIR, KEEP_CACHE, Answers, flagged
from vfs.failure import Failure
from vfs.notifications import Notifications

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def opened(flags: int, error: int = 0) -> bytes:
    """libfuse's answer to an opendir."""
    if error:
        return struct.pack("=IiQ", 16, error, 2)
    return struct.pack("=IiQ", 32, 0, 2) + struct.pack("=QIi", 9, flags, 0)


@pytest.fixture
def channel() -> Iterator[tuple[int, socket.socket]]:
    """What libfuse has open, and the kernel at its other end."""
    ours, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, kernel:
        kernel.settimeout(DEADLINE_S)
        yield ours.fileno(), kernel


@pytest.fixture
def answers(channel: tuple[int, socket.socket]) -> Iterator[Answers]:
    """Attached to the channel."""
    attached = Answers()
    attached.attach(channel[0])
    attached.passed_on = True
    yield attached
    attached.close()


def test_flags_are_added_to_those_that_are_answered() -> None:
    assert flagged(opened(1), CACHE_DIR | KEEP_CACHE) == opened(1 | 8 | 2)


def test_a_refusal_stays_one() -> None:
    assert flagged(opened(0, -errno.EIO), CACHE_DIR) == opened(0, -errno.EIO)


def test_the_next_answer_has_the_flags_and_those_after_it_have_the_channel(
    answers: Answers, channel: tuple[int, socket.socket]
) -> None:
    fd, kernel = channel
    assert answers.flag(CACHE_DIR)
    assert answers.pending
    os.write(fd, opened(0))
    answers.pass_on()
    assert not answers.pending
    os.write(fd, b"another answer")
    assert [kernel.recv(4096), kernel.recv(4096)] == [opened(CACHE_DIR), b"another answer"]
    kernel.send(b"a request")
    assert os.read(fd, 4096) == b"a request"


def test_an_answer_that_never_came_leaves_the_channel_as_it_was(
    answers: Answers, channel: tuple[int, socket.socket]
) -> None:
    fd, kernel = channel
    assert answers.flag(CACHE_DIR)
    answers.pass_on()
    os.write(fd, b"an answer")
    assert kernel.recv(4096) == b"an answer"


def test_an_end_in_between_gives_the_channel_back(answers: Answers, channel: tuple[int, socket.socket]) -> None:
    fd, kernel = channel
    assert answers.flag(KEEP_CACHE)
    os.write(fd, opened(0))
    answers.close()
    os.write(fd, b"the last")
    assert [kernel.recv(4096), kernel.recv(4096)] == [opened(KEEP_CACHE), b"the last"]


def test_nothing_is_flagged_where_nobody_would_pass_it_on(answers: Answers) -> None:
    answers.workers_waiting = 2  # the worker that has answered ends
    assert not answers.flag(CACHE_DIR)
    assert not answers.pending
    assert not Answers().flag(CACHE_DIR)  # not mounted


def test_nothing_is_flagged_of_a_pyfuse3_whose_workers_never_come_by(channel: tuple[int, socket.socket]) -> None:
    """The answer would stay with us, and who lists a folder would wait for ever."""
    fd, kernel = channel
    answers = Answers()
    answers.attach(fd)
    assert not answers.flag(CACHE_DIR)
    os.write(fd, opened(0))
    assert kernel.recv(4096) == opened(0)
    answers.close()


def test_a_mount_whose_kernel_cannot_be_told_anything_is_refused(channel: tuple[int, socket.socket]) -> None:
    notifications = Notifications()
    with pytest.raises(Failure, match="serves requests in another way"):
        notifications.ensure_attached()
    notifications.attach(channel[0])
    notifications.ensure_attached()
    notifications.close()


def test_a_notification_reaches_the_kernel_while_an_answer_makes_its_detour(
    answers: Answers, channel: tuple[int, socket.socket]
) -> None:
    fd, kernel = channel
    notifications = Notifications()
    notifications.attach(fd)
    assert answers.flag(CACHE_DIR)
    notifications.invalidate_inode(5, attr_only=True)
    os.write(fd, opened(0))
    answers.pass_on()
    notifications.close()
    assert kernel.recv(4096)[:8] == struct.pack("=Ii", 40, 2)
    assert kernel.recv(4096) == opened(CACHE_DIR)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda to: to.invalidate_inode(5), struct.pack("=IiQ Qqq", 40, 2, 0, 5, 0, 0)),
        (lambda to: to.invalidate_inode(5, attr_only=True), struct.pack("=IiQ Qqq", 40, 2, 0, 5, -1, 0)),
        (lambda to: to.invalidate_entry(5, b"abc"), struct.pack("=IiQ QII", 36, 3, 0, 5, 3, 0) + b"abc\0"),
        (lambda to: to.invalidate_entry(5, b"abc", 6), struct.pack("=IiQ QQII", 44, 6, 0, 5, 6, 3, 0) + b"abc\0"),
        (lambda to: to.notify_store(5, 7, b"data"), struct.pack("=IiQ QQII", 44, 4, 0, 5, 7, 4, 0) + b"data"),
    ],
)
def test_notifications_are_told_in_the_words_of_the_protocol(
    channel: tuple[int, socket.socket], call: Callable[[Notifications], None], told: bytes
) -> None:
    fd, kernel = channel
    notifications = Notifications()
    notifications.attach(fd)
    call(notifications)
    notifications.close()
    assert kernel.recv(4096) == told


def test_without_a_mount_there_is_nobody_to_tell(channel: tuple[int, socket.socket]) -> None:
    notifications = Notifications()
    with pytest.raises(OSError, match="no mount") as before:
        notifications.invalidate_inode(5)
    notifications.attach(channel[0])
    notifications.close()
    with pytest.raises(OSError, match="no mount") as after:
        notifications.invalidate_inode(5)
    assert (before.value.errno, after.value.errno) == (errno.ENOSYS, errno.ENODEV)


def test_the_way_is_closed_when_the_last_call_has_ended(channel: tuple[int, socket.socket]) -> None:
    fd, kernel = channel
    kernel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    notifications = Notifications()
    notifications.attach(fd)
    data = bytes(60_000)
    sent, full = [0], threading.Event()

    def fill() -> None:
        with suppress(OSError):
            while True:
                notifications.notify_store(5, 0, data)
                sent[0] += 1
                full.set()

    thread = threading.Thread(target=fill)
    thread.start()
    assert full.wait(DEADLINE_S)
    notifications.close()
    kernel.settimeout(PAUSE_S)  # what was sent may all be read before the thread has come to its end

    def ended() -> bool:
        with suppress(TimeoutError):
            kernel.recv(1 << 20)
        return not thread.is_alive()

    until(ended, "the end of the last call")
    assert sent[0] > 0
    assert notifications._fd is None
