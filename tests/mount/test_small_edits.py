"""Of a large file that was edited a little, little travels: counted on the wire between a mount and its server.

64 MiB in the suite, 1 GiB with `--long`.
"""

from __future__ import annotations

import os
import random
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.harness.drives import Drive, attribute
from tests.harness.meter import Meter
from tests.harness.trees import digest_of
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.harness.mount import Mount

pytestmark = pytest.mark.fuse

MIB = 1 << 20
EDIT_BYTES = 4096
MOST_UP_BYTES = MIB
SYNC_S = 280.0


class Far:
    """A mount behind a wire with a meter, and one large file that its server holds."""

    def __init__(self, drive: Drive, wire: Meter, size: int) -> None:
        self.wire = wire
        self.size = size
        self.mount: Mount = drive.mount("far", url=wire.url)
        self.path = self.mount.path / "large"
        self.served = drive.served / "large"
        self._chance = random.Random(size)
        with self.path.open("wb") as file:
            for _ in range(0, size, MIB):
                file.write(self._chance.randbytes(MIB))
        self._settle()
        self._evict()

    def edit(self, path: Path, offset: int, length: int = EDIT_BYTES) -> None:
        """In place."""
        with path.open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), self._chance.randbytes(length), offset)

    def save_with_a_new_beginning(self) -> None:
        """As an editor does: the whole file anew, under another name, then that over the first."""
        saved = self.path.with_name(".large.new")
        with self.mount.paused():  # else it may be sent whole, by its other name, before it is renamed
            with saved.open("wb") as to, self.path.open("rb") as source:
                to.write(self._chance.randbytes(EDIT_BYTES))
                shutil.copyfileobj(source, to, MIB)
            saved.rename(self.path)

    def remount_with_nothing_held(self) -> None:
        """Nothing of the file is in this machine's memory or cache: neither the bytes nor what was known of them."""
        self._evict()
        assert self.mount.stop() == 0, self.mount.log()
        self.mount.start()
        assert attribute(self.path, "state") == "online-only"

    def cost(self, change: Callable[[], None]) -> int:
        """Bytes that left this machine for it, once the server has it; its bytes are compared."""
        before, was = self.wire.up_bytes, self.served.stat().st_ino
        change()
        wanted = digest_of(self.path)
        self._settle()
        assert digest_of(self.served) == wanted
        assert self.served.stat().st_ino != was, "the server's file was not replaced"
        return self.wire.up_bytes - before

    def _evict(self) -> None:
        self.mount.evict(self.path)
        until(lambda: attribute(self.path, "state") == "online-only", "its room to be given back")

    def _settle(self) -> None:
        words = ("sync", str(self.mount.path), "--wait", "--timeout", str(SYNC_S))
        done = self.mount.command(*words, timeout_s=SYNC_S + 10)
        assert done.returncode == 0, f"{done.stderr}\n{self.mount.log()}"


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory, often: Callable[[int, int], int]) -> Iterator[Far]:
    """What the tests here change one after the other."""
    with Drive(tmp_path_factory.mktemp("far")) as drive, Meter(drive.server.address) as wire:
        far = Far(drive, wire, often(64, 1024) * MIB)
        yield far
        assert far.mount.stop() == 0, far.mount.log()


def test_an_edit_in_place(far: Far) -> None:
    up_bytes = far.cost(lambda: far.edit(far.path, far.size // 2 + 12_345))
    assert up_bytes < MOST_UP_BYTES


def test_an_append(far: Far) -> None:
    up_bytes = far.cost(lambda: far.edit(far.path, far.path.stat().st_size))
    assert up_bytes < MOST_UP_BYTES


def test_an_insertion_at_the_front(far: Far) -> None:
    up_bytes = far.cost(far.save_with_a_new_beginning)
    assert up_bytes < MOST_UP_BYTES


def test_an_edit_after_a_remount_with_nothing_held(far: Far) -> None:
    far.remount_with_nothing_held()
    up_bytes = far.cost(lambda: far.edit(far.path, far.size // 3))
    assert up_bytes < MOST_UP_BYTES
