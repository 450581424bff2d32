"""Drives for tests of a broken link: see tests.harness.drives."""

from __future__ import annotations

from tests.harness.drives import drive, far, first, link, lonely, one, second, served, two

__all__ = ["drive", "far", "first", "link", "lonely", "one", "second", "served", "two"]
