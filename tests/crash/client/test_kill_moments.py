"""kill -9 between two steps that touch the state directory: what the table of crashes says is left, and its repair."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from cache import contents, dropped, fsck, recovery
from cache.errors import StateUnusable
from tests.crash.client.moments import CHANGED, MADE, TOLD, change, drive
from tests.model.machine import Machine

if TYPE_CHECKING:
    from tests.model.machine import Tree

CHECKOUT = Path(__file__).resolve().parents[3]
TIMEOUT_S = 120

EDITED = {**TOLD, "/told": b"AS the server has it"}
WITH_MADE = {**TOLD, "/made": MADE}
# (what it does, where it is killed, the laws that are broken then and heal, what is shown afterwards)
MOMENTS: list[tuple[str, str, set[str], Tree]] = [
    ("gather", "deposit-written", {"blob-has-row"}, {**TOLD}),
    ("edit_bundled", "bundle-left", set(), {**TOLD}),
    ("create", "bytes-written", {"blob-size"}, WITH_MADE),
    ("edit", "edit-marked", set(), {**TOLD}),
    ("edit", "bytes-written", set(), EDITED),
    ("lose", "put-aside", set(), {**TOLD, "/told": b"MY the server has it"}),
    ("unlink_while_open", "", {"blob-size", "unlinked-is-forgotten"}, {**TOLD}),
    ("replace_while_open", "", {"clean-has-node"}, {**TOLD, "/told": CHANGED}),
    ("close", "closing", set(), WITH_MADE),
    ("close_and_open", "seal-off:2", set(), WITH_MADE),
    ("leave_while_open", "", set(), WITH_MADE),
]


def kill(scene: str, point: str, state: Path) -> None:
    """Do it until it is killed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.client.moments", scene, str(state)],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "ANCHORFS_FAILPOINT": point},
        capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd=CHECKOUT,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr


def come_back(scene: str, state: Path) -> Machine:
    """The next start, which finds the drive as it was left."""
    found = drive()
    if scene in {"lose", "replace_while_open"}:
        change(found)
    return Machine("ann", found, state)


@pytest.mark.parametrize(("scene", "point", "broken", "shown"), MOMENTS)
def test_what_is_left_is_put_right(tmp_path: Path, scene: str, point: str, broken: set[str], shown: Tree) -> None:
    kill(scene, point, tmp_path)
    findings = fsck.check(tmp_path, deep=True)
    assert [each for each in findings if not each.heals] == []
    assert {each.law for each in findings} == broken
    machine = come_back(scene, tmp_path)
    assert machine.tree() == shown
    reader = machine.store.db.reader
    assert dropped.every(reader) == []
    assert all(machine.store.blobs.is_marked(each) for each in contents.dirty(reader))
    trio.run(machine.store.aclose)
    assert fsck.check(tmp_path, deep=True) == []
    assert not (tmp_path / "rescued").exists()
    assert not (tmp_path / "quarantine").exists()


def test_what_was_open_at_the_end_is_as_durable_as_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine went down in order, with a program that had its file open to the last."""
    kill("leave_while_open", "", tmp_path)
    (tmp_path / "boot_id").write_text("another-boot\n")
    monkeypatch.setattr(recovery, "_BOOT_ID", tmp_path / "boot_id")
    machine = come_back("leave_while_open", tmp_path)
    assert machine.tree() == WITH_MADE
    machine._let_go()
    assert not (tmp_path / "rescued").exists()


@pytest.mark.parametrize("point", ["catalog-moved", "rescued"])
def test_a_rescue_goes_on_where_it_was_killed(tmp_path: Path, point: str) -> None:
    """Under the names that the damaged catalog still tells."""
    kill("open_damaged", point, tmp_path)
    with pytest.raises(StateUnusable):
        fsck.check(tmp_path)
    machine = come_back("open_damaged", tmp_path)
    trio.run(machine.store.aclose)
    (quarantine,) = (tmp_path / "quarantine").iterdir()
    assert {each.name for each in quarantine.iterdir()} >= {"state.db", "seal"}
    assert "unfinished" not in {each.name for each in quarantine.iterdir()}
    kept = [each for each in (tmp_path / "rescued").rglob("*") if each.is_file() and each.read_bytes() == MADE]
    assert len(kept) == 1
    assert fsck.check(tmp_path) == []
