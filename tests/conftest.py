"""What every test shares: tests of a real mount are skipped, with a word, where there is no FUSE."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long the tests are that can be of any length."""
    parser.addoption("--model-examples", type=int, default=40, help="histories that the model test tries (40)")
    parser.addoption("--model-seed", type=int, default=0, help="which ones (0)")
    parser.addoption("--long", action="store_true", help="repeat what can be repeated as often as its bar says")


@pytest.fixture(scope="session")
def often(pytestconfig: pytest.Config) -> Callable[[int, int], int]:
    """How often to repeat: `often(20, 1000)` is 20, and with --long 1000."""
    return lambda usually, bar: bar if pytestconfig.getoption("--long") else usually


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `fuse` where /dev/fuse cannot be opened."""
    if os.access("/dev/fuse", os.R_OK | os.W_OK):
        return
    skip = pytest.mark.skip(reason="no usable /dev/fuse on this machine: the real mount cannot be tested")
    for item in items:
        if item.get_closest_marker("fuse") is not None:
            item.add_marker(skip)
