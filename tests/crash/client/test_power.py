"""Power cuts: what was fsynced is there, any other file is as it was before or after, and the state opens.

A recorded run is cut at many places, and of what was not synced then any part reaches the disk: 100 cuts, with `--long`
5,000. The controls: the same cuts break promises when any one kind of sync does nothing.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from cache import contents, fsck, recovery, tree
from cache.db import inline
from cache.model import ROOT_INO
from cache.store import LocalStore
from tests.crash.client.recording import Disk, Event, record
from tests.crash.client.saver import version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHECKOUT = Path(__file__).resolve().parents[3]
TIMEOUT_S = 120
CONTROL_CUTS = range(100_000, 100_100)  # the first that breaks a promise is enough
SYNCS = {"all": "*", "of contents": "blobs/*/*", "of their folders": "blobs/??", "of the catalog": "state.db*"}

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="no strace here: a run cannot be recorded")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    """The state directory, and everything that happened to it."""
    folder = tmp_path_factory.mktemp("power")
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    saver = Path(__file__).with_name("saver.py")
    state = folder / "state"
    return state, record([sys.executable, str(saver), str(state)], environment, folder / "strace", TIMEOUT_S)


@pytest.fixture
def another_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine was started again."""
    (tmp_path / "boot_id").write_text("another-boot\n")
    monkeypatch.setattr(recovery, "_BOOT_ID", tmp_path / "boot_id")


@pytest.fixture
def image() -> Iterator[Path]:
    """A folder in memory."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


class Promises:
    """What the program had said before the cut: the newest version told durable, and the newest begun, of each file."""

    def __init__(self) -> None:
        self.synced: dict[str, int] = {}
        self.begun: dict[str, int] = {}

    def hear(self, line: str) -> None:
        """One line."""
        what, name, number = line.split()
        (self.synced if what == "synced" else self.begun)[name] = int(number)


def broken_promises(directory: Path, promises: Promises) -> list[str]:
    """Open what the cut left, and compare."""
    store = LocalStore(directory, runner=inline)
    found: dict[str, bytes | None] = {}
    for node in tree.children(store.db.reader, ROOT_INO):
        content = None if node.content_id is None else contents.get(store.db.reader, node.content_id)
        path = None if content is None else store.blobs.path(content.content_id)
        held = path is not None and path.exists() and content is not None and (content.dirty or content.whole)
        found[node.name] = path.read_bytes() if path is not None and held else None
    trio.run(store.aclose)
    broken = [str(each) for each in fsck.check(directory) if not each.heals]
    for name, number in promises.synced.items():
        allowed = [version(name, each) for each in range(number, promises.begun[name] + 1)]
        if found.get(name) not in allowed:
            broken.append(f"{name}: version {number} was synced, and is not there: {_shown(found, name)}")
    for name, content in found.items():
        plain = name.removesuffix(".tmp")
        allowed = [version(plain, each) for each in range(promises.begun.get(plain, 0) + 1)]
        if content is not None and content not in allowed and (content or not name.startswith(("new", plain + "."))):
            broken.append(f"{name} is neither old nor new: {_shown(found, name)}")
    return broken


def _shown(found: dict[str, bytes | None], name: str) -> str:
    content = found.get(name, b"no such file")
    return "a placeholder" if content is None else f"{len(content)} bytes, {sorted(set(content.split()))[:6]!r}"


def cut(recorded: tuple[Path, list[Event]], image: Path, seed: int, ignored: str = "") -> list[str]:
    """One power cut: [] when every promise was kept."""
    root, events = recorded
    chance = random.Random(seed)
    first = next(at for at, event in enumerate(events) if event.call == "said")
    disk, promises = Disk(root, ignored), Promises()
    for event in events[: chance.randrange(first, len(events))]:
        if event.call == "said":
            for line in event.path.splitlines():
                promises.hear(line)
        else:
            disk.take(event)
    shutil.rmtree(image)
    image.mkdir()
    disk.write_image(image, chance)
    return broken_promises(image, promises)


@pytest.mark.usefixtures("another_boot")
def test_what_was_synced_survives_and_nothing_is_mixed(
    recorded: tuple[Path, list[Event]], image: Path, often: Callable[[int, int], int]
) -> None:
    for seed in range(often(100, 5_000)):
        assert cut(recorded, image, seed) == [], f"seed {seed}"


def test_new_files_were_made_ahead(recorded: tuple[Path, list[Event]]) -> None:
    """As in a mount: what is durable of a file that is given a name by a link is tried, too."""
    assert any(event.call == "linkat" for event in recorded[1])


@pytest.mark.usefixtures("another_boot")
@pytest.mark.parametrize("ignored", SYNCS.values(), ids=SYNCS)
def test_the_control_without_a_sync_promises_are_broken(
    recorded: tuple[Path, list[Event]], image: Path, ignored: str
) -> None:
    assert any(cut(recorded, image, seed, ignored) for seed in CONTROL_CUTS)
