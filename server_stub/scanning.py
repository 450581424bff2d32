"""`anchorfs-server scan`: a walk by the running server, or by this process when none runs; and how it is told."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from server_stub.control import NotRunning, ask
from server_stub.external.scan import Report, RootReplaced
from server_stub.migrations import StateUnusable
from server_stub.service import open_service
from server_stub.serving import StateInUse, state_lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from server_stub.settings import Settings

Figures = dict[str, object]


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """What kind of walk."""

    quick: bool = False
    duty: float = 1.0  # share of the time that it works, 0.01 to 1
    confirmed: bool = False  # a removal of most of the drive is meant


def scan(settings: Settings, request: ScanRequest, progress: Callable[[Figures], None]) -> Figures:
    """{"report": …} or {"error": …}."""
    try:
        return ask(settings.state, "scan", progress=progress, **asdict(request))
    except NotRunning:
        return _alone(settings, request, progress)


def _alone(settings: Settings, request: ScanRequest, progress: Callable[[Figures], None]) -> Figures:
    """Open the state without a server."""

    async def run() -> Report:
        async with open_service(settings) as service:
            return await service.scan(**asdict(request), progress=lambda report: progress(dict(report.as_dict())))

    try:
        with state_lock(settings.state):
            return {"report": asyncio.run(run()).as_dict()}
    except (StateInUse, RootReplaced, StateUnusable, OSError, sqlite3.DatabaseError) as error:
        return {"error": str(error)}


def tell_progress(figures: Figures) -> None:
    """One line on stderr, over the one before when a person looks."""
    end = "\r" if sys.stderr.isatty() else "\n"
    sys.stderr.write(f"{figures['folders']} folders, {figures['items']} items, {figures['seconds']} s{end}")
    sys.stderr.flush()


def summary(report: Figures) -> str:
    """For people."""
    kind = "quick walk" if report["quick"] else "walk"
    found = ", ".join(f"{report[name]} {name}" for name in ("added", "changed", "moved", "removed"))
    looked = f"{report['folders']} folders ({report['unchanged']} unchanged), {report['items']} items"
    left = ", ".join(f"{report[name]} {name.replace('_', ' ')}" for name in ("left_out", "unreadable") if report[name])
    return f"{kind}: {looked} in {report['seconds']} s: {found}" + (f"; {left}" if left else "")
