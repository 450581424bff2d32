"""Changes that wait for a person's approval: which go together, and how one is undone. Parts of a transaction.

A row of the outbox is held by its own state, not by the mode of the mount: what was held under one mode is not sent
by a switch to the other. What is approved takes along what it depends on (a file: its new folder); what is rejected
takes along what would have no place (a file moved back: the folder it was in, which was removed).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache import holding, items, journal, paths, tree, xattrs
from cache.activity import What, Who
from cache.model import Aspect, ChangeState, Kind, LocalChange, Node
from sync import push, sides

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sync.absorb import Absorber


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """One change that a person decided about; `kept`: where its bytes are, when it was rejected."""

    path: str
    aspect: Aspect
    kept: str = ""


def approve(connection: sqlite3.Connection, wanted: Sequence[str]) -> list[Reviewed]:
    """Let the held changes at or below these paths be sent, with what they depend on."""
    held = [row for row in journal.all_changes(connection) if row.state is ChangeState.HELD]
    chosen = [row for row in _with_needs(connection, _at(connection, held, wanted), _goes_before) if _waits(row)]
    holding.approve(connection, chosen)
    return [Reviewed(path=paths.of_change(connection, row), aspect=row.aspect) for row in chosen]


def reject(absorber: Absorber, wanted: Sequence[str]) -> list[Reviewed]:
    """Undo the held and parked changes at or below these paths: the remote's state is shown again."""
    connection = absorber.connection
    rows = [row for row in journal.all_changes(connection) if _waits(row)]
    chosen = _with_needs(connection, _at(connection, rows, wanted), _goes_along)
    told = [_set_aside(absorber, row) for row in chosen]
    for aspect, undo in _UNDO:
        same = [row for row in chosen if row.aspect is aspect]
        for row in sorted(same, key=lambda row: paths.of_change(connection, row).count("/"), reverse=aspect in _DEEP):
            undo(absorber, row)
    return told


def _waits(row: LocalChange) -> bool:
    return row.state in {ChangeState.HELD, ChangeState.PARKED}


def _at(connection: sqlite3.Connection, rows: Iterable[LocalChange], wanted: Sequence[str]) -> list[LocalChange]:
    """Rows about something that is, or was, at or below one of the paths; all of them when none is named."""
    if not wanted:
        return list(rows)
    return [row for row in rows if any(_lies_in(at, each) for at in _places(connection, row) for each in wanted)]


def _places(connection: sqlite3.Connection, row: LocalChange) -> set[str]:
    found = {paths.of_change(connection, row)}
    return found | {paths.before(connection, row)} if row.aspect is Aspect.PLACE else found


def _lies_in(path: str, tree_path: str) -> bool:
    return tree_path in {"", "/"} or path == tree_path or path.startswith(tree_path + "/")


def _with_needs(
    connection: sqlite3.Connection,
    rows: list[LocalChange],
    needs: Callable[[sqlite3.Connection, LocalChange], Iterator[LocalChange | None]],
) -> list[LocalChange]:
    chosen, queue = {row.seq: row for row in rows}, list(rows)
    while queue:
        for other in needs(connection, queue.pop()):
            if other is not None and other.seq not in chosen:
                chosen[other.seq] = other
                queue.append(other)
    return [chosen[seq] for seq in sorted(chosen)]


# What depends on what --------------------------------------------------------------------------------------------


def _goes_before(connection: sqlite3.Connection, row: LocalChange) -> Iterator[LocalChange | None]:
    """As `sync.push` orders them."""
    if row.aspect is Aspect.REMOVE:
        if row.item_id is not None:
            yield from journal.leaving(connection, row.item_id)
        return
    node = tree.by_ino(connection, row.ino)
    folder = None if node is None or node.parent is None else tree.by_ino(connection, node.parent)
    if node is None or folder is None:
        return
    yield journal.get(connection, folder.ino, Aspect.CREATE)
    yield journal.get(connection, node.ino, Aspect.CREATE)
    if folder.item_id and node.item_id and push.remote_below(connection, folder.item_id, node.item_id):
        for above in _above(connection, folder):
            yield journal.get(connection, above.ino, Aspect.PLACE)
    yield _leaves_the_name(connection, row, node, folder)
    yield from journal.unanswered_at(connection, folder.item_id, node.name, node.ino)


def _above(connection: sqlite3.Connection, folder: Node) -> Iterator[Node]:
    current: Node | None = folder
    while current is not None:
        yield current
        current = None if current.parent is None else tree.by_ino(connection, current.parent)


