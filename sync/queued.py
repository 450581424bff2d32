"""The outbox as people look at it: where each change is, how far it is, and what it waits for. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
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
    changes = journal.all_changes(reader)
    explained = _Explained(reader, changes)
    return [
        QueuedChange(
            path=paths.of_change(reader, row),
            change=row,
            before=paths.before(reader, row) if row.aspect is Aspect.PLACE else None,
            progress=moving.get(row.ino) if row.aspect in {Aspect.CREATE, Aspect.CONTENT} else None,
            waits=explained.waits(row) if number < EXPLAINED_ROWS else None,
        )
        for number, row in enumerate(changes)
    ]


class _Explained:
    """Each row is planned once, however many wait for it: a whole tree waits for its topmost folder."""

    def __init__(self, reader: sqlite3.Connection, changes: list[LocalChange]) -> None:
        self._reader = reader
        self._rows: dict[requests.Row, LocalChange] = {(each.ino, each.aspect): each for each in changes}
        self._plan = cache(partial(push.plan, reader))

    def waits(self, row: LocalChange) -> str | None:
        reason: str | None = None
        last, seen = row, set[requests.Row]()
        while last.state is ChangeState.PENDING and len(seen) < CHAIN_ROWS_MAX:
            action = self._plan(last)
            if not isinstance(action, requests.Wait):
                break
            reason = reason or action.reason
            seen.add((last.ino, last.aspect))
            first = self._first(action, seen)
            if first is None:
                break
            last = first
        if reason is None or last.state not in {ChangeState.PARKED, ChangeState.HELD}:
            return reason
        return f"{reason}: {paths.of_change(self._reader, last)} is {last.state}"

    def _first(self, wait: requests.Wait, seen: set[requests.Row]) -> LocalChange | None:
        """What it waits for; of several what waits for a person."""
        behind = [self._rows[each] for each in wait.behind if each in self._rows and each not in seen]
        return min(behind, key=lambda each: each.state is ChangeState.PENDING, default=None)
