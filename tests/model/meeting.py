"""Two sides of one tree: programs on a machine that is told nothing meanwhile, and somebody on the server.

Both work on the same few paths, so most of what they do is about the same things. An act names two paths; what makes
something takes the second one. What cannot be done there is left.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache.model import Item, Kind
from sync.remote import Gone
from tests.model.ground import CLASHING, Ground
from tests.model.operations import Picker, Program
from tests.model.server_side import ServerSide
from tests.model.world import ROUND_S, ROUNDS, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.drive import FakeDrive
    from tests.model.machine import Machine, Tree

Act = tuple[str, str, str]

HERE = (
    "create", "mkdir", "write", "save", "rename", "rename", "unlink", "rmdir", "exchange", "symlink", "wrap", "unwrap",
)  # fmt: skip
THERE = ("create", "mkdir", "overwrite", "overwrite", "move", "move", "delete", "retype")
TOPS = tuple(f"/{name}" for name in CLASHING)
PATHS = TOPS + tuple(f"{top}/{name}" for top in TOPS[:2] for name in CLASHING[:2])
START = (("mkdir", "", "/a"), ("mkdir", "", "/b"), ("create", "", "/a/a"), ("create", "", "/b/a"), ("create", "", "/A"))
FOLDS = Ground(folds=True, wide=True)
KEEPS = Ground(wide=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """What happened to one tree: START, and `more` known to both sides."""

    more: list[Act]
    read: bool  # the bytes of it are on the machine as well, not only its names
    here: list[Act]
    there: list[Act]
    told_first: bool  # the machine hears of the other side before it tells of its own
    cut_off: bool  # the feed tells nothing of that time any more
    folds: bool  # the server holds names that differ in letter case to be one


@dataclass(frozen=True, slots=True)
class Met:
    """The trees of both sides when they meet, and the one that is left on both."""

    common: Tree
    here: Tree
    there: Tree
    left: Tree


class AtPaths(Picker):
    """Chooses these paths, where there is something."""

    def __init__(self, tree: Tree, one: str, other: str) -> None:
        super().__init__(tree, itertools.cycle((len(one), len(other))))
        self._one, self._other = one, other
        self._in_turn = itertools.cycle((one, other))

    def among(self, paths: list[str]) -> str | None:
        """The one, and then the other."""
        path = next(self._in_turn)
        return path if path in paths else None

    def target(self) -> str:
        """The other."""
        return self._other


class Server(ServerSide):
    """Changes what stands at paths."""

    def act(self, act: Act) -> None:
        """One change, where it can be made."""
        kind, self._one, self._other = act
        folder = self._at(self._other.rpartition("/")[0])
        if folder is not None and folder.kind is Kind.FOLDER:
            self.run(kind, iter(()))

    def _at(self, path: str) -> Item | None:
        try:
            return self._drive.at(path)
        except Gone:
            return None

    def _any(self, _picks: Iterator[int]) -> Item | None:
        return self._at(self._one)

    def _file(self, _picks: Iterator[int]) -> Item | None:
        found = self._at(self._one)
        return found if found is not None and found.kind is Kind.FILE else None

    def _folder(self, _picks: Iterator[int]) -> Item:
        return self._drive.at(self._other.rpartition("/")[0])

    def _name(self, _picks: Iterator[int]) -> str:
        return self._other.rpartition("/")[2]


def alone(apart: Apart) -> tuple[set[str], set[str]]:
    """First names that acts of one side only have to do with, here and there, however far about."""
    here, there = ([_first_names(act) for act in acts] for acts in (apart.here, apart.there))
    of_both = set().union(*here) & set().union(*there)
    for _ in TOPS:
        of_both.update(*(names for names in here + there if names & of_both))
    return set().union(*here) - of_both, set().union(*there) - of_both


def below(tree: Tree, tops: set[str]) -> Tree:
    """What stands under these first names."""
    return {path: what for path, what in tree.items() if _first_name(path) in tops}


def met(apart: Apart, order: int, *, watched: bool = False) -> Met:
    """`order` decides every order that is left open: of tasks, and of changes in a page of the feed. `watched`: a
    machine that did nothing looks on, and in the end shows the same."""
    with World(order, machines=2 if watched else 1, ground=FOLDS if apart.folds else KEEPS) as world:
        world.no_longer_alone()
        server, trees = Server(world.drive, world.ledger), list["Tree"]()
        for act in (*START, *apart.more):
            server.act(act)
        for who, machine in enumerate(world.machines):
            world.step(who, lambda machine=machine: _told(machine, read=apart.read))  # type: ignore[misc]
        world.step(0, lambda: _meet(world, server, apart, trees))
        for who, machine in enumerate(world.machines):
            world.step(who, lambda machine=machine: _told(machine, read=False))  # type: ignore[misc]
        world.examine()
        world.all_the_same()
        return Met(*trees, left=world.drive.tree())


async def _told(machine: Machine, *, read: bool) -> None:
    await machine.pull()
    await (machine.read_all() if read else machine.list_all())


async def _meet(world: World, server: Server, apart: Apart, trees: list[Tree]) -> None:
    """All in one step, as to begin one costs more than what is done in it."""
    machine, drive, program = world.machines[0], world.drive, Program(world.machines[0], world.ledger)
    trees.append(machine.tree())
    for kind, one, other in apart.here:
        await program.run_with(kind, AtPaths(machine.tree(), one, other))
    for act in apart.there:
        server.act(act)
    trees += [machine.tree(), drive.tree()]
    if apart.cut_off:
        drive.expire_anchors()
    if apart.told_first:
        await machine.pull()
    await _settled(machine, drive)


async def _settled(machine: Machine, drive: FakeDrive) -> None:
    """What is to be told is told, and that comes to an end."""
    for _ in range(ROUNDS):
        before = drive.seq
        await machine.push_all(ROUND_S)
        await machine.pull()
        if not machine.outbox() and drive.seq == before:
            return
    raise AssertionError(machine.outbox())


def _first_names(act: Act) -> set[str]:
    return {_first_name(path) for path in act[1:]}


def _first_name(path: str) -> str:
    """Of one letter case: whether the server holds both to be one is no matter here."""
    return path.split("/")[1].casefold()
