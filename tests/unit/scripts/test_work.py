"""The work that a bench times, on a real folder: it is done in full, and leaves behind what the next measure needs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.benches import tree, work
from scripts.benches.cold_data import QUICK
from scripts.benches.hydrate import sessions
from scripts.benches.kernel import measures
from scripts.benches.places import Place
from scripts.benches.running import BenchFailedError, Program, scratch
from scripts.benches.settings import Settings
from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable

TINY = tree.Scale(
    listed_entries=7,
    tree_folders=1,
    small_files=3,
    large_entries=9,
    repository_files=50,
    read_bytes=3 << 20,
    write_bytes=1 << 20,
    warm_bytes=1 << 20,
    names=4,
)
RUNS = 2


def test_every_measure_of_the_kernel_can_be_taken_on_a_plain_folder(tmp_path: Path) -> None:
    root = tmp_path / "data"
    tree.build(root, TINY, RUNS)
    place = Place(name="disk", path=root, source=root)
    for measure in measures(TINY):
        measure.prepare(place)
        for number in range(RUNS):
            assert measure.take(place, number) > 0, measure.name
    assert list((root / "work").iterdir()) == [], "what was made was removed again"


def test_a_stat_that_fails_is_no_fast_stat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter([folder / "not there"]))
    with pytest.raises(OSError, match="No such file"):
        work.stat(tmp_path)


def test_a_write_is_of_the_whole_length_and_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    unlink: Callable[[Path], None] = Path.unlink

    def noting_unlink(path: Path) -> None:
        sizes.append(path.stat().st_size)
        unlink(path)

    monkeypatch.setattr(Path, "unlink", noting_unlink)
    work.write(tmp_path / "new", 4096, 1 << 20)
    assert sizes == [1 << 20]
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - Path is patched here


def test_a_program_that_ends_early_is_told_with_its_words(tmp_path: Path) -> None:
    program = Program([sys.executable, "-c", "print('no disk today')"], tmp_path / "log")
    try:
        with pytest.raises(BenchFailedError, match=r"no server.*\n.*no disk today"):
            program.await_true(lambda: False, "server")
    finally:
        program.close()


def test_what_a_program_does_behind_its_start_is_awaited(tmp_path: Path) -> None:
    busy = "import time\nwhile time.process_time() < 1: pass\nprint('done', flush=True)\ntime.sleep(100)"
    program = Program([sys.executable, "-c", busy], tmp_path / "log")
    try:
        os.kill(program.pid, signal.SIGSTOP)  # who is given no processor is not idle
        threading.Timer(1.5, os.kill, (program.pid, signal.SIGCONT)).start()
        program.await_idle("program")
        assert "done" in program.log_tail()
    finally:
        program.close()


def test_cases_are_picked_by_a_part_of_their_names(tmp_path: Path) -> None:
    settings = Settings(quick=True, runs=1, folder=tmp_path, only="FIND of")
    names = [case.name for session in sessions(QUICK, settings) for case in session.cases]
    assert names
    assert all("find of" in name for name in names)
    every = sessions(QUICK, replace(settings, only=""))
    assert sum(len(session.cases) for session in every) > len(names)


def test_a_program_is_reaped(tmp_path: Path) -> None:
    program = Program(["sleep", "1000"], tmp_path / "log")
    program.close()
    with pytest.raises(ProcessLookupError):
        os.kill(program.pid, 0)


def test_the_scratch_folder_goes_also_after_an_error(tmp_path: Path) -> None:
    seen: list[Path] = []

    def fail_inside() -> None:
        with scratch(tmp_path) as folder:
            (folder / "inside").mkdir()
            seen.append(folder)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert seen[0].parent == tmp_path
    assert not seen[0].exists()


def test_an_unknown_bench_is_refused_with_the_names_of_those_that_are() -> None:
    root = Path(__file__).resolve().parents[3]
    words = [sys.executable, "-m", "scripts.benches", "kernels"]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 2
    assert "kernel" in done.stderr
