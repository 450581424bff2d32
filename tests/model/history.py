"""Histories of the model as data: drawn from a seed, told step by step, and made shorter when they end badly."""

from __future__ import annotations

import random
import traceback
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from tests.model import lively, operations, scenes, server_side
from tests.model.ground import NARROW, Ground, drawn_ground
from tests.model.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Value = int | str | bool | tuple[int, ...]
Steps = dict[str, tuple[int, "dict[str, Sequence[Value] | str]"]]

PICKS = "picks"  # four numbers that choose among what is there
WHO = range(3)
WHICH = range(6)
FAULTS = ("lost", "lost", "unreachable", "twice", "lost-then-gone", "torn", "full", "denied", "cut")
# Each kind of step: how often it is drawn, and what each of its arguments may be.
STEPS: Steps = {
    "program": (12, {"who": WHO, "kind": operations.KINDS, "picks": PICKS}),
    "on_the_server": (3, {"kind": server_side.KINDS, "picks": PICKS}),
    "pull": (3, {"who": WHO}),
    "push_one": (4, {"who": WHO, "which": WHICH}),
    "push_all": (1, {"who": WHO}),
    "connect": (1, {"who": WHO, "online": (True, True, False)}),
    "skew": (1, {"who": WHO, "hours": (-30, -1, 0, 1, 30)}),
    "choose": (1, {"who": WHO, "conflicts": ("copy", "copy", "server-wins", "client-wins")}),
    "back_up": (1, {}),
    "restore": (1, {}),
    "push_with_fault": (4, {
        "who": WHO, "fault": FAULTS, "which": WHICH, "at": ("*", "*", "*", "begin_upload", "append", "commit"),
    }),
    "program_with_fault": (1, {
        "who": WHO, "fault": ("lost", "unreachable", "cut"), "kind": operations.KINDS, "picks": PICKS,
    }),
    "retell": (1, {"who": WHO, "back": WHICH}),
    "pause": (1, {"who": WHO, "paused": (True, False, False)}),
    "review": (1, {"who": WHO, "wanted": (True, False, False)}),
    "decide": (1, {"who": WHO, "what": ("approve", "approve", "reject"), "which": WHICH}),
    "overlap": (5, {
        "who": WHO, "engine": ("push", "push", "pull", "list"), "which": WHICH, "late": (False, True),
        "beside": ("program", "pull", "other", "server", "news"), "kind": operations.KINDS, "picks": PICKS,
        "dies": range(5),
    }),
    "crash": (1, {"who": WHO}),
}  # fmt: skip
WIDE_STEPS: Steps = {  # of wide histories only
    "live": (6, {
        "who": WHO, "kind": lively.KINDS, "second": lively.KINDS,
        "beside": ("server", "server", "wire", "cache", "lost", "unreachable", "twice", "cut", "lost-then-gone"),
        "picks": PICKS, "dies": range(5),
    }),
    "squeeze": (2, {"who": WHO, "room_bytes": (0, 5, 12)}),
    "batch": (2, {"who": WHO, "fault": ("", "", "", "cut", "unreachable")}),
    "tidy": (1, {"who": WHO}),
    "restart": (1, {"who": WHO}),
    "pin": (1, {"who": WHO, "state": ("pinned", "pinned", "unpinned", "excluded", "inherit"), "picks": PICKS}),
    "power": (1, {"who": WHO}),
    "damage": (1, {"who": WHO, "how": ("gone", "cut", "overwritten")}),
    "failing_disk": (3, {
        "who": WHO, "what": ("program", "program", "push", "pull", "list"), "kind": lively.KINDS, "after": range(5),
        "full": (True, False), "picks": PICKS,
    }),
    "reviewed": (1, {
        "who": WHO, "kind": operations.KINDS, "second": operations.KINDS, "news": (True, False), "which": WHICH,
        "picks": PICKS,
    }),
    "clash": (5, {
        "who": WHO, "here": scenes.HERE, "there": scenes.THERE,
        "conflicts": ("copy", "copy", "server-wins", "client-wins"), "first": ("pull", "push", "list"), "picks": PICKS,
    }),
    "overtaken": (3, {
        "who": WHO, "there": scenes.THERE, "here": scenes.HERE, "more": (True, False), "picks": PICKS,
    }),
    "crossed": (1, {"who": WHO, "swap": (True, False)}),
    "walk": (2, {"who": WHO, "count": (2, 3), "fault": ("", "", "", "cut", "unreachable"), "evict": (True, False)}),
    "room": (1, {"full": (True, False, False)}),
    "undelete": (1, {"which": WHICH}),
    "revert": (1, {"picks": PICKS}),
}  # fmt: skip


