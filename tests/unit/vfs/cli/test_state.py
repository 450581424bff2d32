"""What `status` prints of a mount."""

from __future__ import annotations

import pytest

from vfs.cli.state import _connection_line


@pytest.mark.parametrize(
    ("age_s", "line"),
    [(-1, "offline (not asked yet)"), (0, "offline (anchor 0 s old)"), (7, "offline (anchor 7 s old)")],
)
def test_the_age_of_news_that_never_came_is_no_number(age_s: int, line: str) -> None:
    assert _connection_line("offline", age_s) == line
