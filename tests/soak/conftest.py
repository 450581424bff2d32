"""One drive per test, or per module."""

from __future__ import annotations

from tests.harness.drives import drive, first, lonely, one, served

__all__ = ["drive", "first", "lonely", "one", "served"]
