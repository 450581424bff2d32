"""Two sides that change one tree apart, and meet: it comes to an end, the order in which things are told makes no
difference to the tree that comes of it, and what only one of them has made is there for both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.properties import examples
from tests.model.meeting import HERE, PATHS, THERE, Act, Apart, alone, below, met

if TYPE_CHECKING:
    from tests.model.machine import Tree


def acts(kinds: tuple[str, ...], most: int) -> st.SearchStrategy[list[Act]]:
    return st.lists(st.tuples(st.sampled_from(kinds), st.sampled_from(PATHS), st.sampled_from(PATHS)), max_size=most)


@st.composite
def parting(draw: st.DrawFn) -> Apart:
    """Both begin with the same thing."""
    path = draw(st.sampled_from(PATHS))
    here, there = draw(acts(HERE, 5)), draw(acts(THERE, 5))
    return Apart(
        more=draw(acts(("mkdir", "create", "move"), 3)),
        read=draw(st.booleans()),
        here=[(draw(st.sampled_from(HERE)), path, draw(st.sampled_from(PATHS))), *here],
        there=[(draw(st.sampled_from(THERE)), path, draw(st.sampled_from(PATHS))), *there],
        told_first=draw(st.booleans()),
        cut_off=draw(st.booleans()),
        folds=draw(st.booleans()),
    )


@pytest.mark.usefixtures("_rarely_collected")
@examples(15, 10_000)
@given(apart=parting(), order=st.integers(2, 1000), watched=st.booleans())
def test_what_only_one_side_made_is_there_for_both(apart: Apart, order: int, watched: bool) -> None:
    first, second = met(apart, 1, watched=watched), met(apart, order)
    if apart.folds and clashing(first.here):  # which of two made here gets the name, the first there decides
        assert sorted(bodies(first.left)) == sorted(bodies(second.left))
    else:
        assert first == second
    shown, left = set(bodies(first.here)) | set(bodies(first.there)), bodies(first.left)
    for side in (first.here, first.there):
        made = set(bodies(side)) - set(bodies(first.common))
        assert made <= set(left), f"lost: {made - set(left)} of {first.left}"
    assert set(left) <= shown, "what neither side showed any more is back"
    assert len(left) == len(set(left)), f"one content twice: {first.left}"
    if not clashing(first.here):
        for tops, tree in zip(alone(apart), (first.here, first.there), strict=True):
            assert below(first.left, tops) == below(tree, tops), "others changed nothing there"


def bodies(tree: Tree) -> list[bytes]:
    """Contents of files, but for the empty one."""
    return [each for each in tree.values() if isinstance(each, bytes) and each]


def clashing(tree: Tree) -> bool:
    """Whether two names may be one to a server."""
    return len({path.casefold() for path in tree}) < len(tree)
