"""What operations do to a plain dictionary of paths: the oracle of the model. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.model.machine import Tree


def moved(tree: Tree, path: str, target: str) -> Tree:
    """The dictionary after a rename."""
    kept = {each: what for each, what in tree.items() if not within(each, target)}
    return {target + each[len(path) :] if within(each, path) else each: what for each, what in kept.items()}


def swapped(tree: Tree, one: str, other: str) -> Tree:
    """The dictionary after an exchange."""
    result: Tree = {}
    for each, what in tree.items():
        if within(each, one):
            result[other + each[len(one) :]] = what
        elif within(each, other):
            result[one + each[len(other) :]] = what
        else:
            result[each] = what
    return result


def within(path: str, ancestor: str) -> bool:
    return path == ancestor or path.startswith(f"{ancestor}/")


def children(tree: Tree, path: str) -> bool:
    return any(each.startswith(f"{path}/") for each in tree)


def in_a_folder(tree: Tree, path: str) -> bool:
    folder = path.rpartition("/")[0]
    return folder == "" or tree.get(folder, "") is None
