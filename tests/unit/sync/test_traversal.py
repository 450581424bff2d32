"""Which programs are recognised as walking, and how much is fetched for them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cache.ahead import Place
from cache.model import Ino
from sync.traversal import BATCH_MAX, BATCH_MIN, IDLE_S, MISSES_MAX, FileOpened, Traversal, Walk, planned

PARENTS = {10: 1, 20: 1, 21: 20, 30: 1}


def lineage(folder: Ino) -> tuple[Ino, ...]:
    found = [folder]
    while found[-1] in PARENTS:
        found.append(Ino(PARENTS[found[-1]]))
    return tuple(found)


def seen(ino: int, folder: int = 10, *, name: str | None = None, local: bool = False) -> FileOpened:
    return FileOpened(Ino(ino), Ino(folder), name or f"f{ino:06}", local)


class Program:
    """A walk through files 100.. of folder 10; what is fetched comes at once."""

    def __init__(self, last: int = 100_000) -> None:
        self.traversal = Traversal()
        self.last = last
        self.batches: list[int] = []

    def open(self, file: FileOpened, now_s: float = 0.0) -> Walk | None:
        walk = self.traversal.opened(file, lineage, now_s)
        if walk is not None and walk.hungry:
            assert isinstance(walk.frontier.after, int)
            start = walk.frontier.after + 1
            stop = min(start + walk.batch, self.last + 1)
            self.batches.append(stop - start)
            more = Place(walk.frontier.folder, stop - 1) if stop <= self.last else None
            planned(walk, [Ino(each) for each in range(start, stop)], more)
        return walk


def test_one_file_is_no_walk() -> None:
    program = Program()
    walk = program.open(seen(100))
    assert walk is not None
    assert program.batches == []


def test_the_second_file_in_order_makes_a_walk_and_batches_grow() -> None:
    program = Program()
    for ino in range(100, 1100):
        program.open(seen(ino))
    assert program.batches[:4] == [BATCH_MIN, BATCH_MIN, BATCH_MIN * 2, BATCH_MIN * 4]
    assert max(program.batches) == BATCH_MAX
    assert sum(program.batches) - 1000 <= 2 * BATCH_MAX


def test_a_walk_backwards_is_none() -> None:
    program = Program()
    for ino in range(200, 100, -1):
        program.open(seen(ino))
    assert program.batches == []


def test_names_in_order_are_a_walk_too() -> None:
    traversal = Traversal()
    traversal.opened(seen(300, name="a"), lineage, 0.0)
    walk = traversal.opened(seen(200, name="b"), lineage, 0.0)
    assert walk is not None
    assert walk.hungry
    assert walk.frontier == Place(Ino(10), "b")


def test_a_walk_that_stood_still_begins_anew() -> None:
    program = Program()
    first = program.open(seen(100))
    assert program.open(seen(101), IDLE_S + 1) is not first
    assert program.batches == []


def test_files_that_are_here_are_no_walk() -> None:
    traversal = Traversal()
    assert [traversal.opened(seen(ino, local=True), lineage, 0.0) for ino in range(5)] == [None] * 5


def test_a_walk_goes_from_folder_to_folder() -> None:
    traversal = Traversal()
    first = traversal.opened(seen(100, 20), lineage, 0.0)
    inside = traversal.opened(seen(200, 21), lineage, 0.0)
    assert inside is first
    assert inside is not None
    assert (inside.top, inside.frontier) == (Ino(20), Place(Ino(21), 200))
    beside = traversal.opened(seen(300, 30), lineage, 0.0)
    assert beside is first
    assert inside.top == Ino(1)


def test_what_is_fetched_in_vain_ends_the_walk() -> None:
    program = Program()
    for ino in (100, 101):
        program.open(seen(ino))
    for at in range(1, MISSES_MAX + 1):
        walk = program.open(seen(100 + at * 1000))
    assert walk is not None
    assert walk.ahead == set()
    assert not walk.hungry


@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from([10, 20, 21, 30]), st.booleans()), max_size=80))
def test_whatever_is_opened_the_budget_holds(opens: list[tuple[int, int, bool]]) -> None:
    traversal = Traversal()
    fetched: set[int] = set()
    planned_files = 0
    for at, (number, folder, local) in enumerate(opens):
        ino = folder * 1000 + number
        walk = traversal.opened(seen(ino, folder, local=local or ino in fetched), lineage, at * 0.01)
        if walk is None or not walk.hungry:
            continue
        after = walk.frontier.after
        start = after + 1 if isinstance(after, int) else ino + 1
        inos = [Ino(each) for each in range(start, start + walk.batch)]
        planned(walk, inos, Place(walk.frontier.folder, inos[-1]))
        planned_files += len(inos)
        fetched.update(inos)
        assert len(walk.ahead) <= 2 * BATCH_MAX
        assert BATCH_MIN <= walk.batch <= BATCH_MAX
    assert planned_files <= len(opens) * BATCH_MAX
