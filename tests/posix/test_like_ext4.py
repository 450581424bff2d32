"""The whole table on a mount and on this machine's disk: each line is the same, but for the differences named here.

What is expected is never written down: the disk says it. A difference that is named and does not show is a failure,
too. Done by root, who becomes other people, and by somebody without privileges, on a mount of root's; where the tests
are not root's, by who they are. The mount is paused: that sending behind changes nothing is for `tests/mount`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import pytest

from tests.harness.drives import drive
from tests.harness.mount import CHECKOUT
from tests.posix.work import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.drives import Drive
    from tests.harness.mount import Mount

__all__ = ["drive"]
pytestmark = pytest.mark.fuse
TABLE_TIMEOUT_S = 240.0
PEOPLE = (0, NOBODY) if os.geteuid() == 0 else (os.geteuid(),)
Lines = dict[str, list[str]]


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other people, and give files to them")


@dataclass(frozen=True, slots=True)
class Difference:
    """One that `vfs/SEMANTICS.md` names, by the names of cases and by what the mount says there."""

    mark: str
    cases: str
    ours: str = r""

    def covers(self, case: str, ours: str) -> bool:
        """Whether this is it."""
        return re.fullmatch(self.cases, case) is not None and re.search(self.ours, ours) is not None


DIFFERENCES = (
    Difference("S11.1", r"opening-block", r"EACCES$"),  # the mount is nodev
    Difference("S11.1", r"creating", r"O_TMPFILE: ENOTSUP"),
    Difference("S11.3", r"flags", r"whiteout: EINVAL"),
    Difference("S11.4", r"links-(?!folder).*"),
    Difference(
        "S11.7", r"writing_takes_privileges_away-somebody", r"stat (write|append|f?truncate|O_TRUNC)-2767: -rwxrwSrwx"
    ),
)


@pytest.fixture(scope="module")
def mount(drive: Drive) -> Mount:
    """Open to all, where this may be asked for."""
    made = drive.mount("posix", *(("-o", "allow_other") if os.geteuid() == 0 else ()))
    assert made.command("pause", str(made.path)).returncode == 0
    return made


@pytest.fixture(scope="module", params=PEOPLE)
def told(mount: Mount, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> tuple[Lines, Lines]:
    """The lines of every case, of the mount and of the disk."""
    uid: int = request.param
    ours, theirs = mount.path / f"table-{uid}", tmp_path_factory.mktemp("disk")
    ours.mkdir()
    return _table(ours, uid), _table(theirs, uid)


def _table(folder: Path, uid: int) -> Lines:
    folder.chmod(0o755)
    os.chown(folder, uid, uid if uid != os.geteuid() else os.getegid())
    done = subprocess.run(
        [sys.executable, "-m", "tests.posix", "--as", str(uid), str(folder)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=TABLE_TIMEOUT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def _different(ours: Lines, theirs: Lines) -> Iterator[tuple[str, str, str]]:
    for case, lines in theirs.items():
        for mine, disks in zip_longest(ours[case], lines, fillvalue="nothing"):
            if mine != disks:
                yield case, mine, disks


def test_the_mount_is_like_the_disk(told: tuple[Lines, Lines]) -> None:
    """[S11.1 to S11.10] Results, errors, attributes, times and permission are as on ext4, but for what is named."""
    ours, theirs = told
    assert set(ours) == set(theirs)
    unnamed = [
        f"{case}: the mount says {mine!r}, the disk {disks!r}"
        for case, mine, disks in _different(ours, theirs)
        if not any(each.covers(case, mine) for each in DIFFERENCES)
    ]
    assert unnamed == []


@as_root
def test_the_table_ran_to_its_end(told: tuple[Lines, Lines], request: pytest.FixtureRequest) -> None:
    _, theirs = told
    broke = [line for lines in theirs.values() for line in lines if line.startswith("broke")]
    if request.node.callspec.params["told"] == 0:
        assert broke == []
    assert sum(map(len, theirs.values())) > (11_000 if not broke else 6_000)


@as_root
@pytest.mark.parametrize("told", [0], indirect=True)
@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda each: each.mark)
def test_what_is_named_as_different_is(difference: Difference, told: tuple[Lines, Lines]) -> None:
    """[S11.1, S11.3, S11.4, S11.7] The differences that are documented, each seen."""
    assert any(difference.covers(case, mine) for case, mine, _ in _different(*told))


@as_root
def test_nobody_else_sees_a_mount_that_is_not_open_to_all(drive: Drive, mount: Mount) -> None:
    """[S11.6] It is refused by the kernel, before anybody's mode is looked at."""
    drive.folder.chmod(0o711)
    private = drive.mount("private")
    (private.path / "f").touch(0o666)
    done = subprocess.run(
        ["stat", "--format=%n", "private/f", mount.path.name], cwd=drive.folder, env={"LC_ALL": "C"},
        user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == f"{mount.path.name}\n"
    assert "private/f': Permission denied" in done.stderr
