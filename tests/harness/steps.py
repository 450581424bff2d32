"""How much is done on the trio thread between two moments at which others have their turn."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from collections.abc import Callable


class Steps(trio.abc.Instrument):
    """Counts calls of what it wraps: `most` in one step of a task on this thread, `elsewhere` on others."""

    def __init__(self) -> None:
        self.most = self.elsewhere = self._now = 0
        self._thread = threading.get_ident()

    def counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """The same, counted."""

        def call(*args: Any, **named: Any) -> Any:  # noqa: ANN401  # whatever `real` takes and tells
            if threading.get_ident() == self._thread:
                self._now += 1
                self.most = max(self.most, self._now)
            else:
                self.elsewhere += 1
            return real(*args, **named)

        return call

    def after_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002
        """Others have their turn."""
        self._now = 0
