"""Which bits a write takes off."""

from __future__ import annotations

import pytest

from vfs.privileges import without


@pytest.mark.parametrize(
    ("before", "after"),
    [(0o755, 0o755), (0o4755, 0o755), (0o6755, 0o755), (0o2755, 0o755), (0o2644, 0o2644), (0o1777, 0o1777)],
)
def test_a_group_id_bit_stays_where_its_group_may_not_execute(before: int, after: int) -> None:
    assert without(before) == after
