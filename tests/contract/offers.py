"""What each remote of the contract offers, known before any is asked.

A test marked `needs(…)` is made for the remotes that offer that, one marked `lacks(…)` for those that do not: a
`Feature`, or the name of a flag of `Capabilities`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sync.capabilities import EVERYTHING, Capabilities, Feature
from sync.remotes.dav.habits import Habits, capabilities_of
from sync.remotes.nextcloud.able import BEFORE
from tests.contract.davs import SERVERS

if TYPE_CHECKING:
    from collections.abc import Iterable

needs, lacks = pytest.mark.needs, pytest.mark.lacks
FLAGS = ("old_versions_readable", "symlinks", "xattrs")

OFFERED: dict[str, Capabilities] = {
    "fake": EVERYTHING,
    "anchor": EVERYTHING,
    "nextcloud": BEFORE,
    **dict.fromkeys(SERVERS, capabilities_of(Habits(), unsafe=False)),
}


def suits(offered: Capabilities, marks: Iterable[pytest.Mark]) -> bool:
    """Whether a test of these marks is one for a remote that offers this."""
    wanted = {"needs": True, "lacks": False}
    return all(_has(offered, mark.args[0]) is wanted[mark.name] for mark in marks if mark.name in wanted)


def _has(offered: Capabilities, what: Feature | str) -> bool:
    return what in offered.features if isinstance(what, Feature) else bool(getattr(offered, what))
