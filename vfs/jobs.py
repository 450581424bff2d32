"""What is asked of whole trees over the control socket: requests that take a while, and tell how far they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec
import trio

from cache.pinfile import PinState
from sync.fetching import Progress
from vfs.failure import Failure, describe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from cache.model import Ino
    from cache.pinfile import PinRule
    from sync.trees import Evicted

    Tell = Callable[[dict[str, object]], Awaitable[None]]

TELL_INTERVAL_S = 0.2


class Engine(Protocol):
    """What the jobs need of the sync engine."""

    async def evict(self, ino: Ino) -> Evicted:
        """Give back the bytes of a file, or of all below a folder."""
        ...

    async def hydrate(self, ino: Ino, progress: Progress) -> None:
        """Fetch a file whole, or all below a folder."""
        ...

    async def pin(self, ino: Ino, state: PinState) -> None:
        """Say what is wanted of a file or folder."""
        ...

    def pins(self) -> Sequence[PinRule]:
        """Everything that was said."""
        ...

    def is_pinned(self, ino: Ino) -> bool:
        """Whether it is kept here, by its own pin or that of a folder above."""
        ...

    def path_of(self, ino: Ino) -> str:
        """Where a node is, for people."""
        ...


async def hydrate(engine: Engine, ino: Ino, tell: Tell) -> dict[str, object]:
    """How many files and bytes came, and which did not."""
    progress = Progress()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_keep_telling, progress, tell)
        await engine.hydrate(ino, progress)
        nursery.cancel_scope.cancel()
    left = [
        {"path": engine.path_of(each), "why": describe(error, about=engine.path_of(each)).told.message}
        for each, error in progress.failed
    ]
    return {**_told(progress), "left_files": progress.failed_count, "left": left}


async def _keep_telling(progress: Progress, tell: Tell) -> None:
    while True:
        await trio.sleep(TELL_INTERVAL_S)
        await tell(_told(progress))


def _told(progress: Progress) -> dict[str, object]:
    return {
        "files": progress.files_done,
        "files_total": progress.files,
        "bytes": progress.bytes_here,
        "bytes_total": progress.total_bytes,
    }


async def evict(engine: Engine, ino: Ino) -> object:
    """What was given back, and what was left and why."""
    return msgspec.to_builtins(await engine.evict(ino))


async def pin(engine: Engine, ino: Ino, word: str) -> dict[str, object]:
    """Set a pin; what is said now."""
    try:
        state = PinState(word)
    except ValueError:
        raise Failure("bad-request", f"{word!r} is not one of {', '.join(PinState)}") from None
    await engine.pin(ino, state)
    return {"pin": state, "pinned": engine.is_pinned(ino)}


def pins(engine: Engine) -> list[dict[str, object]]:
    """Every rule, by path."""
    rules = sorted(engine.pins(), key=lambda rule: rule.path)
    return [{"path": rule.path, "pin": rule.state, "item_id": rule.item_id} for rule in rules]
