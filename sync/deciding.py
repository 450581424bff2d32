"""What stands against a change when it is pushed, settled inside one transaction: the conflict table for our side.

Who wins is told by the pure `sync.planner`; how the winner and the loser end is in `sync.settle` (nobody loses) and in
`sync.sides` (one side does).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache import activity, contents, folded, items, journal, tree
from cache.activity import What
from cache.model import Aspect, Item, Kind, LocalChange, News, Node
from sync import push, requests, settle, sides
from sync.planner import Verdict, verdict

if TYPE_CHECKING:
    import sqlite3

    from sync.absorb import Absorber
    from sync.placing import Placing
    from sync.remote import Conflict


def decide(absorber: Absorber, change: LocalChange, planned: requests.Clash) -> None:
    """Settle a clash that was planned outside the transaction; raises Superseded when it is none any more."""
    row = push.stands(absorber.connection, change, planned)
    if row.aspect is Aspect.CONTENT:
        _content(absorber, row, planned)
    elif row.aspect is Aspect.CREATE:
        _creation(absorber, row, planned)
    else:
        lose_name(absorber, planned.node, planned.told, row)


def met(absorber: Absorber, change: LocalChange, told: Item, *, overtaken: bool) -> None:
    """The remote refused a request and told what stands there.

    When that bears another name than was sent, the remote takes both for one (letter case, Unicode forms). If it
    leaves, ours waits for that; else it goes on under a conflict name, whatever the policy; they are two files here.
    `overtaken`: newer news of it was heard, and it may have left by now.
    """
    connection = absorber.connection
    absorber.item(told, unlisted_parent=True)
    row, node = journal.get(connection, change.ino, change.aspect), tree.by_ino(connection, change.ino)
    if row is None or node is None or row.aspect not in {Aspect.CREATE, Aspect.PLACE}:
        return
    elsewhere = told.parent_id != row.sent_parent_id or told.item_id in {node.item_id, row.item_id}
    if overtaken or elsewhere or told.name == row.sent_name or node.name != row.sent_name:
        return
    if push.leaving(connection, told) is not None:
        folded.note(connection, row, node.name, told)
        return
    journal.not_sent(connection, row)
    absorber.after.news += settle.step_aside(connection, node, absorber.clock, absorber.host, rival=told.item_id)


def keep_folder(absorber: Absorber, change: LocalChange, error: Conflict) -> None:
    """A folder that the remote did not let go, nor give its name to what was renamed over it, holds something unseen:
    it stays, with its unseen child."""
    connection = absorber.connection
    row = _refused_removal(connection, change, error)
    item = None if row is None or row.item_id is None else items.get(connection, row.item_id)
    if row is None or item is None or item.kind is not Kind.FOLDER:
        return
    _stays(absorber, row, item)


def got_child(absorber: Absorber, told: Item) -> None:
    """Something known here is in this folder by now: a removal of the folder is void."""
    row = journal.removal_of(absorber.connection, told.item_id)
    if row is not None:
        _stays(absorber, row, told)


def _stays(absorber: Absorber, removal: LocalChange, folder: Item) -> None:
    journal.drop(absorber.connection, removal.ino)
    absorber.after.nameless.add(removal.ino)
    absorber.item(folder, unlisted_parent=True)
    node = tree.by_item(absorber.connection, folder.item_id)
    if node is not None:
        activity.note(absorber.connection, absorber.clock.now_s, node.ino, What.FOLDER_KEPT)


def _refused_removal(connection: sqlite3.Connection, change: LocalChange, error: Conflict) -> LocalChange | None:
    """The removal that a request was to do, by itself or as a move over it, and that was refused more than once."""
    row = journal.get(connection, change.ino, Aspect.REMOVE) or journal.get(connection, change.ino, Aspect.PLACE)
    if row is None or row.attempts < 1 or row.reason != str(error) or error.code not in {"not_empty", ""}:
        return None
    if row.aspect is Aspect.REMOVE:
        return row
    planned = push.plan(connection, row) if error.code else None
    if not isinstance(planned, requests.Move) or planned.removal_ino is None:
        return None
    return journal.get(connection, planned.removal_ino, Aspect.REMOVE)


def lose_name(placing: Placing, node: Node, told: Item, row: LocalChange) -> bool:
    """A local creation or move, and an item of the remote, claim one name. Whether the item has it now."""
    wins = verdict(placing.conflicts, row.aspect, node.kind, told.kind)
    if wins is Verdict.CLIENT:
        sides.client_wins(placing, node, told, row)
    elif wins is Verdict.SERVER:
        sides.server_wins(placing, node, told, row)
    else:
        placing.after.news += settle.step_aside(placing.connection, node, placing.clock, placing.host)
    return wins is not Verdict.CLIENT


def _content(absorber: Absorber, row: LocalChange, planned: requests.Clash) -> None:
    connection, node, told = absorber.connection, planned.node, planned.told
    if row.may_have_sent(told.digest):  # our own, its answer lost; written on since
        journal.rebase_content(connection, node.ino, told.content_version)
        journal.reopen(connection, node.ino, Aspect.CONTENT)
        return
    wins = verdict(absorber.conflicts, row.aspect, node.kind, told.kind)
    if wins is Verdict.COPY:
        absorber.after.news += _copy(absorber, node, told)
    elif wins is Verdict.SERVER:
        sides.server_wins(absorber, node, told, row)
    else:
        sides.client_wins(absorber, node, told, row)


def _copy(absorber: Absorber, node: Node, told: Item) -> list[News]:
    news = settle.conflict_copy(absorber.connection, node, told, absorber.clock, absorber.host)
    copy = None if node.content_id is None else contents.get(absorber.connection, node.content_id)
    if copy is not None:
        absorber.after.owners[copy.content_id] = copy.ino
    return news


def _creation(absorber: Absorber, row: LocalChange, planned: requests.Clash) -> None:
    connection, node, told = absorber.connection, planned.node, planned.told
    if {node.kind, told.kind} == {Kind.FOLDER}:
        settle.merge_folder(absorber, node, told)
        return
    if _same_symlink(node, told) or row.may_have_sent(told.digest):
        settle.adopt(absorber, node, told, clean=node.kind is Kind.SYMLINK)
        return
    journal.not_sent(connection, row)
    absorber.show_hidden(told.parent_id, told.name)
    row = journal.get(connection, row.ino, row.aspect) or row
    if push.plan(connection, row) == planned:  # else it was the name of an earlier attempt: it has another one by now
        lose_name(absorber, node, told, row)


def _same_symlink(node: Node, told: Item) -> bool:
    return node.kind is Kind.SYMLINK and told.kind is Kind.SYMLINK and node.symlink_target == told.symlink_target
