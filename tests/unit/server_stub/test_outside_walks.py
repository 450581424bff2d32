"""Walks over everything: what each kind finds, going on after a kill, and what never becomes a deletion."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from server_stub.external.root import RootReplaced
from tests.unit.server_stub.outside import Outside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    made = Outside(tmp_path)
    yield made
    made.close()


def grow(outside: Outside, folders: int, files: int = 1) -> None:
    for number in range(folders):
        folder = outside.root / f"folder{number:03}"
        folder.mkdir()
        for each in range(files):
            (folder / f"file{each}").write_text("x")
    outside.scan()


def age(outside: Outside) -> None:
    """Folders that changed just now are listed once more, in case they change again within one tick."""
    for folder in [outside.root, *(path for path in outside.root.rglob("*") if path.is_dir())]:
        os.utime(folder, ns=(1, 1))
    outside.scan(quick=True)


def test_a_quick_walk_lists_no_folder_whose_times_are_known(outside: Outside) -> None:
    grow(outside, 20)
    age(outside)
    report = outside.scan(quick=True)
    assert (report.folders, report.unchanged, report.items) == (21, 21, 0)
    (outside.root / "folder007" / "new").write_text("x")
    report = outside.scan(quick=True)
    assert (report.unchanged, report.added) == (20, 1)


def test_an_edit_in_place_is_found_by_a_full_walk_only(outside: Outside) -> None:
    grow(outside, 2)
    age(outside)
    (outside.root / "folder000" / "file0").write_text("y")
    assert not outside.scan(quick=True).is_news
    assert outside.scan().changed == 1


def test_a_killed_walk_goes_on_where_it_stood(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server_stub.external.scan._FOLDERS_AT_ONCE", 4)
    monkeypatch.setattr("server_stub.external.scan._SAVE_EVERY_S", 0.0)
    grow(outside, 40)
    (outside.root / "folder000").rename(outside.root / "folder039" / "moved")
    (outside.root / "folder001" / "file0").unlink()
    ids = outside.ids()
    visit, visited = outside.scanner._walker.visit, []

    async def dying(folder_ids: list[str], *args: object, **options: object) -> int:
        visited.extend(folder_ids)
        if len(visited) > 20:
            raise KeyboardInterrupt
        return await visit(folder_ids, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(outside.scanner._walker, "visit", dying)
    with pytest.raises(KeyboardInterrupt):
        outside.scan()
    outside.shut()
    outside.open()
    report = outside.scan()
    assert report.resumed
    assert report.folders < 35
    after = outside.ids()
    assert set(after) == outside.kinds_on_disk()
    assert after["folder039/moved"] == ids["folder000"]
    assert not outside.scan().resumed


def test_a_killed_import_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        (tmp_path / "root" / f"folder{number}").mkdir(parents=True)
        (tmp_path / "root" / f"folder{number}" / "file").write_text("x")
    monkeypatch.setattr("server_stub.external.bringing._FOLDERS_AT_ONCE", 3)
    outside = Outside(tmp_path, imported=False)
    importer = outside.scanner._importer
    batch, calls = importer._batch, []

    def dying(*args: object) -> str | None:
        calls.append(args)
        if len(calls) > 5:
            raise OSError("killed")
        return batch(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(importer, "_batch", dying)
    with pytest.raises(OSError, match="killed"):
        outside.run(outside.scanner.import_tree())
    before = outside.ids()
    outside.shut()
    outside.open()
    report = outside.run(outside.scanner.import_tree())
    assert report is not None
    assert report.folders < 31
    assert set(outside.ids()) == outside.kinds_on_disk()
    assert before.items() <= outside.ids().items()
    assert outside.run(outside.scanner.import_tree()) is None
    outside.close()


def test_most_of_the_drive_goes_only_when_a_person_says_so(outside: Outside) -> None:
    grow(outside, 40, 3)
    before = outside.ids()
    shutil.rmtree(outside.root)
    outside.root.mkdir()
    outside.shut()
    (outside.root / "folder000").mkdir()
    outside.open()
    report = outside.scan()
    assert (report.removed, report.held) == (0, 159)
    assert outside.ids() == before
    assert outside.scan(quick=True).held == 159
    assert outside.scan(confirmed=True).removed >= 159
    assert set(outside.ids()) == {"folder000"}


def test_a_folder_with_most_of_the_drive_is_held_when_another_has_its_name(outside: Outside, tmp_path: Path) -> None:
    folder = outside.root / "folder"
    folder.mkdir()
    for number in range(60):
        (folder / str(number)).write_text("x")
    outside.scan()
    before = outside.ids()
    folder.rename(tmp_path / "away")
    folder.mkdir()
    report = outside.scan()
    assert (report.removed, report.held) == (0, 61)
    assert outside.ids() == before
    folder.rmdir()
    (tmp_path / "away").rename(folder)
    assert outside.scan().held == 0
    assert outside.ids() == before
    folder.rename(tmp_path / "gone")
    folder.mkdir()
    assert outside.scan(confirmed=True).removed == 61


def test_a_folder_that_was_copied_over_itself_is_not_held(outside: Outside) -> None:
    folder = outside.root / "folder"
    folder.mkdir()
    for number in range(60):
        (folder / str(number)).write_text("x")
    outside.scan()
    before = outside.ids()
    subprocess.run(["cp", "-a", folder, outside.root / "copy"], check=True)
    shutil.rmtree(folder)
    (outside.root / "copy").rename(folder)
    report = outside.scan()
    assert (report.removed, report.held) == (0, 0)
    assert outside.ids() == before


def test_another_disk_with_a_name_in_common_takes_nothing_of_a_small_drive(outside: Outside, tmp_path: Path) -> None:
    for number in range(10):
        (outside.root / str(number)).write_text("x")
    outside.scan()
    before = outside.ids()
    outside.shut()
    outside.root.rename(tmp_path / "disk")
    outside.root.mkdir()
    (outside.root / "0").write_text("y")
    outside.open()
    for _ in range(2):  # also not as the new place of the drive
        report = outside.scan()
        assert (report.removed, report.held) == (0, 9)
        assert outside.ids() == before
    assert outside.scan(confirmed=True).removed == 9


def test_what_every_disk_holds_tells_nothing(outside: Outside, tmp_path: Path) -> None:
    grow(outside, 2)
    (outside.root / "lost+found").mkdir()
    outside.scan()
    outside.shut()
    outside.root.rename(tmp_path / "disk")
    (outside.root / "lost+found").mkdir(parents=True)
    outside.open()
    with pytest.raises(RootReplaced):
        outside.scan(confirmed=True)


def test_a_request_learns_nothing_from_a_directory_that_is_not_the_drive(outside: Outside, tmp_path: Path) -> None:
    grow(outside, 2)
    before = outside.items()
    outside.shut()
    outside.root.rename(tmp_path / "disk")
    outside.root.mkdir()
    outside.open()
    for names in ((), ("folder000",)):
        missing = outside.run(outside.store.write(partial(outside.scanner.refresh, names=names)))
        assert not missing
    assert outside.items() == before


def test_a_directory_that_holds_nothing_known_is_refused(outside: Outside, tmp_path: Path) -> None:
    grow(outside, 2)
    outside.shut()
    outside.root.rename(tmp_path / "disk")
    outside.root.mkdir()
    outside.open()
    with pytest.raises(RootReplaced):
        outside.scan(confirmed=True)
    assert len(outside.ids()) == 4


def test_a_directory_put_over_the_open_one_is_refused(outside: Outside, tmp_path: Path) -> None:
    grow(outside, 2)
    outside.root.rename(tmp_path / "disk")
    outside.root.mkdir()
    with pytest.raises(RootReplaced, match="another directory"):
        outside.scan()
    with pytest.raises(RootReplaced):
        outside.doubt("folder000")


def test_a_folder_that_cannot_be_listed_loses_nothing(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(outside, 3)
    before = outside.ids()
    (outside.root / "folder001" / "file0").unlink()
    scandir = os.scandir
    ino = (outside.root / "folder001").stat().st_ino

    def failing(fd: int) -> os._ScandirIterator[str]:
        if os.fstat(fd).st_ino == ino:
            raise OSError(5, "Input/output error")
        return scandir(fd)  # type: ignore[return-value]

    monkeypatch.setattr("os.scandir", failing)
    report = outside.scan()
    monkeypatch.undo()
    assert (report.removed, report.unreadable) == (0, 1)
    assert outside.ids() == before
    assert outside.scan().removed == 1


def test_where_times_are_whole_seconds_a_folder_that_changed_just_now_is_listed_again(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may change once more without its times; a little later that cannot be."""
    monkeypatch.setattr("server_stub.external.walking._RECENT_COARSE_NS", 60 * 10**9)
    folder = outside.root / "folder"
    folder.mkdir()
    listed = {}
    for age_s in (1, 120):
        stamp_ns = (time.time_ns() // 10**9 - age_s) * 10**9
        os.utime(folder, ns=(stamp_ns, stamp_ns))
        outside.scan()
        evidence = outside.items()["folder"].evidence
        assert evidence is not None
        listed[age_s] = evidence.ctime_ns == folder.stat().st_ctime_ns
    assert listed == {1: False, 120: True}
