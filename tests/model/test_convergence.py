"""Two machines, a server and an adversary: whatever happens in whatever order, nothing accepted is lost.

After each step: the state directories keep every law, each machine shows what it accepted, and every accepted content
is on some machine or in the server's history. At the end: all trees are equal, and every accepted content that nobody
who had seen it replaced is in the tree.
`ANCHORFS_MODEL_EXAMPLES` and `ANCHORFS_MODEL_STEPS` make it longer.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis.strategies as st
import trio
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import cache.store
from sync.remote import RemoteError, Unknown, Unreachable
from tests.fakes.drive import FakeDrive
from tests.fakes.faults import Fault
from tests.model import server_side
from tests.model.machine import Machine, VirtualTime
from tests.model.operations import Ledger, Program
from tests.model.server_side import ServerSide

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SHARED_MEMORY = Path("/dev/shm")
EXAMPLES = int(os.environ.get("ANCHORFS_MODEL_EXAMPLES", "40"))
STEPS = int(os.environ.get("ANCHORFS_MODEL_STEPS", "30"))
ROUNDS = 40

WHO = st.integers(0, 1)
PICKS = st.lists(st.integers(0, 11), min_size=4, max_size=4)
LOCAL = st.sampled_from(
    ("create", "mkdir", "write", "rename", "unlink", "rmdir", "truncate", "exchange", "chmod", "symlink", "read",
     "evict", "look")
)  # fmt: skip
BESIDE = st.sampled_from(("program", "pull", "other", "server"))
ENGINE = st.sampled_from(("push", "pull", "list"))
FAULTS = st.sampled_from(("lost", "unreachable", "twice", "lost-then-gone"))


class Convergence(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.time = VirtualTime()
        self._before = cache.store.time
        cache.store.time = self.time  # type: ignore[assignment]
        place = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
        self.directory = Path(tempfile.mkdtemp(prefix="anchorfs-model-", dir=place))
        self.drive, self.ledger = FakeDrive(), Ledger()
        self.server = ServerSide(self.drive, self.ledger)
        self.machines = [Machine(name, self.drive, self.directory / name) for name in ("ann", "bob")]

    @initialize()
    def begin(self) -> None:
        """Both machines meet the server."""
        for machine in self.machines:
            self.time.run(machine.begin)

    # Programs, the engine, the server ----------------------------------------------------------------------------

    @rule(who=WHO, kind=LOCAL, picks=PICKS)
    def program(self, who: int, kind: str, picks: list[int]) -> None:
        """A program does something."""
        self._step(who, lambda: self._program(who, kind, picks))

    @rule(kind=st.sampled_from(server_side.KINDS), picks=PICKS)
    def on_the_server(self, kind: str, picks: list[int]) -> None:
        """Somebody works on the server."""
        self.server.run(kind, itertools.cycle(picks))

    @rule(who=WHO)
    def pull(self, who: int) -> None:
        """Take in everything new."""
        self._step(who, self.machines[who].pull)

    @rule(who=WHO, which=st.integers(0, 5))
    def push_one(self, who: int, which: int) -> None:
        """Send one change."""
        self._step(who, lambda: self.machines[who].push_one(which))

    @rule(who=WHO)
    def push_all(self, who: int) -> None:
        """Send everything, as far as it goes within a virtual minute."""
        self._step(who, lambda: self.machines[who].push_all(60.0))

    # The adversary -----------------------------------------------------------------------------------------------

    @rule(who=WHO, online=st.booleans())
    def connect(self, who: int, online: bool) -> None:
        """The wire is cut or mended."""
        self.machines[who].remote.online = online

    @rule(who=WHO, fault=FAULTS, which=st.integers(0, 5))
    def push_with_fault(self, who: int, fault: str, which: int) -> None:
        """Send one change, and its request meets a fault."""
        machine = self.machines[who]
        machine.remote.inject(
            {
                "lost": Fault(after=Unknown()),
                "unreachable": Fault(before=Unreachable()),
                "twice": Fault(twice=True),
                "lost-then-gone": Fault(after=Unreachable()),
            }[fault]
        )
        self._step(who, lambda: machine.push_one(which))
        machine.remote._faults.clear()

    @rule(who=WHO, engine=ENGINE, which=st.integers(0, 5), late=st.booleans(), beside=BESIDE, kind=LOCAL, picks=PICKS,
          dies=st.integers(0, 4))  # fmt: skip
    def overlap(  # noqa: PLR0917
        self, who: int, engine: str, which: int, late: bool, beside: str, kind: str, picks: list[int], dies: int
    ) -> None:
        """While a request (or its answer) is under way, something else happens; then it comes, or we die."""
        machine = self.machines[who]
        held = {"push": lambda: machine.push_one(which), "pull": machine.pull, "list": machine.list_all}[engine]
        other = 1 - who
        doing: dict[str, Callable[[], Awaitable[object]]] = {
            "program": lambda: self._program(who, kind, picks),
            "pull": machine.pull,
            "other": lambda: self._other(other),
            "server": lambda: self._on_the_server(kind, picks),
        }
        self._step(who, lambda: self._overlap(machine, held, doing[beside], late=late, dies=dies == 0))
        machine.remote._faults.clear()
        if dies == 0:
            machine.crash()
            self._restarted(machine)

    @rule(who=WHO)
    def crash(self, who: int) -> None:
        """The process dies between two steps."""
        self.machines[who].crash()
        self._restarted(self.machines[who])

    # What must be true -------------------------------------------------------------------------------------------

    @invariant()
    def laws(self) -> None:
        """Every state directory is in order."""
        for machine in self.machines:
            if broken := machine.faults():
                raise AssertionError(f"{machine.name}: {'; '.join(map(str, broken))}")

    @invariant()
    def nothing_is_lost(self) -> None:
        """Every accepted content is somewhere."""
        known: set[object] = set(self.drive.bodies.values())
        for machine in self.machines:
            known |= set(machine.tree().values())
        assert self.ledger.alive <= known

    def teardown(self) -> None:
        """Everybody comes back, and everything comes to rest."""
        try:
            self._converge()
        finally:
            for machine in self.machines:
                machine.remove()
            self.directory.rmdir()
            cache.store.time = self._before

    # Parts -------------------------------------------------------------------------------------------------------

    def _converge(self) -> None:
        for machine in self.machines:
            machine.remote.online = True
        for _ in range(ROUNDS):
            before = (self.drive.seq, [machine.outbox() for machine in self.machines])
            for who, machine in enumerate(self.machines):
                self._step(who, lambda machine=machine: machine.push_all())  # type: ignore[misc]
                self._step(who, machine.pull)
                self._step(who, machine.list_all)
                self.laws()
                self.nothing_is_lost()
            if before == (self.drive.seq, [[], []]):
                break
        else:
            raise AssertionError([machine.outbox() for machine in self.machines])
        told = self.drive.tree()
        for machine in self.machines:
            assert machine.tree() == told, machine.name
            assert self.time.run(lambda machine=machine: self._inside(machine, machine.read_all)) == told  # type: ignore[misc]
            assert machine.faults() == []
        assert self.ledger.alive <= set(told.values())

    def _step(self, who: int, act: Callable[[], Awaitable[object]]) -> None:
        """One step of a machine; without a server it may fail, never otherwise."""
        machine = self.machines[who]
        try:
            self.time.run(lambda: self._inside(machine, act))
        except* RemoteError:
            assert not machine.remote.online
        while machine.news.statistics().current_buffer_used:
            machine.news.receive_nowait()

    @staticmethod
    async def _inside(machine: Machine, act: Callable[[], Awaitable[object]]) -> object:
        async with machine.running():
            return await act()
        raise AssertionError("nothing swallows what happens inside")

    def _restarted(self, machine: Machine) -> None:
        if machine.remote.online:
            self.time.run(machine.begin)

    async def _program(self, who: int, kind: str, picks: list[int]) -> None:
        await Program(self.machines[who], self.ledger).run(kind, itertools.cycle(picks))

    async def _on_the_server(self, kind: str, picks: list[int]) -> None:
        kinds = server_side.KINDS
        self.server.run(kinds[(picks[0] + len(kind)) % len(kinds)], itertools.cycle(picks[1:]))

    async def _other(self, who: int) -> None:
        machine = self.machines[who]
        async with machine.running():
            try:
                await machine.push_all(60.0)
                await machine.pull()
            except RemoteError:
                assert not machine.remote.online

    @staticmethod
    async def _overlap(
        machine: Machine,
        held: Callable[[], Awaitable[object]],
        beside: Callable[[], Awaitable[object]],
        *,
        late: bool,
        dies: bool,
    ) -> None:
        gate, done, ended = trio.Event(), trio.Event(), trio.Event()
        fault = machine.remote.inject(Fault(answer_gate=gate) if late else Fault(gate=gate))

        async def whole(act: Callable[[], Awaitable[object]], event: trio.Event) -> None:
            try:
                await act()
            except RemoteError:
                assert not machine.remote.online
            event.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(whole, held, ended)
            with trio.move_on_after(1):
                await (fault.applied if late else fault.reached).wait()
            if fault in machine.remote._faults:
                machine.remote._faults.remove(fault)  # no request was made
            nursery.start_soon(whole, beside, done)
            with trio.move_on_after(20):  # it may itself wait for what is held
                await done.wait()
            if dies:
                nursery.cancel_scope.cancel()
            gate.set()


TestConvergence = Convergence.TestCase
TestConvergence.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    derandomize=os.environ.get("ANCHORFS_MODEL_RANDOM") is None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
