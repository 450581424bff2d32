"""Holds programs to the rules of hydration: who a caller is, from /proc, remembered per process.

A process id is used again some day: what is remembered counts for a second, and then as long as the process that has
the number began when the remembered one did.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from vfs.rules import Action, Program, Rule, action_for

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

FRESH_S = 1.0
REMEMBERED_MAX = 1024
COUNTED_MAX = 256
NAMELESS = "a process that ended"  # nobody can tell which program it was
OTHERS = "others"
_STARTED = 19  # field 22 of /proc/PID/stat, counted behind the name


@dataclass(slots=True)
class _Known:
    """A process, when it began, and what it may."""

    started: str
    program: Program
    action: Action
    seen_s: float


class Programs:
    """What callers may; `refused` counts by program."""

    def __init__(self, rules: tuple[Rule, ...] = ()) -> None:
        self._rules = rules
        self._known: OrderedDict[int, _Known] = OrderedDict()
        self.refused: Counter[str] = Counter()

    def action(self, pid: int) -> Action:
        """What the process or thread may; 0 (not known): everything."""
        return Action.ALLOW if not pid or not self._rules else self._look(pid).action

    def is_named(self, pid: int, names: AbstractSet[str]) -> bool:
        """Whether the process or thread is of a program of one of these names."""
        return pid != 0 and self._look(pid).program.name in names

    def refuse(self, pid: int) -> str:
        """Count a refusal; the program's name. They name themselves: beyond COUNTED_MAX names, OTHERS are counted."""
        name = self._look(pid).program.name or NAMELESS
        self.refused[name if name in self.refused or len(self.refused) < COUNTED_MAX else OTHERS] += 1
        return name

    def _look(self, pid: int) -> _Known:
        now_s = trio.current_time()
        known = self._known.get(pid)
        if known is not None and now_s - known.seen_s < FRESH_S:
            return known
        started = _started(pid)
        if known is None or known.started != started:
            program = program_of(pid)
            known = _Known(started, program, action_for(self._rules, program), now_s)
        known.seen_s = now_s
        self._known[pid] = known
        self._known.move_to_end(pid)
        while len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)
        return known


def program_of(pid: int) -> Program:
    """The name of the process that a thread is of, and its executable (not told of another user's)."""
    leader = pid
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith("Tgid:"):
            leader = int(line.split()[1])
    try:
        path = str(Path(f"/proc/{leader}/exe").readlink()).removesuffix(" (deleted)")
    except OSError:
        path = ""
    return Program(_read(f"/proc/{leader}/comm").rstrip("\n"), path)


def _started(pid: int) -> str:
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[_STARTED] if len(fields) > _STARTED else ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
