"""How the watch stands, for health, figures and the doctor. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class WatchMode(StrEnum):
    """What was asked for."""

    AUTO = "auto"  # fanotify where it may be used, else inotify
    FANOTIFY = "fanotify"
    INOTIFY = "inotify"
    OFF = "off"


class WatchState(StrEnum):
    """How current the index is with what others do."""

    OFF = "off"  # nobody asked for it: scans by the timer
    WATCHING = "watching"
    CATCHING_UP = "catching up"  # something was missed; a scan finds it
    DOWN = "down"  # it was asked for and does not work: scans by the timer


@dataclass(slots=True)
class WatchStatus:
    """Written by the watcher alone."""

    kind: str = "none"
    state: WatchState = WatchState.OFF
    reason: str = ""
    events: int = 0
    doubts: int = 0
    overflows: int = 0
    waiting: int = 0  # entries in doubt that are not looked at yet
    scans: int = 0  # that doubts made necessary, not those by the timer

    def begin(self, kind: str) -> None:
        """A source works."""
        self.kind, self.state, self.reason = kind, WatchState.WATCHING, ""

    def catch_up(self, reason: str) -> None:
        """Everything is in doubt."""
        if self.state is not WatchState.DOWN:
            self.state, self.reason = WatchState.CATCHING_UP, reason

    def catch_up_done(self) -> None:
        """A scan has answered all doubts from before it."""
        if self.state is WatchState.CATCHING_UP:
            self.state, self.reason = WatchState.WATCHING, ""

    def fall(self, reason: str) -> None:
        """Nothing is told any more."""
        self.state, self.reason = WatchState.DOWN, reason

    @property
    def text(self) -> str:
        """For people: one line."""
        if self.state is WatchState.OFF:
            return "off: changes that others make are found by scans"
        told = f"{self.kind} {self.state}" if self.state is not WatchState.DOWN else "down"
        return f"{told}: {self.reason}" if self.reason else told
