"""Drives for tests of what is promised: see tests.harness.drives."""

from __future__ import annotations

from tests.harness.drives import drive, first, lonely, one, second, served, two

__all__ = ["drive", "first", "lonely", "one", "second", "served", "two"]
