"""How often a property is tried."""

from __future__ import annotations

from hypothesis import HealthCheck, settings


def examples(usually: int, bar: int) -> settings:
    """`usually` examples, always the same; with --long `bar`, new ones (tests/conftest.py)."""
    return settings(max_examples=usually if settings().derandomize else bar, suppress_health_check=list(HealthCheck))
