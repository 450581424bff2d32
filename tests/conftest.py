"""What every test shares: tests of a real mount are skipped, with a word, where there is no FUSE."""

from __future__ import annotations

import os

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long the tests are that can be of any length."""
    parser.addoption("--model-examples", type=int, default=40, help="histories that the model test tries (40)")
    parser.addoption("--model-seed", type=int, default=0, help="which ones (0)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `fuse` where /dev/fuse cannot be opened."""
    if os.access("/dev/fuse", os.R_OK | os.W_OK):
        return
    skip = pytest.mark.skip(reason="no usable /dev/fuse on this machine: the real mount cannot be tested")
    for item in items:
        if item.get_closest_marker("fuse") is not None:
            item.add_marker(skip)
