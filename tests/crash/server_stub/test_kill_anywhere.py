"""kill -9 of a server at its system calls: at each of a recorded run that changes its root or its state.

What it answered is there afterwards; what it did not answer is there whole or not at all, and once when it is asked for
again.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import pytest

from server_stub.control import ask
from server_stub.doctor import Patient, Verdict, examine
from tests.crash.moments.killing import Watch, Zygote, in_each, library
from tests.crash.moments.sweeping import sweep, tried, workers
from tests.crash.server_stub.script import Asking, trees
from tests.harness.server import ServerProcess
from tests.harness.trees import texts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.crash.moments.killing import Child

SERVER = "server_stub.cli"
RECORDINGS = 3
CALLS = (
    "fdatasync", "fsync", "syncfs", "pwrite", "torn pwrite", "write", "rename", "unlink", "link", "symlink", "create",
    "copy", "ftruncate", "chmod", "chown", "utime", "mkdir", "send",
)  # fmt: skip
OURS = ("ready.json", ".ready.json", "server.log")  # of the test
TREES = trees()

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here: no call can be died at")


class Forked(ServerProcess):
    """A server that starts at once."""

    def __init__(self, folder: Path, zygote: Zygote) -> None:
        super().__init__(folder)
        self.child: Child | None = None  # that was started last
        self._zygote = zygote

    def _launched(self, environment: dict[str, str]) -> Child:  # type: ignore[override] # as far as it is used
        self.child = self._zygote.start(SERVER, self._words(), environment, self.log_path)
        return self.child


@dataclass(slots=True)
class Bench:
    """Where servers are started; one thread at a time uses it."""

    folder: Path
    zygote: Zygote
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    @contextlib.contextmanager
    def fresh(self) -> Iterator[tuple[Forked, Path]]:
        """A server that was never started, and its folder."""
        folder = self.folder / f"run{next(self.numbers)}"
        with ExitStack() as stack:
            server = Forked(folder, self.zygote)
            stack.push(server.__exit__)
            yield server, folder
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory, often: Callable[[int, int], int]) -> Iterator[list[Bench]]:
    """One for each worker."""
    preloaded = library(tmp_path_factory.mktemp("library"))
    with ExitStack() as stack:
        zygotes = [stack.enter_context(Zygote(preloaded, SERVER)) for _ in range(workers(often))]
        yield [Bench(tmp_path_factory.mktemp("bench"), zygote) for zygote in zygotes]


@pytest.fixture(scope="module")
def recorded(benches: list[Bench]) -> list[str]:
    """The moments of a run, in order."""
    runs = []
    for number in range(RECORDINGS):
        with benches[0].fresh() as (server, folder):
            watch = Watch(folder, benches[0].folder / f"{number}.moments")
            assert ended(server, watch, Asking()) == 0
            assert texts_of(server.root) == TREES[-1]
            runs.append([moment for moment in watch.moments() if not moment.split()[1].startswith(OURS)])
    return in_each(runs)


def agrees(server: Forked, asking: Asking) -> None:
    """Tree, index, vault and feed tell the same, and a scan finds nothing to correct."""
    told, items = asking.told()
    assert told == texts_of(server.root)
    assert told in TREES[asking.done : asking.done + 2], f"after {asking.done} requests"
    if asking.anchor:
        assert asking.from_the_feed() == items
    assert list((server.state / "vault" / "staging").iterdir()) == []
    report = ask(server.state, "scan")["report"]
    assert (report["added"], report["changed"], report["removed"]) == (0, 0, 0)
    state = server.state
    patient = Patient(root=server.root, state=state, database=state / "drive.db", tokens=state / "tokens.json")
    assert [found.line() for found in examine(patient) if found.verdict is Verdict.WRONG] == []


def kill_at(bench: Bench, moment: str, torn: bool, *, forgotten: int = 0) -> bool:
    """One run that dies there; False when it did not come to it. What it answered is there, and the rest can be done.
    `forgotten`: so many answers more are held against it.
    """
    with bench.fresh() as (server, folder):
        watch = Watch(folder, bench.folder / f"{folder.name}.moments", moment, torn)
        asking = Asking()
        killed = watch.killed(ended(server, watch, asking))
        asking.done += forgotten
        server.start()
        with server.client() as asking.client:
            agrees(server, asking)
            asking.go_on()
            agrees(server, asking)
        watch.log.unlink(missing_ok=True)
        return killed


def ended(server: Forked, watch: Watch, asking: Asking) -> int:
    """Ask for everything, until the server dies; its exit status."""
    try:
        server.start(env=watch.environment)
    except AssertionError:
        assert server.child is not None
        return server.child.wait()
    with server.client() as asking.client:
        try:
            asking.go_on()
        except httpx.TransportError:
            return server.wait_dead()
    return server.stop()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A row for each call."""
    if "call" in metafunc.fixturenames:
        metafunc.parametrize("call", tried(CALLS, metafunc.config))


def test_kill_at_each(benches: list[Bench], recorded: list[str], often: Callable[[int, int], int], call: str) -> None:
    sweep(call, recorded, often, benches, kill_at)


def test_every_call_of_the_recorded_run_has_its_row(recorded: list[str]) -> None:
    assert {moment.split()[0] for moment in recorded} == {call.removeprefix("torn ") for call in CALLS}


def test_the_control_a_moment_that_a_run_does_not_come_to_does_not_count(benches: list[Bench]) -> None:
    assert not kill_at(benches[0], "unlink nowhere 1", torn=False)


def test_the_control_a_forgotten_answer_is_found(benches: list[Bench], recorded: list[str]) -> None:
    moment = next(moment for moment in recorded if moment.startswith("rename root/"))
    with pytest.raises(AssertionError, match="requests"):
        kill_at(benches[0], moment, torn=False, forgotten=2)
