"""What `status` prints of a mount."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vfs.cli.state import _connection_line, _rescued_lines

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("age_s", "line"),
    [(-1, "offline (not asked yet)"), (0, "offline (anchor 0 s old)"), (7, "offline (anchor 7 s old)")],
)
def test_the_age_of_news_that_never_came_is_no_number(age_s: int, line: str) -> None:
    assert _connection_line("offline", age_s) == line


def test_the_queue_tells_of_rescued_files_whose_folder_and_nothing_where_there_are_none(tmp_path: Path) -> None:
    day = tmp_path / "one" / "rescued" / "2026-11-22"
    day.mkdir(parents=True)
    (tmp_path / "two").mkdir()
    (day / "RESCUED.txt").write_text("the list of them is none of them")
    assert _rescued_lines([tmp_path / "one", tmp_path / "two"]) == []
    (day / "essay").write_bytes(b"not sent")
    (line,) = _rescued_lines([tmp_path / "one", tmp_path / "two"])
    assert line.startswith(f"files that may hold unsent changes (1) are in {tmp_path}/one/rescued: copy ")