NAMING = (
    "create", "mkdir", "symlink", "rename", "rename", "rename", "exchange", "wrap", "wrap", "unwrap", "unwrap",
    "unlink", "rmdir", "save", "write", "look",
)  # fmt: skip
NAMES_STEPS: Steps = {  # few things, many names, and hardly an answer
    "program": (12, {"who": WHO, "kind": NAMING, "picks": PICKS}),
    "push_with_fault": (9, {
        "who": WHO, "which": WHICH, "at": ("*",),
        "fault": ("lost", "lost", "unreachable", "unreachable", "twice", "lost-then-gone", "denied", "full"),
    }),
    "push_one": (4, {"who": WHO, "which": WHICH}),
    "push_all": (1, {"who": WHO}),
    "connect": (1, {"who": WHO, "online": (True, False)}),
    "pull": (2, {"who": WHO}),
    "crash": (1, {"who": WHO}),
    "overlap": (3, {
        "who": WHO, "engine": ("push", "push", "pull", "list"), "which": WHICH, "late": (False, True),
        "beside": ("program", "program", "pull", "other", "news"), "kind": NAMING, "picks": PICKS, "dies": range(5),
    }),
    "on_the_server": (2, {"kind": server_side.KINDS, "picks": PICKS}),
}  # fmt: skip


class Theme(StrEnum):
    """What histories are about; a seed tells another one in each."""

    COMMON = "common"
    NAMES = "names"
    WIDE = "wide"


THEMES = {Theme.COMMON: STEPS, Theme.NAMES: NAMES_STEPS, Theme.WIDE: STEPS | WIDE_STEPS}


@dataclass(frozen=True, slots=True)
class Step:
    """One step by its name."""

    rule: str
    arguments: dict[str, Value]

    def __str__(self) -> str:
        return f"{self.rule}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"


@dataclass(frozen=True, slots=True)
class History:
    """What happens, in order, to so many machines; `seed` also decides every order that the steps leave open."""

    seed: int
    machines: int
    steps: tuple[Step, ...]
    ground: Ground = NARROW


@dataclass(frozen=True, slots=True)
class Ending:
    """How a history ended: `fingerprint` when well, else where it broke."""

    fingerprint: str = ""
    broke: str = ""  # the same for two histories that break for one reason
    trace: str = field(default="", compare=False)


def drawn(seed: int, length: int, theme: Theme = Theme.COMMON) -> History:
    """The history of a seed."""
    chance = random.Random(seed)
    known = THEMES[theme]
    rules, weights = list(known), [weight for weight, _ in known.values()]

    def value(choices: Sequence[Value] | str) -> Value:
        return tuple(chance.randrange(12) for _ in range(4)) if choices == PICKS else chance.choice(choices)

    def step() -> Step:
        rule = chance.choices(rules, weights)[0]
        return Step(rule, {name: value(choices) for name, choices in known[rule][1].items()})

    machines = chance.choice((1, 2, 2, 3))
    ground = drawn_ground(chance) if theme is Theme.WIDE else NARROW
    return History(seed, machines, tuple(step() for _ in range(length)), ground)


def told(history: History, heard: Callable[[Step, World], None] | None = None) -> Ending:
    """Let it happen; `heard` is called after each step."""
    try:
        with World(history.seed, machines=history.machines, ground=history.ground) as world:
            for step in history.steps:
                getattr(world, step.rule)(**step.arguments)
                world.examine()
                if heard is not None:
                    heard(step, world)
            world.rest()
            return Ending(fingerprint=world.fingerprint())
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what this history found
        deepest = _deepest(error)
        return Ending(broke=_place(deepest), trace="".join(traceback.format_exception(deepest)))


def shorter(history: History, ending: Ending, *, tries: int = 400) -> History:
    """With as many steps left out as can be without breaking elsewhere."""
    steps, size = history.steps, max(len(history.steps) // 2, 1)
    with suppress(StopIteration):
        budget = iter(range(tries))
        while size:
            for start in _starts(len(steps), size):
                next(budget)
                fewer = steps[:start] + steps[start + size :]
                if told(replace(history, steps=fewer)).broke == ending.broke:
                    steps = fewer
            size //= 2
    return replace(history, steps=steps)


def _starts(count: int, size: int) -> Iterator[int]:
    """From the end, so that what is cut moves nothing that is still to come."""
    return iter(range(count - size, -1, -size))


def _deepest(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _place(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {frame.filename.rpartition('/')[2]}:{frame.lineno} in {frame.name}"
