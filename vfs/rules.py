"""Which programs may fetch: thumbnailers and indexers look into every file, and would bring the whole drive here. Pure.

A file of rules has one per line, the first that fits counts, and the built-in ones stand behind it:

    # ACTION   PROGRAM: a name, a pattern like *-thumbnailer, or the whole path of an executable
    held       restic
    allow      /usr/bin/my-indexer

`allow` fetches as anybody; `held` gets the bytes that are here and EPERM for others; `deny` cannot even open a file
that is not all here (EPERM). What is here everybody reads. `allow *` at the end switches the built-in rules off.
"""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatchcase

import msgspec

_COMM_MAX = 15  # a process's name is cut to so many bytes: proc_pid_comm(5)


class Action(StrEnum):
    """What a program gets of a file that is not all here."""

    ALLOW = "allow"
    HELD = "held"
    DENY = "deny"


class Rule(msgspec.Struct, frozen=True):
    """One line."""

    action: Action
    program: str


class Program(msgspec.Struct, frozen=True):
    """What is known of a process; "" where nothing is."""

    name: str  # of its first thread, cut to 15 bytes
    path: str  # its executable


_DENIED = (
    "tumblerd", "*thumbnail*", "kdethumbnail*", "ffmpegthumbs",  # thumbnails
    "tracker-miner-f*", "tracker-extract*", "localsearch*", "baloo_file*", "recoll*",  # indexers
    "updatedb*", "mlocate", "plocate-build",  # of names
)  # fmt: skip

BUILT_IN = tuple(Rule(Action.DENY, program) for program in _DENIED)


def parse_rules(text: str, where: str) -> tuple[Rule, ...]:
    """The rules of a file; ValueError names the line that is none."""
    found: list[Rule] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split(None, 1)
        if not words:
            continue
        if len(words) != 2 or words[0] not in set(Action):
            raise ValueError(f"{where}, line {number}: {line.strip()!r} is no rule; write like: deny tumblerd")
        found.append(Rule(Action(words[0]), words[1].strip()))
    return tuple(found)


def action_for(rules: tuple[Rule, ...], program: Program) -> Action:
    """What the first rule that fits says; ALLOW when none does."""
    return next((rule.action for rule in rules if _fits(rule.program, program)), Action.ALLOW)


def _fits(pattern: str, program: Program) -> bool:
    if "/" in pattern:
        return fnmatchcase(program.path, pattern)
    if fnmatchcase(program.path.rpartition("/")[2], pattern) or fnmatchcase(program.name, pattern):
        return True
    cut = len(program.name.encode()) == _COMM_MAX
    return cut and fnmatchcase(program.name, pattern[:_COMM_MAX])
