"""What makes life hard in the model: cut wires, lost answers, clocks that are set, processes that die.

Also what a person may do to a running mount at any time: pause it, hold its changes back, approve or reject them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache import holding, paths
from cache.db import set_meta
from cache.model import ChangeState, PushMode
from sync.planner import Conflicts
from sync.remote import BadDigest, Denied, QuotaFull, Unknown, Unreachable
from tests.fakes.faults import Fault
from tests.model.ledger import Beside
from tests.model.overlapping import overlapped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.fakes.drive import FakeDrive
    from tests.model.clock import VirtualTime
    from tests.model.ledger import Ledger
    from tests.model.machine import Machine
    from tests.model.server_side import ServerSide

FAULTS: dict[str, Callable[[], Fault]] = {
    "lost": lambda: Fault(after=Unknown()),
    "unreachable": lambda: Fault(before=Unreachable()),
    "twice": lambda: Fault(twice=True),
    "lost-then-gone": lambda: Fault(after=Unreachable()),
    "torn": lambda: Fault(before=BadDigest()),
    "full": lambda: Fault(before=QuotaFull("full")),
    "denied": lambda: Fault(before=Denied("not now")),
    "cut": lambda: Fault(cut_after_bytes=2),
}
ANCHORS_KEPT = 8


class Adversary:
    """The part of a World that is not for it."""

    drive: FakeDrive
    ledger: Ledger
    server: ServerSide
    time: VirtualTime
    machines: list[Machine]
    _alone: bool
    _elsewhere: set[Beside]
    _touched: set[str]
    _machine: Callable[[int], Machine]
    step: Callable[[int, Callable[[], Awaitable[object]]], None]
    _program: Callable[[int, str, tuple[int, ...]], Awaitable[None]]
    _other: Callable[[int], Awaitable[None]]
    _on_the_server: Callable[[tuple[int, ...]], Awaitable[None]]
    _news: Callable[[Machine, tuple[int, ...]], Awaitable[None]]

    # Wires, clocks, the server -----------------------------------------------------------------------------------

    def connect(self, who: int, online: bool) -> None:
        """The wire is cut or mended."""
        self._machine(who).remote.online = online

    def skew(self, who: int, hours: int) -> None:
        """Somebody sets the clock of a machine."""
        self._machine(who).skew_s = hours * 3600.0

    def choose(self, who: int, conflicts: str) -> None:
        """A machine is mounted anew with another policy; what loses is set aside, or in the server's history."""
        self._machine(who).choose(Conflicts(conflicts))
        wins = {Conflicts.SERVER_WINS: Beside.SET_ASIDE, Conflicts.CLIENT_WINS: Beside.HISTORY}
        self._elsewhere.update(wins[each] for each in wins if each == conflicts)

    def back_up(self) -> None:
        """The server is backed up."""
        self.server.back_up()

    def restore(self) -> None:
        """The server is restored from its backup: what came after it is gone, but for what is still to be sent."""
        if self._alone:
            return
        self.server.restore()
        left = {body for body in self.drive.tree().values() if isinstance(body, bytes)}
        for machine in self.machines:
            left |= machine.unsent_bodies() - machine.confirmed_bodies(self.drive)
        self.ledger.alive &= left

    def push_with_fault(self, who: int, fault: str, which: int, at: str = "*") -> None:
        """Send one change, and its first request, or the first one of a kind, meets a fault."""
        self._with_fault(who, fault, at, lambda: self._machine(who).push_one(which))

    def program_with_fault(self, who: int, fault: str, kind: str, picks: tuple[int, ...]) -> None:
        """A program does something, and what has to be asked for it meets a fault."""
        self._with_fault(who, fault, "*", lambda: self._program(who, kind, picks))

    def _with_fault(self, who: int, fault: str, at: str, act: Callable[[], Awaitable[object]]) -> None:
        machine, chosen = self._machine(who), FAULTS[fault]()
        chosen.operation = at
        machine.remote.inject(chosen)
        self.step(who, act)
        machine.remote._faults.clear()

    def retell(self, who: int, back: int) -> None:
        """The feed tells a machine once more what it told before."""
        machine = self._machine(who)
        anchors = machine.anchors[-ANCHORS_KEPT:]
        if not anchors:
            return
        anchor = anchors[-1 - back % len(anchors)]
        machine.store.db.write_now(lambda connection: set_meta(connection, "anchor", anchor))
        self.step(who, machine.pull)

    def overlap(  # noqa: PLR0917
        self, who: int, engine: str, which: int, late: bool, beside: str, kind: str, picks: tuple[int, ...], dies: int
    ) -> None:
        """While a request (or its answer) is under way, something else happens; then it comes, or we die."""
        machine = self._machine(who)
        held = {"push": lambda: machine.push_one(which), "pull": machine.pull, "list": machine.list_all}[engine]
        doing: dict[str, Callable[[], Awaitable[object]]] = {
            "program": lambda: self._program(who, kind, picks),
            "pull": machine.pull,
            "other": lambda: self._other(who + 1 + picks[0] % max(len(self.machines) - 1, 1)),
            "server": lambda: self._on_the_server(picks),
            "news": lambda: self._news(machine, picks),
        }
        if self._alone and beside == "other":
            beside = "pull"
        self.step(who, lambda: overlapped(machine, held, doing[beside], late=late, dies=dies == 0))
        machine.remote._faults.clear()
        if dies == 0:
            self.crash(who)

    def crash(self, who: int) -> None:
        """The process dies between two steps, and is started again."""
        machine = self._machine(who)
        machine.crash()
        self._touched.add(machine.name)
        if machine.remote.online:
            self.time.run(machine.begin)

    # What a person does to a mount -------------------------------------------------------------------------------

    def pause(self, who: int, paused: bool) -> None:
        """Nothing leaves; or it does again."""
        self.step(who, lambda: self._machine(who).engine.steering.pause(paused=paused))

    def review(self, who: int, wanted: bool) -> None:
        """Mounted anew, to wait for approval, or not to."""
        mode = PushMode.REVIEW if wanted else PushMode.AUTO
        self._machine(who).store.db.write_now(lambda connection: holding.switch(connection, mode))

    def decide(self, who: int, what: str, which: int) -> None:
        """A person approves or rejects one of the changes that wait, or all of them."""
        machine = self._machine(who)
        held = [row for row in machine.outbox() if row.state is ChangeState.HELD]
        if not held:
            return
        row = held[which % len(held)]
        wanted = [] if which % 3 == 0 else [paths.of_change(machine.store.db.reader, row)]
        if what == "reject" and not self._alone:
            self._elsewhere.add(Beside.SET_ASIDE)
            self.step(who, lambda: machine.engine.steering.reject(wanted))
        else:
            self.step(who, lambda: machine.engine.steering.approve(wanted))