def _leaves_the_name(
    connection: sqlite3.Connection, row: LocalChange, node: Node, folder: Node
) -> LocalChange | None:  # fmt: skip
    occupant = None if folder.item_id is None else push.occupant_of(connection, row, folder.item_id, node.name)
    return None if occupant is None or occupant.item_id == node.item_id else push.leaving(connection, occupant)


def _goes_along(connection: sqlite3.Connection, row: LocalChange) -> Iterator[LocalChange | None]:
    """The removal of the folder that something goes back into; what is in a folder that was never made, approved or
    not."""
    if row.aspect in {Aspect.REMOVE, Aspect.PLACE} and row.base_parent_id is not None:
        yield journal.removal_of(connection, row.base_parent_id)
    if row.aspect is Aspect.CREATE:
        for child in tree.children(connection, row.ino):
            yield journal.get(connection, child.ino, Aspect.CREATE)
            yield journal.get(connection, child.ino, Aspect.PLACE)


# Undoing ---------------------------------------------------------------------------------------------------------


def _set_aside(absorber: Absorber, row: LocalChange) -> Reviewed:
    """Keep what only this machine has, while its path can still be told."""
    path, kept = paths.of_change(absorber.connection, row), ""
    node = tree.by_ino(absorber.connection, row.ino)
    if node is not None and row.aspect in {Aspect.CREATE, Aspect.CONTENT} and node.kind is not Kind.FOLDER:
        kept = sides.put_aside(absorber, node)
    detail = f"{row.aspect.word}: kept in {kept}" if kept else row.aspect.word
    absorber.note(row.ino, What.REJECTED, detail, who=Who.PERSON, path=path)
    return Reviewed(path=path, aspect=row.aspect, kept=kept)


def _take_out(absorber: Absorber, row: LocalChange) -> None:
    """All that moved leave their names first: two may have swapped theirs."""
    node = tree.by_ino(absorber.connection, row.ino)
    journal.drop(absorber.connection, row.ino, Aspect.PLACE)
    if node is not None:
        absorber.take_out(node)


def _drop_creation(absorber: Absorber, row: LocalChange) -> None:
    node = tree.by_ino(absorber.connection, row.ino)
    if node is not None:
        sides.drop_creation(absorber, node)


def _bring_back(absorber: Absorber, row: LocalChange) -> None:
    """A removal that is void: the item is shown again."""
    journal.drop(absorber.connection, row.ino, Aspect.REMOVE)
    item = None if row.item_id is None else items.get(absorber.connection, row.item_id)
    if item is not None:
        absorber.item(item, unlisted_parent=True)


def _move_home(absorber: Absorber, row: LocalChange) -> None:
    node = tree.by_ino(absorber.connection, row.ino)
    known = None if node is None or node.item_id is None else items.get(absorber.connection, node.item_id)
    home = None if known is None else absorber.home(known)
    if node is not None and known is not None and home is not None:
        absorber.move(node, home, known)


def _undo_content(absorber: Absorber, row: LocalChange) -> None:
    node = tree.by_ino(absorber.connection, row.ino)
    item = None if node is None or node.item_id is None else items.get(absorber.connection, node.item_id)
    if node is not None and item is not None:
        sides.drop_content(absorber, node, item)


def _undo_attributes(absorber: Absorber, row: LocalChange) -> None:
    node = tree.by_ino(absorber.connection, row.ino)
    item = None if node is None or node.item_id is None else items.get(absorber.connection, node.item_id)
    journal.drop(absorber.connection, row.ino, Aspect.ATTRIBUTES)
    if node is not None and item is not None:
        absorber.take_attributes(node, item)


def _undo_xattrs(absorber: Absorber, row: LocalChange) -> None:
    journal.drop(absorber.connection, row.ino, Aspect.XATTRS)
    xattrs.forget(absorber.connection, row.ino)


_UNDO = (
    (Aspect.PLACE, _take_out),
    (Aspect.CREATE, _drop_creation),
    (Aspect.REMOVE, _bring_back),
    (Aspect.PLACE, _move_home),
    (Aspect.CONTENT, _undo_content),
    (Aspect.ATTRIBUTES, _undo_attributes),
    (Aspect.XATTRS, _undo_xattrs),
)
_DEEP = frozenset({Aspect.CREATE})  # what a folder holds goes before the folder
