"""What a person decides about a mount, as asked on the control socket: see `sync.steering`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cache.errors import NotFound
from cache.model import Ino
from sync.choices import Keep
from vfs.failure import Failure
from vfs.requests import Verb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sync.review import Reviewed
    from sync.steering import Steering
    from vfs.requests import Request

ACTIVITY_MAX = 1000  # rows of one answer


class SteeringAnswers:
    """Answers the requests; `find` is asked each time."""

    def __init__(self, find: Callable[[], Steering]) -> None:
        self._find = find

    def handlers(self) -> dict[Verb, Callable[[Request], Awaitable[object]]]:
        """By verb."""
        return {
            Verb.PAUSE: self._pause,
            Verb.RESUME: self._resume,
            Verb.APPROVE: self._approve,
            Verb.REJECT: self._reject,
            Verb.CONFLICTS: self._conflicts,
            Verb.RESOLVE: self._resolve,
            Verb.ACTIVITY: self._activity,
        }

    async def _pause(self, _request: Request) -> object:
        await self._find().pause(paused=True)
        return {"paused": True}

    async def _resume(self, _request: Request) -> object:
        await self._find().pause(paused=False)
        return {"paused": False}

    async def _approve(self, request: Request) -> object:
        return {"approved": _told(await self._find().approve(request.paths), request)}

    async def _reject(self, request: Request) -> object:
        return {"rejected": _told(await self._find().reject(request.paths), request)}

    async def _conflicts(self, _request: Request) -> object:
        return {"conflicts": msgspec.to_builtins(self._find().conflicts())}

    async def _resolve(self, request: Request) -> object:
        try:
            keep = Keep(request.keep)
        except ValueError:
            raise Failure("bad-request", f"keep {request.keep!r} is not one of {', '.join(Keep)}") from None
        try:
            return {"resolved": await self._find().resolve(Ino(request.ino or 0), keep)}
        except NotFound:
            raise Failure(
                "no-conflict",
                f"{request.path} is no conflict copy, and has none",
                hint="`anchorfs conflicts list` shows them",
            ) from None

    async def _activity(self, request: Request) -> object:
        limit = min(max(request.limit, 1), ACTIVITY_MAX)
        path = request.paths[0] if request.paths else ""
        return {
            "entries": msgspec.to_builtins(self._find().activity(after_seq=request.after_seq, limit=limit, path=path))
        }


def _told(done: list[Reviewed], request: Request) -> object:
    if not done:
        where = f"at {', '.join(request.paths)}" if any(request.paths) else "in this mount"
        raise Failure("nothing-held", f"no change is held {where}", hint="`anchorfs queue` shows what waits and why")
    return msgspec.to_builtins(done)
