"""What takes long is done in steps, or off the writer's thread, so that everybody else has their turn."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

import pytest

from server_stub.external import burying, contents
from server_stub.sqlite_tx import SqliteTx
from tests.harness.waiting import DEADLINE_S
from tests.unit.server_stub.outside import Outside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from server_stub.external.doubts import Names
    from server_stub.store import Ledger
    from server_stub.tree import Tree
    from server_stub.values import Evidence, Item

LARGE = b"x" * ((64 << 10) + 1)


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    made = Outside(tmp_path)
    yield made
    made.close()


@pytest.fixture
def large(outside: Outside) -> Path:
    """A file that is too large to be read while everybody waits; its bytes are known, its ctime is not."""
    path = outside.root / "large"
    path.write_bytes(LARGE)
    outside.scan()
    outside.digest()
    touch(path)
    return path


def touch(path: Path) -> None:
    """Move ctime and nothing else."""
    path.with_name("link").hardlink_to(path)
    path.with_name("link").unlink()


def before_it_is_told(monkeypatch: pytest.MonkeyPatch, *steps: object) -> list[int]:
    """Have each of these called when a file was read, before the answer is used; returns how often it was."""
    real, reads = contents.read, [0]

    def read(tree: Tree, names: Names) -> tuple[Evidence, str] | None:
        told = real(tree, names)
        if reads[0] < len(steps):
            steps[reads[0]]()  # type: ignore[operator]
        reads[0] += 1
        return told

    monkeypatch.setattr(contents, "read", read)
    return reads


@pytest.mark.parametrize("way", ["scan", "doubts"])
def test_others_write_while_a_file_is_read(
    outside: Outside, large: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    version = outside.items()["large"].content_version
    loop, written = asyncio.new_event_loop(), threading.Event()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def write() -> None:
        await outside.store.write(lambda ledger: ledger.newest_seq())
        written.set()

    def meanwhile() -> None:
        asyncio.run_coroutine_threadsafe(write(), loop)
        assert written.wait(DEADLINE_S), "the writer is held by who reads"

    reads = before_it_is_told(monkeypatch, meanwhile)
    try:
        look(outside, way)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    assert reads == [1]
    item = outside.items()["large"]
    assert item.content_version == version
    assert item.evidence is not None
    assert item.evidence.ctime_ns == large.stat().st_ctime_ns
    look(outside, way)
    assert reads == [1]


def look(outside: Outside, way: str) -> None:
    if way == "scan":
        outside.scan()
        return
    report = outside.doubt("large")
    outside.run(outside.scanner.read(report.unread))


def test_an_answer_about_bytes_that_changed_meanwhile_is_no_answer(
    outside: Outside, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = outside.items()["large"].content_version
    stamp = large.stat()

    def edit() -> None:
        large.write_bytes(LARGE.replace(b"x", b"y"))
        os.utime(large, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))

    reads = before_it_is_told(monkeypatch, edit)
    outside.scan()
    assert reads == [2]
    assert outside.items()["large"].content_version != version


def test_a_file_that_is_touched_all_the_time_is_new_content(
    outside: Outside, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = outside.items()["large"].content_version
    reads = before_it_is_told(monkeypatch, *[lambda: touch(large)] * 9)
    outside.scan()
    assert reads == [3]
    assert outside.items()["large"].content_version != version


def test_a_walk_that_ends_before_a_file_was_read_does_not_call_its_folder_known(
    outside: Outside, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quick walk lists only folders that changed: the folder of what was put over a name, and not looked into."""
    other = outside.root / "other"
    other.write_bytes(LARGE.replace(b"x", b"y"))
    os.utime(other, ns=(large.stat().st_atime_ns, large.stat().st_mtime_ns))
    other.replace(large)
    version = outside.items()["large"].content_version
    with monkeypatch.context() as patched:
        before_it_is_told(patched, killed)
        with pytest.raises(KeyboardInterrupt):
            outside.scan()
    outside.scan(quick=True)
    assert outside.items()["large"].content_version != version


def killed() -> None:
    raise KeyboardInterrupt


