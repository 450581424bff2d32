"""The outbox as people look at it: where each change is, how far it is, and what it waits for. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache import journal, paths
from cache.model import Aspect, ChangeState, Ino, LocalChange
from sync import push, requests

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from sync.upload_source import Progress

EXPLAINED_ROWS = 1000  # the oldest: of a long outbox the others mostly wait for the same, and each costs 0.1 ms
CHAIN_ROWS_MAX = 64  # of changes that wait for one another


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedChange:
    """A row of the outbox and where it is, or was, in the tree."""

    path: str
    change: LocalChange
    before: str | None  # of something moved: where the remote has it
    progress: Progress | None  # of its bytes, while they travel
    waits: str | None  # for what goes first, and which change at the end of that is a person's to decide about


def queued(reader: sqlite3.Connection, moving: Mapping[Ino, Progress]) -> list[QueuedChange]:
    """All of it, oldest first."""
    return [
        QueuedChange(
            path=paths.of_change(reader, row),
            change=row,
            before=paths.before(reader, row) if row.aspect is Aspect.PLACE else None,
            progress=moving.get(row.ino) if row.aspect in {Aspect.CREATE, Aspect.CONTENT} else None,
            waits=_waits(reader, row) if number < EXPLAINED_ROWS else None,
        )
        for number, row in enumerate(journal.all_changes(reader))
    ]


def _waits(reader: sqlite3.Connection, row: LocalChange) -> str | None:
    reason: str | None = None
    last, seen = row, set[requests.Row]()
    while last.state is ChangeState.PENDING and len(seen) < CHAIN_ROWS_MAX:
        action = push.plan(reader, last)
        if not isinstance(action, requests.Wait):
            break
        reason = reason or action.reason
        seen.add((last.ino, last.aspect))
        first = _first(reader, action, seen)
        if first is None:
            break
        last = first
    if reason is None or last.state not in {ChangeState.PARKED, ChangeState.HELD}:
        return reason
    return f"{reason}: {paths.of_change(reader, last)} is {last.state}"


def _first(reader: sqlite3.Connection, wait: requests.Wait, seen: set[requests.Row]) -> LocalChange | None:
    """What it waits for; of several what waits for a person."""
    behind = [journal.get(reader, *each) for each in wait.behind if each not in seen]
    there = [each for each in behind if each is not None]
    return min(there, key=lambda each: each.state is ChangeState.PENDING, default=None)
