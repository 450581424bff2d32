"""One line of the activity log: what became of an item behind the server's back, and who did it, as far as known."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from server_stub.external.doubts import Actor
from server_stub.instants import format_instant

if TYPE_CHECKING:
    from server_stub.external.doubts import Told

_WORD_MAX: Final = 255  # characters


def actor_of(user: str, protocol: str, machine: str) -> Actor:
    """Whoever others name, in words that can be stored: text, and not much of it."""
    return Actor(*(word.encode(errors="replace").decode()[:_WORD_MAX] for word in (user, protocol, machine)))


class Entry(NamedTuple):
    """A row. `path` is below the drive's root; of something removed, where it was."""

    activity_id: int  # 0: not stored yet
    at_ns: int
    outcome: str
    item_id: str
    path: str
    user: str | None = None
    protocol: str | None = None
    machine: str | None = None

    def json(self) -> str:
        """For programs: one line, the time as the protocol tells it."""
        told = self._asdict() | {"at": format_instant(self.at_ns)}
        del told["activity_id"], told["at_ns"]
        return json.dumps(told, ensure_ascii=False)

    def line(self) -> str:
        """For people: nothing that a name holds reaches the terminal as a command to it."""
        who = f"{self.user} by {self.protocol} from {self.machine or '?'}" if self.user else "-"
        line = f"{format_instant(self.at_ns)}  {self.outcome:<7}  {self.path}  {who}"
        return "".join(character if character.isprintable() else "?" for character in line)


def entry_of(told: Told, actor: Actor | None, now_ns: int) -> Entry:
    """What was found, signed by whoever is known to have done it."""
    entry = Entry(0, now_ns, told.outcome.value, told.item_id, "/".join(told.names))
    if actor is None:
        return entry
    return entry._replace(user=actor.user, protocol=actor.protocol, machine=actor.machine or None)
