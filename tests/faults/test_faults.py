"""A link that breaks between a real client and a real server: each change takes effect once, no wrong byte is read."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.faults import (
    CutAnswer,
    CutRequest,
    Fault,
    FirstOfEach,
    Flip,
    LoseAnswer,
    Refuse,
    Request,
    Reset,
    Times,
    content,
    mutation,
)
from tests.harness.drives import Drive, attribute
from tests.harness.trees import pattern, tree_of
from tests.harness.waiting import DEADLINE_S, PAUSE_S, until
from vfs.drive import RETRY_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.proxy import FaultProxy
    from tests.harness.mount import Mount

pytestmark = pytest.mark.fuse

SIZE = 300_000  # a file that is checked whole
BIG = 6_000_000  # a file that is streamed


@pytest.fixture
def place(far: Mount, link: FaultProxy, one: Path) -> Iterator[Path]:
    """This test's folder behind the link; the link is sound again at the end."""
    folder = far.path / one.name
    until(folder.is_dir, "the folder behind the link")
    assert list(folder.iterdir()) == []
    yield folder
    link.rule = None


def _work(folder: Path) -> None:
    """Every kind of change, several of each, some on top of others."""
    for number in range(5):
        (folder / f"d{number}").mkdir()
        (folder / f"d{number}" / "file").write_bytes(pattern(SIZE, number))
        (folder / f"gone {number}").write_bytes(b"x")
    (folder / "link").symlink_to("d0/file")


def _work_on(folder: Path) -> None:
    for number in range(5):
        (folder / f"gone {number}").unlink()
        (folder / f"d{number}" / "file").rename(folder / f"moved {number}")
    (folder / "moved 1").rename(folder / "moved 0")
    (folder / "moved 2").write_bytes(pattern(SIZE, 22))
    (folder / "moved 3").chmod(0o700)
    (folder / "d4").rename(folder / "d3" / "inside")
    (folder / "d2").rmdir()
    temporary = folder / "temporary"
    temporary.write_bytes(pattern(SIZE, 44))
    temporary.rename(folder / "moved 4")


@pytest.mark.parametrize(
    "fault",
    [Reset(), Refuse(503), Refuse(500), Refuse(429), LoseAnswer(), CutRequest(100_000)],
    ids=lambda fault: f"{type(fault).__name__}{getattr(fault, 'status', '')}",
)
def test_each_change_takes_effect_once(  # noqa: PLR0917
    place: Path, served: Path, far: Mount, drive: Drive, link: FaultProxy, fault: Fault
) -> None:
    for step in (_work, _work_on):
        rule = link.rule = FirstOfEach(fault, mutation)
        step(place)
        expected = tree_of(place)
        far.sync(60)
        assert rule.hits > 0
        assert tree_of(place) == expected
        assert tree_of(served) == expected
    drive.mounts["one"].sync()
    assert tree_of(drive.mounts["one"].path / place.name) == expected


def test_an_overwrite_whose_answer_was_lost_is_no_conflict(
    place: Path, served: Path, far: Mount, link: FaultProxy
) -> None:
    path = place / "file"
    path.write_bytes(b"base")
    far.sync()
    item_id = attribute(path, "item_id")
    for number in range(4):
        rule = link.rule = Times(LoseAnswer(), _is_put)
        path.write_bytes(pattern(SIZE, number))
        until(lambda rule=rule: rule.hits, "the answer to be lost")
        path.write_bytes(pattern(SIZE, number + 50))  # another state before the first is known to have arrived
        far.sync(60)
        assert (served / "file").read_bytes() == pattern(SIZE, number + 50)
    assert attribute(path, "item_id") == item_id
    assert [each.name for each in served.iterdir()] == ["file"]


def test_a_file_deleted_after_its_answer_was_lost_stays_deleted(
    place: Path, served: Path, far: Mount, link: FaultProxy
) -> None:
    for base in (False, True):
        if base:
            (place / "file").write_bytes(b"base")
            far.sync()
        rule = link.rule = Times(LoseAnswer(), _is_put)
        (place / "file").write_bytes(pattern(SIZE, 5))
        until(lambda rule=rule: rule.hits, "the answer to be lost")
        (place / "file").unlink()
        far.sync(60)
        assert list(served.iterdir()) == []
        assert list(place.iterdir()) == []


