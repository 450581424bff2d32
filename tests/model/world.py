"""Machines, a server and an adversary: what can happen to them, one step after the other.

After each step: the state directories that it touched keep every law, each machine shows what it accepted, and every
accepted content is on some machine or in the server's history. `rest` brings everybody back: then all trees are
equal, and every accepted content that nobody who had seen it replaced is in the tree. A machine alone shows
all that its programs made at any time, and in the end nothing else.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

import cache.ballast
import cache.blobs
import cache.due
import cache.journal
import cache.store
import sync.delta
import sync.transfers
import sync.upload_source
from cache import holding
from cache.model import PushMode
from sync.remote import RemoteError
from tests.fakes.drive import FakeDrive
from tests.model import server_side, traits
from tests.model.clock import VirtualTime, one_order
from tests.model.ground import NARROW, PIECES, WideDrive
from tests.model.ledger import Beside, Ledger
from tests.model.machine import Machine, Tree
from tests.model.operations import Program
from tests.model.scenes import Scenes
from tests.model.server_side import ServerSide
from tests.model.wide import ROOM_BYTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import ModuleType

    from tests.model.ground import Ground
    from tests.model.traits import Attributes

SHARED_MEMORY = Path("/dev/shm")
SMALL: dict[tuple[ModuleType, str], object] = {  # what the program does with films is done with a few bytes here
    (cache.ballast, "SIZE_BYTES"): 64,
    (cache.blobs, "_FOLDERS"): 2,  # 256 are for a million files, and cost more here than all the rest
    (sync.transfers, "IN_PIECES_BYTES"): 4,
    (sync.transfers, "DELTA_WORTH"): 100.0,  # the numbers in a delta alone are longer than these files
    (sync.delta, "BLOCK_MIN_BYTES"): 2,
    (sync.upload_source, "CHUNK_BYTES"): 3,
    (cache.due, "PAGE_ROWS"): 2,
    (cache.due, "SEEN_ROWS"): 3,
}
NAMES = ("ann", "bob", "cyd")
ROUNDS = 40
ROUND_S = 600.0  # longer than any pause after a failure


class World(Scenes):
    """`with World(seed) as world:`; every method that is a step takes plain values, so a history is data."""

    def __init__(self, seed: int = 0, *, machines: int = 2, ground: Ground = NARROW) -> None:
        one_order(seed)
        self._keys = random.Random(seed)
        self.time = VirtualTime()
        replaced = (
            SMALL
            | (PIECES if ground.pieces else {})
            | {
                (cache.store, "time"): self.time,
                (cache.journal, "new_key"): lambda: f"{self._keys.getrandbits(128):032x}",
            }
        )
        self._before = {(module, name): getattr(module, name) for module, name in replaced}
        for (module, name), value in replaced.items():
            setattr(module, name, value)
        place = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
        self.directory = Path(tempfile.mkdtemp(prefix="anchorfs-model-", dir=place))
        self.drive, self.ledger = WideDrive(ground) if ground.wide else FakeDrive(), Ledger()
        self.server = ServerSide(self.drive, self.ledger, ground.names)
        self.machines = [
            Machine(name, self.drive, self.directory / name, seed=seed, ground=ground) for name in NAMES[:machines]
        ]
        for machine in self.machines:
            machine.remote.page_order = random.Random(seed)
        self._alone = machines == 1 and not ground.folds
        self._elsewhere: set[Beside] = set()
        self._left: Tree = {}  # what the programs of one machine alone have made: nobody else may change it
        self._labels: Attributes = {}  # the same of extended attributes
        self._touched: set[str] = set()
        self._expected: list[tuple[Machine, str]] = []

    def __enter__(self) -> Self:
        for machine in self.machines:
            self.time.run(machine.begin)
        return self

    def __exit__(self, *_: object) -> None:
        for machine in self.machines:
            machine.remove()
        self.directory.rmdir()
        for (module, name), value in self._before.items():
            setattr(module, name, value)

    # Programs, the engine, the server ----------------------------------------------------------------------------

    def program(self, who: int, kind: str, picks: tuple[int, ...]) -> None:
        """A program does something."""
        self.step(who, lambda: self._program(who, kind, picks))

    def on_the_server(self, kind: str, picks: tuple[int, ...]) -> None:
        """Somebody works on the server."""
        self.server.run("expire" if self._alone else kind, itertools.cycle(picks))

    def pull(self, who: int) -> None:
        """Take in everything new."""
        self.step(who, self._machine(who).pull)

    def push_one(self, who: int, which: int) -> None:
        """Send one change."""
        self.step(who, lambda: self._machine(who).push_one(which))

    def push_all(self, who: int) -> None:
        """Send everything, as far as it goes within a virtual minute."""
        self.step(who, lambda: self._machine(who).push_all(60.0))

    def expect(self, who: int, path: str) -> None:
        """Not drawn: from here on a machine shows something there, in the end as well."""
        self._expected.append((self._machine(who), path))

    # What must be true -------------------------------------------------------------------------------------------

    def examine(self) -> None:
        """What holds after every step."""
        for machine in self.machines:
            if machine.name in self._touched and (broken := machine.faults()):
                raise AssertionError(f"{machine.name}: {'; '.join(map(str, broken))}")
            assert machine.overlooked() == []
        self._touched.clear()
        if self._alone:
            shown = self.machines[0].tree()
            assert shown.items() >= self._left.items(), f"{self._left.items() - shown.items()} and not {shown}"
            self._keep_their_labels()
        known: set[object] = set(self.drive.bodies.values())
        for machine in self.machines:
            known |= set(machine.tree().values()) | machine.unsent_bodies() | machine.set_aside() | machine.rescued()
        assert self.ledger.alive <= known, f"lost: {self.ledger.alive - known}"

    def _keep_their_labels(self) -> None:
        now = traits.attributes(self.machines[0])
        lost = {ino: own for ino, own in self._labels.items() if now.get(ino, own) != own}
        assert not lost, f"had {lost}, has {[now[ino] for ino in lost]}"

    def rest(self) -> None:
        """Everybody comes back, everything comes to rest, and everybody sees the same."""
        self.drive.total_bytes = ROOM_BYTES
        for who, machine in enumerate(self.machines):
            machine.remote.online = True
            self.step(who, machine.close_all)
            self.step(who, lambda machine=machine: _let_all_go(machine))  # type: ignore[misc]
        for _ in range(ROUNDS):
            before = (self.drive.seq, [machine.outbox() for machine in self.machines])
            for who, machine in enumerate(self.machines):
                self.step(who, machine.engine.retry)
                self.step(who, lambda machine=machine: machine.push_all(ROUND_S))  # type: ignore[misc]
                self.step(who, machine.pull)
                self.step(who, machine.list_all)
                self.examine()
            if before == (self.drive.seq, [[] for _ in self.machines]):
                break
        else:
            raise AssertionError([machine.outbox() for machine in self.machines])
        self.all_the_same()

    def all_the_same(self) -> None:
        """What holds when everything has come to rest."""
        told = self.drive.tree()
        for machine in self.machines:
            shown = machine.tree()
            assert shown == told, f"{machine.name}: {shown.items() ^ told.items()}"
            assert self.time.run(lambda machine=machine: _inside(machine, machine.read_all)) == told  # type: ignore[misc]
            assert machine.faults() == []
            has, should = traits.shown_by(machine), traits.held_by(self.drive)
            assert has == should, f"{machine.name}: {has.items() ^ should.items()}"
        assert not self._alone or told == self._left, f"not what the programs made: {told.items() ^ self._left.items()}"
        for machine, path in self._expected:
            assert path in machine.tree(), f"{path} is gone"
        lost = self.ledger.alive - set(told.values()) - self._kept_beside()
        assert not lost, f"lost: {lost}"

    def _kept_beside(self) -> set[bytes]:
        """What is where something that happened may have put it; nothing else may be anywhere but in the tree."""
        kept: set[bytes] = set(self.drive.bodies.values()) if Beside.HISTORY in self._elsewhere else set()
        for machine in self.machines:
            kept |= machine.set_aside() if Beside.SET_ASIDE in self._elsewhere else set()
            kept |= machine.rescued() if Beside.RESCUED in self._elsewhere else set()
        return kept

    def fingerprint(self) -> str:
        """A digest of all that can be seen: the same history ends with the same one."""
        seen = [self.drive.tree(), self.drive.seqs]  # times of files are those of the real disk
        seen += [[machine.tree(), machine.outbox(), machine.remote.requests] for machine in self.machines]
        return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]

    # Parts -------------------------------------------------------------------------------------------------------

    def _machine(self, who: int) -> Machine:
        return self.machines[who % len(self.machines)]

    def step(self, who: int, act: Callable[[], Awaitable[object]]) -> None:
        """One step of a machine; without a server it may fail, never otherwise."""
        machine = self._machine(who)
        self._touched.add(machine.name)
        try:
            self.time.run(lambda: _inside(machine, act))
        except* RemoteError:
            assert not machine.remote.online
        machine.forget_news()

    async def _program(self, who: int, kind: str, picks: tuple[int, ...]) -> None:
        await Program(self._machine(who), self.ledger).run(kind, itertools.cycle(picks))
        if self._alone:
            if kind not in traits.SETTING:
                self._keep_their_labels()
            self._left, self._labels = self.machines[0].tree(), traits.attributes(self.machines[0])

    async def _on_the_server(self, picks: tuple[int, ...]) -> None:
        kinds = ("expire",) if self._alone else server_side.KINDS
        self.server.run(kinds[picks[0] % len(kinds)], itertools.cycle(picks[1:]))

    async def _news(self, machine: Machine, picks: tuple[int, ...]) -> None:
        """Something changes, and is told; or the feed is cut off first, and everything is compared."""
        await self._on_the_server(picks[:3])
        if picks[3] % 3 == 0:
            self.drive.expire_anchors()
        await machine.pull()

    async def _other(self, who: int) -> None:
        machine = self._machine(who)
        self._touched.add(machine.name)
        async with machine.running():
            try:
                await machine.push_all(60.0)
                await machine.pull()
            except RemoteError:
                assert not machine.remote.online


async def _let_all_go(machine: Machine) -> None:
    steering = machine.engine.steering
    await steering.pause(paused=False)
    await machine.store.db.write(lambda connection: holding.switch(connection, PushMode.AUTO))
    await steering.approve([])


async def _inside(machine: Machine, act: Callable[[], Awaitable[object]]) -> object:
    async with machine.running():
        return await act()
    raise AssertionError("nothing swallows what happens inside")
