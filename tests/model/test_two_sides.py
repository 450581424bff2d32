"""Two sides that change one tree apart, and meet: it comes to an end, the order in which things are told makes no
difference to the tree that comes of it, and what only one of them has made is there for both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from tests.harness.properties import examples
from tests.model.world import World

if TYPE_CHECKING:
    from tests.model.machine import Tree

Work = list[tuple[str, tuple[int, ...]]]

HERE = ("create", "create", "mkdir", "write", "rename", "rename", "unlink", "rmdir")
THERE = ("create", "create", "mkdir", "overwrite", "move", "move", "delete")
PICKS = st.tuples(*[st.integers(0, 11)] * 4)
ORDERS = (1, 2)


def work(kinds: tuple[str, ...], most: int) -> st.SearchStrategy[Work]:
    return st.lists(st.tuples(st.sampled_from(kinds), PICKS), max_size=most)


@examples(15, 10_000)
@given(before=work(THERE[:3], 6), here=work(HERE, 6), there=work(THERE, 6), told_first=st.booleans())
def test_what_only_one_side_made_is_there_for_both(before: Work, here: Work, there: Work, told_first: bool) -> None:
    first, second = (met(order, before, here, there, told_first=told_first) for order in ORDERS)
    assert first == second


def met(order: int, before: Work, here: Work, there: Work, *, told_first: bool) -> Tree:
    """The tree that is left on both sides."""
    with World(order, machines=2) as world:
        for kind, picks in before:
            world.on_the_server(kind, picks)
        machine = world.machines[0]
        world.step(0, machine.pull)
        world.step(0, machine.read_all)
        common = machine.tree()
        for kind, picks in here:
            world.program(0, kind, picks)
        for kind, picks in there:
            world.on_the_server(kind, picks)
        made = [bodies(machine.tree()) - bodies(common), bodies(world.drive.tree()) - bodies(common)]
        if told_first:
            world.step(0, machine.pull)
        world.rest()
        left = world.drive.tree()
        for of_one_side in made:
            assert of_one_side <= bodies(left), f"lost: {of_one_side - bodies(left)} of {left}"
    return left


def bodies(tree: Tree) -> set[bytes]:
    """Contents of files."""
    return {each for each in tree.values() if isinstance(each, bytes)}