@pytest.fixture
def burials(monkeypatch: pytest.MonkeyPatch) -> list[list[Item]]:
    """What each transaction buried; at most five at once."""
    monkeypatch.setattr(burying, "AT_ONCE_MAX", 5)
    found: list[list[Item]] = [[]]
    begin, bury = SqliteTx.__init__, SqliteTx.bury

    def note_begin(self: SqliteTx, connection: object) -> None:
        found.append([])
        begin(self, connection)  # type: ignore[arg-type]

    def note_bury(self: SqliteTx, item: Item, *, deleted_ns: int) -> object:
        found[-1].append(item)
        return bury(self, item, deleted_ns=deleted_ns)

    monkeypatch.setattr(SqliteTx, "__init__", note_begin)
    monkeypatch.setattr(SqliteTx, "bury", note_bury)
    return found


def grove(outside: Outside) -> int:
    """Folders in folders with files in all of them; returns how many items that is."""
    for path in ("top/a/b", "top/a/c", "top/d"):
        (outside.root / path).mkdir(parents=True, exist_ok=True)
    for folder in ("top", "top/a", "top/a/b", "top/a/c", "top/d"):
        for number in range(4):
            (outside.root / folder / f"f{number}").write_bytes(b"")
    outside.scan()
    return 25


def clear(path: Path) -> None:
    for each in sorted(path.rglob("*"), reverse=True):
        each.rmdir() if each.is_dir() else each.unlink()
    path.rmdir()


@pytest.mark.parametrize("way", ["scan", "doubts"])
def test_a_large_subtree_ends_in_steps_children_first(outside: Outside, burials: list[list[Item]], way: str) -> None:
    count = grove(outside)
    clear(outside.root / "top")
    report = outside.scan(confirmed=True) if way == "scan" else outside.doubt("top")
    assert report.removed == count
    assert set(outside.items()) == {""}
    steps = [step for step in burials if step]
    assert len(steps) >= count // 6
    assert max(map(len, steps)) <= 6
    order = [item for step in steps for item in step]
    place = {item.item_id: at for at, item in enumerate(order)}
    assert len(place) == count
    assert all(place[item.item_id] < place.get(item.parent_id or "", count) for item in order)
    tombs = outside.read(lambda view: view.changed_tombstones(0, 100))
    assert [tomb.item.item_id for tomb in tombs] == [item.item_id for item in order]


def test_what_is_saved_out_of_a_large_subtree_goes_on(outside: Outside, burials: list[list[Item]]) -> None:
    count = grove(outside)
    before = outside.ids()
    (outside.root / "top/a/b").rename(outside.root / "saved")
    (outside.root / "top/f1").rename(outside.root / "one")
    clear(outside.root / "top")
    (outside.root / "top").mkdir()  # and another folder takes its name
    outside.scan(confirmed=True)
    after = outside.ids()
    assert after["saved"] == before["top/a/b"]
    assert after["saved/f0"] == before["top/a/b/f0"]
    assert after["one"] == before["top/f1"]
    assert after["top"] != before["top"]
    buried = [item.item_id for step in burials for item in step]
    assert sorted(buried) == sorted(set(before.values()) - set(after.values()))
    assert len(buried) == count - 6


def test_a_killed_ending_goes_on_and_what_comes_back_keeps_its_id(
    outside: Outside, burials: list[list[Item]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    grove(outside)
    before = outside.ids()
    (outside.root / "top").rename(tmp_path / "away")
    real, calls = burying.hollow, []

    def hollow(*args: object, **words: object) -> int:
        calls.append(1)
        if len(calls) == 3:
            killed()
        return real(*args, **words)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr("server_stub.external.reconcile.hollow", hollow)
        with pytest.raises(KeyboardInterrupt):
            outside.scan(confirmed=True)
    assert len(outside.items()) == 26 - sum(map(len, burials)) > 1
    (tmp_path / "away").rename(outside.root / "back")
    outside.scan()
    assert outside.ids() == {path.replace("top", "back", 1): item_id for path, item_id in before.items()}


def test_many_names_of_one_folder_are_written_in_turns(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server_stub.external.walking._LOOK_MAX", 5)
    hops = []
    real = outside.store.write

    async def write(work: object) -> object:
        transactions: list[int] = []

        def counted(ledger: Ledger) -> object:
            begin = ledger.transaction
            ledger.transaction = lambda: transactions.append(1) or begin()  # type: ignore[method-assign,func-returns-value]
            return work(ledger)  # type: ignore[operator]

        done = await real(counted)
        hops.append(len(transactions))
        return done

    monkeypatch.setattr(outside.store, "write", write)
    for number in range(23):
        (outside.root / f"f{number}").write_bytes(b"")
    outside.scan()
    assert len(outside.ids()) == 23
    assert max(hops) == 1
