"""What becomes of a row of the outbox whose push failed: tried again later, looked at anew, or parked for a person.

Parked is what would be refused again. What changed while the refused request was under way is another request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from cache import activity, journal
from cache.activity import What
from cache.errors import LocalError
from cache.model import Aspect, LocalChange
from sync import push, requests
from sync.concerned import concerned_by, folders_above
from sync.deciding import keep_folder, met
from sync.remote import (
    BadDigest,
    Conflict,
    Denied,
    Gone,
    NameRefused,
    NotSignedIn,
    Permanent,
    QuotaFull,
    Refused,
    RemoteError,
    UploadGone,
    VersionGone,
)

if TYPE_CHECKING:
    import random
    import sqlite3
    from collections.abc import Callable

    from cache.store import LocalStore
    from sync.applying import Applier, Heard
    from sync.sending import Sender

BACKOFF_MAX_S = 300.0
QUOTA_RETRY_S = 60
DISK_RETRY_S = 5.0  # after a failure of this machine's own disk
CONFLICT_ROUNDS = 12  # a row that meets a conflict so often in a row is parked for a person to look at


@dataclass(slots=True)
class PushStatistics:
    """Counters since the start."""

    active: int = 0
    last_error: str | None = None


class Setbacks:
    """See the module. `statistics` are told the last error."""

    def __init__(
        self, store: LocalStore, applier: Applier, sender: Sender, chance: random.Random, statistics: PushStatistics
    ) -> None:
        self._store = store
        self._applier = applier
        self._sender = sender
        self._chance = chance
        self._statistics = statistics

    async def write_down(self, outcome: Callable[[sqlite3.Connection], None]) -> None:
        """Without it a row would stay marked as sent, and never be tried again: a full disk is waited for."""
        while True:
            try:
                return await self._store.db.write(outcome)
            except (LocalError, OSError) as error:
                self._statistics.last_error = str(error)
                await trio.sleep(DISK_RETRY_S)

    async def failed(self, change: LocalChange, planned: requests.Push, error: RemoteError, heard: Heard) -> None:
        """The remote did not do what was `planned`. Raises RemoteError, LocalError, OSError."""
        if isinstance(error, Permanent) and not isinstance(error, NotSignedIn):
            doubt = await self._leaves_in_doubt(change, error, heard)
            await self._store.db.write(lambda connection: journal.refused(connection, change, in_doubt=doubt))
        match error:
            case Conflict():
                await self._look_again(change, planned, error, heard)
            case Gone() | VersionGone():
                await self._applier.refresh(concerned_by(self._store.db.reader, change))
                await self._applier.resolve_doubts()  # a folder goes only after its children are known to be gone
                await self.later(change, error, 0.2 * 2 ** min(change.attempts, 8))
            case QuotaFull():
                await self.later(change, error, QUOTA_RETRY_S)
            case NotSignedIn() | BadDigest():
                await self.later(change, error, 5.0)
            case UploadGone() | Refused(code="idempotency_key_reused"):  # now under another key
                await self.later(change, error, 0.0)
            case Permanent():
                await self._refused(change, planned, error)
            case _:
                await self.later(change, error, error.retry_after_s or 0.0)

    async def park(self, change: LocalChange, reason: str) -> None:
        """Kept and shown, until a person, or a further change, has it tried again."""
        self._statistics.last_error = reason
        await self.write_down(lambda connection: self._park(connection, change, reason))

    def _park(self, connection: sqlite3.Connection, change: LocalChange, reason: str) -> None:
        journal.park(connection, change, reason)
        activity.note(connection, self._store.clock().now_s, change.ino, What.PARKED, reason)

    async def later(self, change: LocalChange, error: Exception, least_s: float) -> None:
        """Tried again after a pause that grows, `least_s` or more."""
        self._statistics.last_error = str(error)
        when_ms = self._when_ms(change, error, least_s)
        await self.write_down(lambda connection: journal.failed(connection, change, str(error), when_ms))

    def _when_ms(self, change: LocalChange, error: Exception, least_s: float) -> int:
        spread_s = self._chance.uniform(0, min(0.5 * 2 ** min(change.attempts, 12), BACKOFF_MAX_S))
        looked = isinstance(error, Conflict | Gone) and change.attempts < CONFLICT_ROUNDS  # it may do now
        return self._store.clock(least_s if looked else least_s + spread_s).push_after_ms

    async def _refused(self, change: LocalChange, planned: requests.Push, error: RemoteError) -> None:
        """For good, unless it would be another request by now: of what was renamed, written or deleted meanwhile."""
        when_ms = self._when_ms(change, error, 0.0)

        def outcome(connection: sqlite3.Connection) -> None:
            if _is_still_meant(connection, change, planned):
                self._park(connection, change, str(error))
            else:
                journal.failed(connection, change, str(error), when_ms)

        self._statistics.last_error = str(error)
        await self.write_down(outcome)

    async def _leaves_in_doubt(self, change: LocalChange, error: Permanent, heard: Heard) -> bool:
        """Whether an earlier attempt may have made it, or moved it. Where the right to make it was lost since, the
        folder tells; where a move is refused for what stands where, that is asked next."""
        if change.aspect is Aspect.PLACE:
            return change.in_doubt and not isinstance(error, Conflict | Gone)
        if change.aspect is not Aspect.CREATE:
            return False
        if isinstance(error, Denied) and change.in_doubt:
            return await self._sender.was_made(change, heard)
        return _leaves_in_doubt(change, error)

    async def _look_again(
        self, change: LocalChange, planned: requests.Push, error: Conflict, heard: Heard
    ) -> None:  # fmt: skip
        """Take in what stands there now; the next plan sees it."""
        if change.attempts >= CONFLICT_ROUNDS and change.reason == str(error):
            await self._refused(change, planned, error)
            return
        current = error.current
        if current is not None:
            await self._applier.ask_before([current])
            await self._applier.apply_answer(
                [current], heard, lambda absorber: met(absorber, change, current, overtaken=heard.of(current.item_id))
            )
        reader = self._store.db.reader
        concerned = set(concerned_by(reader, change))
        if error.code == "would_cycle":  # one of these went below it meanwhile
            concerned.update(folders_above(reader, change))
        if current is not None:
            concerned.discard(current.item_id)
        await self._applier.refresh(sorted(concerned))
        await self._applier.apply(lambda absorber: keep_folder(absorber, change, error))
        await self.later(change, error, 0.05 * 2 ** min(change.attempts, 6) - 0.05)


def _leaves_in_doubt(change: LocalChange, error: Permanent) -> bool:
    """What a creation met may be its own earlier attempt; bytes that changed on their way tell nothing of an attempt
    before. Only what is never allowed at that place was not allowed then either."""
    if isinstance(error, Conflict):
        return error.code != "not_a_folder"  # in that nothing was made, or it went with the folder that it was
    if isinstance(error, UploadGone):
        return True
    if isinstance(error, Refused) and error.code == "idempotency_key_reused":  # an attempt was answered
        return True
    return (change.in_doubt or error.in_doubt) and not isinstance(error, Gone | Denied | NameRefused | Refused)


def _is_still_meant(connection: sqlite3.Connection, change: LocalChange, planned: requests.Push) -> bool:
    row = journal.get(connection, change.ino, change.aspect)
    if row is None or row.generation != change.generation:
        return False
    now = push.plan(connection, row)
    return type(now) is type(planned) and requests.told(now) == requests.told(planned)
