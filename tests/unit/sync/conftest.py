"""What the tests of reconciliation share; a machine and its drive: tests.model.desk."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["told-first", "met-when-pushed"])
def push_first(request: pytest.FixtureRequest) -> bool:
    """The remote's news comes before the push, or by its refusal."""
    return bool(request.param == "met-when-pushed")
