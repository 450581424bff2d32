"""What every test shares: tests of a real mount are skipped, with a word, where there is no FUSE."""

from __future__ import annotations

import ctypes
import faulthandler
import inspect
import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants
from trio.testing import MockClock

from tests.model.clock import threads_in_place, virtually

if TYPE_CHECKING:
    from collections.abc import Callable

_CLONE_NEWNS, _MS_REC, _MS_PRIVATE = 0x20000, 0x4000, 0x40000  # sched.h, sys/mount.h


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long the tests are that can be of any length."""
    parser.addoption("--model-examples", type=int, default=15, help="histories that the model test tries (15)")
    parser.addoption("--model-seed", type=int, default=0, help="which ones (0)")
    parser.addoption("--long", action="store_true", help="repeat what can be repeated as often as its bar says")


def pytest_configure(config: pytest.Config) -> None:
    """Give every test the signals and the mounts that it may count on, however the tests were started."""
    _examples(always_the_same=not config.getoption("--long"))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as for a job in a script's background; children inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    _mounts_of_its_own()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Who repeats a test for an hour does not have it told as hanging: to tell where it runs may crash it."""
    if item.config.getoption("--long"):
        faulthandler.cancel_dump_traceback_later()


def _examples(*, always_the_same: bool) -> None:
    """What a property is tried on depends on no dice, and how it ends on no clock; --long looks for new examples.

    Nor on what is imported by then: hypothesis mixes in the constants of all modules of ours, and which of them another
    file's tests have brought in is a matter of who was faster.
    """
    providers._get_local_constants = Constants
    settings.register_profile(
        "anchorfs", deadline=None, derandomize=always_the_same, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("anchorfs")


def _mounts_of_its_own() -> None:
    """Files that run side by side do not see each other's mounts, so `status` and `doctor` find only their own.

    Root can have a mount namespace per process (unshare(2)); what a test leaves mounted goes with its process.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ or os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) == 0 and libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None) != 0:
        raise OSError(ctypes.get_errno(), "the mounts of the new namespace cannot be made private")


@pytest.fixture(scope="session")
def often(pytestconfig: pytest.Config) -> Callable[[int, int], int]:
    """How often to repeat: `often(20, 1000)` is 20, and with --long 1000."""
    return lambda usually, bar: bar if pytestconfig.getoption("--long") else usually


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests marked `virtual_time` so, and skip those marked `fuse` where /dev/fuse cannot be opened."""
    for item in items:
        asynchronous = isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj)
        if asynchronous and item.get_closest_marker("virtual_time") is not None:
            item.add_marker(pytest.mark.trio(run=virtually), append=False)  # before pytest-trio's own
    if os.access("/dev/fuse", os.R_OK | os.W_OK):
        return
    skip = pytest.mark.skip(reason="no usable /dev/fuse on this machine: the real mount cannot be tested")
    for item in items:
        if item.get_closest_marker("fuse") is not None:
            item.add_marker(skip)


@pytest.fixture
def autojump_clock(monkeypatch: pytest.MonkeyPatch) -> MockClock:
    """pytest-trio's, under which no deadline passes because a thread is slow: there are no threads."""
    threads_in_place(monkeypatch)
    return MockClock(autojump_threshold=0)
