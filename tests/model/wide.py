"""What wide histories know beside the others: the whole engine running, a disk that fails, a catalog that is lost.

Also what is rare at a server: no room, a trash that gives back, an older version made the newest again.
"""

from __future__ import annotations

import errno
import itertools
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from cache.db import set_meta
from cache.errors import LocalError, NoSpaceLeft
from cache.model import Kind
from cache.pinfile import PinState
from sync.remote import QuotaFull, RemoteError
from tests.model import server_side
from tests.model.adversary import FAULTS, Adversary
from tests.model.clock import SKEW_S
from tests.model.disks import damaged, failing
from tests.model.ground import WideDrive
from tests.model.ledger import Beside
from tests.model.lively import KINDS, Lively

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.model.machine import Machine

PAUSES_S = (0.0, 0.001, 0.03, 0.3, 2.5)
ROOM_BYTES = 1 << 40


class Wide(Adversary):
    """The part of a World that only wide histories use."""

    def no_longer_alone(self, *beside: Beside) -> None:
        """From here on the dictionary of one machine tells nothing; `beside`: where bytes may end but in the tree."""
        self._alone = False
        self._elsewhere.update(beside)

    # One machine -------------------------------------------------------------------------------------------------

    def live(self, who: int, *, kind: str, second: str, beside: str, picks: tuple[int, ...], dies: int) -> None:
        """The whole engine runs, as in a mount, while two programs and somebody else do things; then it ends."""
        machine = self._machine(who)
        self.no_longer_alone(*([Beside.SET_ASIDE, Beside.HISTORY] if machine.engine.steering.conflicts() else []))
        self._remember_what_is_shown()
        self.step_outside(who, lambda: self._live(machine, (kind, second), beside, picks))
        machine.remote._faults.clear()
        if dies < 2:
            self.crash(who)
        else:
            self.restart(who)

    async def _live(self, machine: Machine, kinds: tuple[str, ...], beside: str, picks: tuple[int, ...]) -> None:
        lively = Lively(machine, self.ledger)

        async def programs(kind: str, turn: int) -> None:
            numbers = itertools.cycle(picks[turn:] + picks[:turn])
            for number in range(3):
                await trio.sleep(PAUSES_S[next(numbers) % len(PAUSES_S)])
                await lively.run(kind if number % 2 == 0 else _another(kind, next(numbers)), numbers)

        async with trio.open_nursery() as nursery:
            await nursery.start(machine.engine.run)
            async with trio.open_nursery() as work:
                for turn, kind in enumerate(kinds):
                    work.start_soon(programs, kind, turn)
                work.start_soon(self._beside, machine, beside, picks)
            await trio.sleep(PAUSES_S[picks[3] % len(PAUSES_S)])
            nursery.cancel_scope.cancel()

    async def _beside(self, machine: Machine, what: str, picks: tuple[int, ...]) -> None:
        """The server, the wire, or the cache."""
        await trio.sleep(PAUSES_S[picks[2] % len(PAUSES_S)])
        match what:
            case "server":
                for turn in range(2):
                    self._on_the_server_wide(picks[turn:] + picks[:turn])
                    await trio.sleep(PAUSES_S[picks[turn] % len(PAUSES_S)])
            case "wire":
                before = machine.remote.online
                machine.remote.online = False
                await trio.sleep(PAUSES_S[picks[0] % len(PAUSES_S)])
                machine.remote.online = before
            case "cache":
                limit_bytes, machine.engine.evictor.limit_bytes = machine.engine.evictor.limit_bytes, 4
                await trio.sleep(PAUSES_S[picks[0] % len(PAUSES_S)])
                await machine.engine.evictor.make_room(4)
                machine.engine.evictor.limit_bytes = limit_bytes
            case fault:
                machine.remote.inject(FAULTS[fault]())

    def squeeze(self, who: int, room_bytes: int) -> None:
        """Hours later the cache has to be smaller for a moment."""
        machine = self._machine(who)

        async def act() -> None:
            evictor = machine.engine.evictor
            limit_bytes, evictor.limit_bytes = evictor.limit_bytes, room_bytes
            evictor.look_again()
            await evictor.make_room(0, machine.store.clock().now_s + 1)
            evictor.limit_bytes = limit_bytes

        self.step(who, act)

    def batch(self, who: int, fault: str) -> None:
        """Files are brought many in one request, as for a walk."""
        machine = self._machine(who)

        async def act() -> None:
            files = [node for node in machine.nodes() if node.kind is Kind.FILE]
            try:
                await machine.engine.prefetcher.bring([node.ino for node in files])
            except RemoteError:
                assert fault or not machine.remote.online

        if fault:
            machine.remote.inject(FAULTS[fault]())
        self.step(who, act)
        machine.remote._faults.clear()

    def tidy(self, who: int) -> None:
        """What the janitor does: what nobody has open is on the disk after it."""
        machine = self._machine(who)
        self.step(who, machine.tidy)
        if not machine.handles:
            machine.now_synced(*machine.nodes())

    def restart(self, who: int) -> None:
        """An orderly end, and another start."""
        machine = self._machine(who)
        self.step(who, machine.close_all)
        self.time.run(machine.close)
        machine.open()
        self._begin_again(machine)

    def pin(self, who: int, state: str, picks: tuple[int, ...]) -> None:
        """A person says what is wanted of something."""
        machine = self._machine(who)
        nodes = machine.nodes()
        if nodes:
            ino = nodes[picks[0] % len(nodes)].ino
            self.step(who, lambda: machine.engine.pin(ino, PinState(state)))

    def power(self, who: int) -> None:
        """The machine, not only the process, goes down: what was not synced is not believed."""
        machine = self._machine(who)
        self.no_longer_alone(Beside.RESCUED)
        before = machine.tree()
        synced = set(filter(machine.is_synced, before))
        machine.store.db.write_now(lambda connection: set_meta(connection, "boot_id", "another"))
        machine.crash()
        self._begin_again(machine)
        after, rescued = machine.tree(), machine.rescued()
        for path, what in before.items():
            torn = path not in synced and (what == b"" or what in rescued)
            assert after.get(path) == what or torn, f"{path} was {what!r}, is {after.get(path)!r}"

    def damage(self, who: int, how: str) -> None:
        """The catalog is lost while nobody looks: what was not sent is rescued, and nothing else changes anywhere."""
        machine = self._machine(who)
        self.no_longer_alone(Beside.RESCUED)
        before, unsent = self.drive.seq, machine.unsent_bodies() - {b""}
        machine.crash(lambda: damaged(machine.directory / "state.db", how))
        machine.removed.clear()  # numbers begin anew
        machine.synced.clear()
        machine.remote.online = True  # a drive that nobody knows is not mounted without its server
        self._begin_again(machine)
        assert self.drive.seq == before
        assert machine.outbox() == []
        assert unsent <= machine.rescued(), f"not rescued: {unsent - machine.rescued()}"

    def failing_disk(self, who: int, *, what: str, kind: str, after: int, full: bool, picks: tuple[int, ...]) -> None:
        """From some transaction on the disk takes nothing, for some more of them."""
        machine = self._machine(who)
        self.no_longer_alone()
        self._remember_what_is_shown()
        error = NoSpaceLeft("full") if full else OSError(errno.EIO, "broken")
        acts: dict[str, Callable[[], Awaitable[object]]] = {
            "program": lambda: Lively(machine, self.ledger).run(kind, itertools.cycle(picks)),
            "push": lambda: machine.push_one(picks[0]),
            "pull": machine.pull,
            "list": machine.list_all,
        }

        async def act() -> None:
            try:
                with failing(machine.store.db, range(after, after + 1 + picks[3] % 4), error):
                    await acts[what]()
            except (LocalError, OSError):
                assert what != "program"
            except RemoteError:
                assert not machine.remote.online
            await machine.tidy()

        self.step(who, act)

    def reviewed(self, who: int, *, kind: str, second: str, news: bool, which: int, picks: tuple[int, ...]) -> None:
        """Programs do some things that wait for approval; somebody changes the server; they are rejected."""
        machine = self._machine(who)
        self.no_longer_alone(Beside.SET_ASIDE)
        self.review(who, wanted=True)
        for turn, each in enumerate((kind, second)):
            self.step(who, lambda each=each, turn=turn: self._program(who, each, picks[turn:] + picks[:turn]))  # type: ignore[misc]
        if news:
            self._on_the_server_wide(picks)
            self.step(who, machine.pull)
        self.decide(who, "reject", which)
        self.review(who, wanted=False)

    # The server --------------------------------------------------------------------------------------------------

    def room(self, full: bool) -> None:
        """The server has no room for a byte more, or has again."""
        self.drive.total_bytes = self.drive.used_bytes() if full else ROOM_BYTES

    def undelete(self, which: int) -> None:
        """Somebody takes something out of the trash."""
        drive = self.drive
        self.no_longer_alone()
        assert isinstance(drive, WideDrive)
        found = [item for item in drive.trash.values() if item.item_id not in drive.items]
        if found:
            drive.undelete(found[-1 - which % len(found)])

    def revert(self, picks: tuple[int, ...]) -> None:
        """Somebody makes an older version of a file the newest one."""
        self.no_longer_alone()
        files = [item for item in self.drive.items.values() if item.kind is Kind.FILE]
        if not files:
            return
        item = files[picks[0] % len(files)]
        older = [body for (item_id, _), body in self.drive.bodies.items() if item_id == item.item_id]
        assert item.content_version is not None
        data = older[picks[1] % len(older)]
        before = self.drive.bodies[item.item_id, item.content_version]
        with suppress(QuotaFull):
            self.drive.overwrite(item.item_id, item.content_version, data, mode=item.mode, mtime_ns=9)
            self.ledger.replaced(before, data)

    # Parts -------------------------------------------------------------------------------------------------------

    def step_outside(self, who: int, act: Callable[[], Awaitable[object]]) -> None:
        """As `step`, without the parts that `Machine.running` runs: the whole engine has its own."""
        machine = self._machine(who)
        self._touched.add(machine.name)

        async def skewed() -> None:
            told = SKEW_S.set(machine.skew_s)
            await act()
            SKEW_S.reset(told)

        self.time.run(skewed)
        machine.forget_news()

    def _on_the_server_wide(self, picks: tuple[int, ...]) -> None:
        self.server.run(server_side.KINDS[picks[0] % len(server_side.KINDS)], itertools.cycle(picks[1:]))

    def _remember_what_is_shown(self) -> None:
        shown = {body for machine in self.machines for body in machine.tree().values() if isinstance(body, bytes)}
        self.ledger.ever |= shown | set(self.drive.bodies.values())

    def _begin_again(self, machine: Machine) -> None:
        self._touched.add(machine.name)
        if machine.remote.online:
            self.time.run(machine.begin)


def _another(kind: str, number: int) -> str:
    return KINDS[(KINDS.index(kind) + number) % len(KINDS)]
