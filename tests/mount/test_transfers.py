"""Transfers that are under way while the tree changes around them; bodies are held at a known byte."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.faults import Gate, HoldAnswer, HoldRequest, Request, Times
from tests.harness.drives import Drive, seen
from tests.harness.trees import pattern
from tests.harness.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.proxy import FaultProxy
    from tests.harness.mount import Mount

pytestmark = pytest.mark.fuse

WITHOUT_WAITING_S = 40.0  # of the 60 that its reader waits for a held download
BIG = pattern(20_000_000, 7)


@pytest.fixture
def gate(link: FaultProxy) -> Iterator[Gate]:
    """Open at the end, however the test ended."""
    gate = Gate()
    yield gate
    gate.go.set()
    link.rule = None


@pytest.fixture
def there(far: Mount, one: Path) -> Path:
    """This test's folder on the mount whose transfers can be held, once it has heard of it."""
    folder = far.path / one.name
    until(folder.is_dir, "the far mount to see the test's folder")
    return folder


def _download(request: Request) -> bool:
    return request.method == "GET" and "/content" in request.target


def _upload(request: Request) -> bool:
    return request.method in {"PUT", "PATCH"}


class Reader(threading.Thread):
    """Reads a whole file by one handle that is already open."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._descriptor = os.open(path, os.O_RDONLY)
        self._data = b""
        self._error: OSError | None = None
        self.start()

    def run(self) -> None:
        """Block after block, as `cat` does."""
        try:
            while chunk := os.read(self._descriptor, 1 << 17):
                self._data += chunk
        except OSError as error:
            self._error = error
        finally:
            os.close(self._descriptor)

    def result(self) -> bytes:
        """All that was read; raises what reading raised."""
        self.join(DEADLINE_S)
        assert not self.is_alive(), "the reader did not come to its end"
        if self._error is not None:
            raise self._error
        return self._data


@pytest.mark.parametrize("who", ["here", "elsewhere"])
def test_a_parent_folder_is_renamed_during_a_download(
    one: Path, there: Path, link: FaultProxy, gate: Gate, who: str
) -> None:
    (one / "folder" / "sub").mkdir(parents=True)
    (one / "folder" / "sub" / "big").write_bytes(BIG)
    until(lambda: (there / "folder" / "sub" / "big").stat().st_size == len(BIG), "the placeholder")
    link.rule = Times(HoldAnswer(gate, 3_000_000), _download)
    reader = Reader(there / "folder" / "sub" / "big")
    assert gate.reached.wait(DEADLINE_S)

    ((there if who == "here" else one) / "folder").rename((there if who == "here" else one) / "renamed")
    until((there / "renamed" / "sub" / "big").exists, "the new name")
    until((one / "renamed" / "sub" / "big").exists, "the new name elsewhere")
    gate.go.set()
    assert reader.result() == BIG
    assert (there / "renamed" / "sub" / "big").read_bytes() == BIG


@pytest.mark.parametrize("who", ["here", "elsewhere"])
def test_a_parent_folder_is_renamed_during_an_upload(  # noqa: PLR0917
    one: Path, served: Path, there: Path, far: Mount, link: FaultProxy, gate: Gate, who: str
) -> None:
    (one / "folder" / "sub").mkdir(parents=True)
    until((there / "folder" / "sub").is_dir, "the folder")
    link.rule = Times(HoldRequest(gate, 3_000_000), _upload)
    (there / "folder" / "sub" / "big").write_bytes(BIG)
    assert gate.reached.wait(DEADLINE_S)

    ((there if who == "here" else one) / "folder").rename((there if who == "here" else one) / "renamed")
    until((there / "renamed" / "sub" / "big").exists, "the new name")
    gate.go.set()
    far.sync()
    seen(one / "renamed" / "sub" / "big", BIG)
    assert (served / "renamed" / "sub" / "big").read_bytes() == BIG
    assert [str(path.relative_to(served)) for path in served.rglob("*") if path.is_file()] == ["renamed/sub/big"]


def test_other_bytes_of_a_held_download_do_not_wait_for_it(  # noqa: PLR0917
    one: Path, there: Path, drive: Drive, far: Mount, link: FaultProxy, gate: Gate
) -> None:
    (one / "big").write_bytes(pattern(60_000_000, 8))
    path = there / "big"
    until(lambda: path.stat().st_size == 60_000_000, "the placeholder")
    link.rule = Times(HoldAnswer(gate, 1_000_000), _download)
    with path.open("rb", buffering=0) as file:
        assert os.pread(file.fileno(), 1000, 0) == pattern(60_000_000, 8)[:1000]
        assert gate.reached.wait(DEADLINE_S)
        expected = pattern(60_000_000, 8)[50_000_000:50_001_000]
        assert os.pread(file.fileno(), 1000, 50_000_000) == expected
    assert drive.mounts["far"].command("status", str(far.path)).returncode == 0


def test_a_file_is_overwritten_elsewhere_during_its_download(
    one: Path, there: Path, drive: Drive, link: FaultProxy, gate: Gate
) -> None:
    new = pattern(len(BIG) + 1, 9)
    (one / "big").write_bytes(BIG)
    path = there / "big"
    until(lambda: path.stat().st_size == len(BIG), "the placeholder")
    link.rule = Times(HoldAnswer(gate, 3_000_000), _download)
    reader = Reader(path)
    assert gate.reached.wait(DEADLINE_S)
    (one / "big").write_bytes(new)
    drive.mounts["one"].sync()
    begun_s = time.monotonic()
    seen(path, new)  # a new open gets the new version, while the older one is still being read
    assert time.monotonic() - begun_s < WITHOUT_WAITING_S, "the kernel waited for the older reader's pages"
    gate.go.set()
    assert reader.result() == BIG
    until(lambda: path.stat().st_size == len(new), "the new size, once nobody reads the older version any more")
    assert path.read_bytes() == new


def test_a_file_is_saved_over_while_its_older_state_is_under_way(  # noqa: PLR0917
    one: Path, served: Path, there: Path, far: Mount, link: FaultProxy, gate: Gate
) -> None:
    """The older upload lands late: it is our own, no stranger's edit, and makes no conflict copy."""
    (one / "file").write_bytes(b"0")
    seen(there / "file", b"0")
    link.rule = Times(HoldRequest(gate, 100_000), _upload)
    (there / "file").write_bytes(pattern(200_000, 1))
    assert gate.reached.wait(DEADLINE_S)
    (there / "temporary").write_bytes(pattern(200_000, 2))
    (there / "temporary").rename(there / "file")
    gate.go.set()
    far.sync()
    seen(one / "file", pattern(200_000, 2))
    assert [each.name for each in served.iterdir()] == ["file"]


def test_a_file_is_deleted_while_its_creation_is_under_way(
    served: Path, there: Path, far: Mount, link: FaultProxy, gate: Gate
) -> None:
    link.rule = Times(HoldRequest(gate, 100_000), _upload)
    (there / "file").write_bytes(pattern(200_000, 1))
    assert gate.reached.wait(DEADLINE_S)
    (there / "file").unlink()
    gate.go.set()
    far.sync()
    assert list(served.iterdir()) == []
    assert list(there.iterdir()) == []


def test_a_file_is_written_on_while_it_is_uploaded(
    served: Path, there: Path, far: Mount, link: FaultProxy, gate: Gate
) -> None:
    link.rule = Times(HoldRequest(gate, 100_000), _upload)
    (there / "log").write_bytes(pattern(200_000, 1))
    assert gate.reached.wait(DEADLINE_S)
    with (there / "log").open("ab") as file:
        file.write(b"the last line\n")
    gate.go.set()
    far.sync()
    assert (served / "log").read_bytes() == pattern(200_000, 1) + b"the last line\n"
    assert [each.name for each in served.iterdir()] == ["log"]