def _is_put(request: Request) -> bool:
    return request.method == "PUT"


def _read(path: Path) -> bytes:
    """The bytes of a file over a link that fails a few times; no reader is told, unless the machine stood still."""
    begun_s = time.monotonic()
    while True:
        try:
            return path.read_bytes()
        except OSError:
            if not RETRY_S / 2 <= time.monotonic() - begun_s < DEADLINE_S:
                raise
        time.sleep(PAUSE_S)


@pytest.mark.parametrize("size", [SIZE, BIG])
@pytest.mark.parametrize("after_bytes", [0, 1, 200_000])
def test_a_download_that_is_cut_goes_on(  # noqa: PLR0917
    one: Path, place: Path, drive: Drive, link: FaultProxy, size: int, after_bytes: int
) -> None:
    (one / "file").write_bytes(pattern(size, 3))
    drive.mounts["one"].sync()
    until(lambda: (place / "file").stat().st_size == size, "the placeholder")
    rule = link.rule = Times(CutAnswer(after_bytes), content, count=3)
    assert _read(place / "file") == pattern(size, 3)
    assert rule.hits == 3


@pytest.mark.parametrize("fault", [Reset(), Refuse(503), Refuse(500)], ids=["Reset", "Refuse503", "Refuse500"])
def test_a_download_that_is_refused_is_tried_again(
    one: Path, place: Path, drive: Drive, link: FaultProxy, fault: Fault
) -> None:
    (one / "file").write_bytes(pattern(SIZE, 4))
    drive.mounts["one"].sync()
    until(lambda: (place / "file").stat().st_size == SIZE, "the placeholder")
    rule = link.rule = Times(fault, content, count=2)
    assert _read(place / "file") == pattern(SIZE, 4)
    assert rule.hits == 2


def test_a_flipped_bit_is_never_read(one: Path, place: Path, drive: Drive, link: FaultProxy) -> None:
    (one / "file").write_bytes(pattern(SIZE, 6))
    drive.mounts["one"].sync()
    until(lambda: (place / "file").stat().st_size == SIZE, "the placeholder")
    rule = link.rule = Times(Flip(123_456), content, count=100)
    with pytest.raises(OSError, match=r"Input/output") as caught:
        (place / "file").read_bytes()
    assert caught.value.errno == errno.EIO
    assert rule.hits > 0
    link.rule = None
    assert (place / "file").read_bytes() == pattern(SIZE, 6)


def test_an_unreachable_server_is_told_as_such_and_known_things_go_on(
    one: Path, place: Path, drive: Drive, link: FaultProxy
) -> None:
    (one / "never read").write_bytes(pattern(SIZE, 7))
    (one / "held").write_bytes(b"held here")
    drive.mounts["one"].sync()
    until(lambda: (place / "never read").stat().st_size == SIZE, "the placeholder")
    until(lambda: (place / "held").read_bytes() == b"held here", "the bytes")
    link.cut()
    try:
        assert (place / "held").read_bytes() == b"held here"
        assert sorted(each.name for each in place.iterdir()) == ["held", "never read"]
        with pytest.raises(OSError, match=r"route to host|timed out|Input/output") as caught:
            (place / "never read").read_bytes()
        assert caught.value.errno in {errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.EIO}
        assert not (place / "no such name").exists()
    finally:
        link.mend()
    until(lambda: (place / "never read").read_bytes() == pattern(SIZE, 7), "the bytes, once the server is found again")


def test_a_feed_that_is_cut_again_and_again_loses_nothing(one: Path, place: Path, link: FaultProxy) -> None:
    link.rule = FirstOfEach(CutAnswer(10), lambda request: "/changes" in request.target)
    for number in range(20):
        (one / f"file {number}").write_bytes(str(number).encode())
    until(lambda: tree_of(place) == tree_of(one), "everything to arrive")
