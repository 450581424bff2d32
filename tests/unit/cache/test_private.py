"""Folders of one user's own."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from cache.private import make_private

if TYPE_CHECKING:
    from pathlib import Path


def test_all_that_is_made_on_the_way_is_closed_to_others(tmp_path: Path) -> None:
    old = tmp_path / "home"
    old.mkdir()
    old.chmod(0o755)
    before = os.umask(0)
    try:
        make_private(old / ".local/state/anchorfs/log")
        make_private(old / ".local/state/anchorfs/log")
    finally:
        os.umask(before)
    made = [old / ".local", old / ".local/state", old / ".local/state/anchorfs", old / ".local/state/anchorfs/log"]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in made} == {0o700}
    assert stat.S_IMODE(old.stat().st_mode) == 0o755
