"""The whole table on a mount and on this machine's disk: each line is the same, but for the differences named here.

What is expected is never written down: the disk says it. A difference that is named and does not show is a failure,
too. The mount is paused: that sending behind changes nothing is for the tests of `tests/mount`.
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

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.drives import Drive

__all__ = ["drive"]
pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other people, and give files to them"),
]
TABLE_TIMEOUT_S = 240.0


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
def told(drive: Drive, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The lines of every case, of the mount and of the disk."""
    mount = drive.mount("posix", "-o", "allow_other")
    assert mount.command("pause", str(mount.path)).returncode == 0
    ours, theirs = mount.path / "table", tmp_path_factory.mktemp("disk")
    ours.mkdir()
    return _table(ours), _table(theirs)


def _table(folder: Path) -> dict[str, list[str]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.posix", str(folder)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=TABLE_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _different(ours: dict[str, list[str]], theirs: dict[str, list[str]]) -> Iterator[tuple[str, str, str]]:
    for case, lines in theirs.items():
        for mine, disks in zip_longest(ours[case], lines, fillvalue="nothing"):
            if mine != disks:
                yield case, mine, disks


def test_the_mount_is_like_the_disk(told: tuple[dict[str, list[str]], dict[str, list[str]]]) -> None:
    """[S11.1 to S11.10] Results, errors, attributes, times and permission are as on ext4, but for what is named."""
    ours, theirs = told
    assert set(ours) == set(theirs)
    unnamed = [
        f"{case}: the mount says {mine!r}, the disk {disks!r}"
        for case, mine, disks in _different(ours, theirs)
        if not any(each.covers(case, mine) for each in DIFFERENCES)
    ]
    assert unnamed == []


def test_the_table_ran_to_its_end(told: tuple[dict[str, list[str]], dict[str, list[str]]]) -> None:
    _, theirs = told
    assert [line for lines in theirs.values() for line in lines if line.startswith("broke")] == []
    assert sum(map(len, theirs.values())) > 8_000


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda each: each.mark)
def test_what_is_named_as_different_is(
    difference: Difference, told: tuple[dict[str, list[str]], dict[str, list[str]]]
) -> None:
    """[S11.1, S11.3, S11.4, S11.7] The differences that are documented, each seen."""
    assert any(difference.covers(case, mine) for case, mine, _ in _different(*told))
