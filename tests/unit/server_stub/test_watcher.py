"""The watcher over a source that a test plays: what is told is looked at, what breaks is said and scanned for."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

import pytest

from server_stub.watching import watcher as module
from server_stub.watching.notices import Batch, FolderKey, FolderNames, Notice, WatchUnavailable
from server_stub.watching.status import WatchState
from server_stub.watching.watcher import Watcher
from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from server_stub.watching.looks import Look


class Played:
    """A source that tells what a test gives it; an OSError among it breaks it."""

    kind = "played"

    def __init__(self, *, refusals: int = 0) -> None:
        self.told: list[Batch | OSError] = []
        self.starts = 0
        self._refusals = refusals
        self._read_fd = self._write_fd = -1

    def tell(self, told: Batch | OSError) -> None:
        self.told.append(told)
        os.write(self._write_fd, b"!")

    def fileno(self) -> int:
        return self._read_fd

    def start(self) -> None:
        self.starts += 1
        if self.starts <= self._refusals:
            raise WatchUnavailable("not now")
        self._read_fd, self._write_fd = os.pipe()

    def read(self) -> Batch:
        os.read(self._read_fd, 1)
        told = self.told.pop(0)
        if isinstance(told, OSError):
            raise told
        return told

    def names(self, key: FolderKey) -> FolderNames | None:
        return (str(key),)

    def close(self) -> None:
        os.close(self._read_fd)
        os.close(self._write_fd)


class Stage:
    """A watcher over a played source, with what it asked for."""

    def __init__(self, root: Path, source: Played) -> None:
        self.looks: list[Look] = []
        self.scans = 0
        self.failures: list[Exception] = []
        self.root_fd = os.open(root, os.O_RDONLY)
        self.source = source
        self.watcher = Watcher(root, self.root_fd, sources=[lambda: source], look=self._look, scan=self._scan)

    async def _look(self, look: Look) -> None:
        if self.failures:
            raise self.failures.pop()
        self.looks.append(look)

    async def _scan(self) -> None:
        if self.failures:
            raise self.failures.pop()
        self.scans += 1

    async def until(self, question: Callable[[], object]) -> None:
        deadline_s = time.monotonic() + DEADLINE_S
        while not question():
            assert time.monotonic() < deadline_s, self.watcher.status
            await asyncio.sleep(0.005)

    @property
    def is_watching(self) -> bool:
        return self.watcher.status.state is WatchState.WATCHING


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_S", 0.05)
    monkeypatch.setattr(module, "_RETRY_REFUSED_S", 0.05)
    monkeypatch.setattr(module, "_PAUSE_FIRST_S", 0.05)


def play(root: Path, scenes: Callable[[Stage], Awaitable[None]], source: Played | None = None) -> None:
    """Run a watcher for the length of `scenes`."""

    async def run() -> None:
        stage = Stage(root, source or Played())
        running = asyncio.ensure_future(stage.watcher.run())
        try:
            await scenes(stage)
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.wait([running])
            os.close(stage.root_fd)

    asyncio.run(run())


def test_a_watch_begins_with_a_scan_and_then_looks_where_it_is_told(tmp_path: Path) -> None:
    async def scenes(stage: Stage) -> None:
        await stage.until(lambda: stage.is_watching and stage.scans == 1)
        stage.source.tell(Batch(notices=[Notice("a", "x"), Notice("a", "x"), Notice("b", None)], events=3))
        await stage.until(lambda: stage.looks)
        assert stage.looks[0].paths == {("a", "x"), ("b",)}
        assert (stage.scans, stage.watcher.status.events, stage.watcher.status.doubts) == (1, 3, 2)

    play(tmp_path, scenes)


def test_an_overflow_is_scanned_for(tmp_path: Path) -> None:
    async def scenes(stage: Stage) -> None:
        await stage.until(lambda: stage.is_watching and stage.scans == 1)
        stage.source.tell(Batch(is_overflow=True))
        await stage.until(lambda: stage.is_watching and stage.scans == 2)
        assert stage.watcher.status.overflows == 1

    play(tmp_path, scenes)


@pytest.mark.parametrize("told", [OSError("broken"), Batch(is_gone="the disk was unmounted")])
def test_a_source_that_breaks_is_opened_again_and_scanned_for(tmp_path: Path, told: Batch | OSError) -> None:
    async def scenes(stage: Stage) -> None:
        await stage.until(lambda: stage.is_watching and stage.scans == 1)
        stage.source.tell(told)
        await stage.until(lambda: stage.source.starts == 2)
        await stage.until(lambda: stage.is_watching)
        assert stage.scans >= 2
        stage.source.tell(Batch(notices=[Notice("a", "x")]))
        await stage.until(lambda: stage.looks)

    play(tmp_path, scenes)


def test_without_a_source_scans_go_on_and_it_is_tried_again(tmp_path: Path) -> None:
    async def scenes(stage: Stage) -> None:
        await stage.until(lambda: stage.watcher.status.state is WatchState.DOWN)
        assert "not now" in stage.watcher.status.text
        await stage.until(lambda: stage.is_watching)
        assert stage.scans >= 1

    play(tmp_path, scenes, Played(refusals=2))


def test_a_look_or_a_scan_that_fails_is_taken_again(tmp_path: Path) -> None:
    async def scenes(stage: Stage) -> None:
        await stage.until(lambda: stage.is_watching and stage.scans == 1)
        stage.failures.append(OSError("the index cannot be written"))
        stage.source.tell(Batch(notices=[Notice("a", "x")]))
        await stage.until(lambda: stage.looks)
        assert stage.looks[0].paths == {("a", "x")}
        stage.failures.append(OSError("a disk that does not answer"))
        stage.source.tell(Batch(is_overflow=True))
        await stage.until(lambda: stage.is_watching and stage.scans == 2)

    play(tmp_path, scenes)


def test_patience_grows_and_speaks_once_for_each_reason() -> None:
    patience = module._Patience()
    assert [patience.note(reason) for reason in ("away", "away", "full", "full", "away")] == [1, 0, 1, 0, 1]
    pauses = []
    patience.end()
    for _ in range(200):
        patience.note("away")
        pauses.append(patience.pause_s)
    assert pauses[:5] == [module._PAUSE_FIRST_S * 2**number for number in range(5)]
    assert pauses[-1] == module._PAUSE_MAX_S


def test_a_disk_that_is_away_is_said_once_and_its_return_is_not_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_GUARD_EVERY_S", 0.01)
    root = tmp_path / "root"
    root.mkdir()

    async def scenes(stage: Stage) -> None:
        await stage.until(lambda: stage.is_watching and stage.scans == 1)
        root.rename(tmp_path / "away")
        await stage.until(lambda: stage.watcher.status.state is WatchState.DOWN)
        stage.failures += [OSError("not there")] * 1_000
        stage.source.tell(Batch(notices=[Notice("a", "x")]))
        await stage.until(lambda: len(stage.failures) <= 997)
        monkeypatch.setattr(module, "_PAUSE_FIRST_S", 60.0)
        monkeypatch.setattr(module, "_PAUSE_MAX_S", 60.0)
        await stage.until(lambda: len(stage.failures) <= 996)
        assert [record.message for record in caplog.records if "wait:" in record.message] == [
            "watch: 1 entries in doubt wait: not there"
        ]
        stage.failures.clear()
        (tmp_path / "away").rename(root)
        await stage.until(lambda: stage.is_watching and stage.scans == 2)  # which answers all doubts of before
        stage.source.tell(Batch(notices=[Notice("b", "y")]))
        await stage.until(lambda: stage.looks)  # and not in a minute
        assert stage.looks[0].paths == {("b", "y")}

    play(root, scenes)
