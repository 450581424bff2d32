"""Names that differ in letter case or Unicode form only, on a server that takes them for one: both keep their bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.drives import Drive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.mount import Mount

pytestmark = pytest.mark.fuse

NFC, NFD = "\u00e9t\u00e9", "e\u0301te\u0301"


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drive]:
    """A drive whose server folds names."""
    drive = Drive(tmp_path_factory.mktemp("folding"))
    drive.server.options = ("--fold-names",)
    with drive:
        yield drive


@pytest.fixture(scope="module")
def mount(drive: Drive) -> Mount:
    """A mount of it."""
    return drive.mount("one")


def contents(folder: Path) -> dict[str, bytes]:
    """What lies in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(("first", "second"), [("README", "readme"), (NFC, NFD)], ids=["case", "form"])
def test_both_files_keep_their_bytes(drive: Drive, mount: Mount, first: str, second: str) -> None:
    name = f"both-{len(first)}"
    (mount.path / name).mkdir()
    (mount.path / name / first).write_bytes(b"first")
    mount.sync()
    (mount.path / name / second).write_bytes(b"second")
    mount.sync()
    served = contents(drive.served / name)
    assert served.pop(first) == b"first"
    ((copy, data),) = served.items()
    assert "conflict" in copy
    assert data == b"second"
    assert contents(mount.path / name) == {first: b"first", copy: b"second"}


def test_a_rename_that_changes_the_case_only(drive: Drive, mount: Mount) -> None:
    (mount.path / "only").mkdir()
    (mount.path / "only" / "Plan").write_bytes(b"plan")
    mount.sync()
    ino = (mount.path / "only" / "Plan").stat().st_ino
    (mount.path / "only" / "Plan").rename(mount.path / "only" / "PLAN")
    mount.sync()
    assert contents(drive.served / "only") == {"PLAN": b"plan"}
    assert (mount.path / "only" / "PLAN").stat().st_ino == ino


def test_a_file_moves_to_a_name_that_differs_by_case(drive: Drive, mount: Mount) -> None:
    (mount.path / "moved").mkdir()
    (mount.path / "moved" / "Plan").write_bytes(b"plan")
    (mount.path / "moved" / "draft").write_bytes(b"draft")
    mount.sync()
    (mount.path / "moved" / "draft").rename(mount.path / "moved" / "plan")
    mount.sync()
    served = contents(drive.served / "moved")
    assert served.pop("Plan") == b"plan"
    assert list(served.values()) == [b"draft"]
    assert "conflict" in next(iter(served))
