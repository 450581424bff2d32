"""What the feed costs: every statement by index and in its order, and as many steps for k changes in a small drive as
in a large one.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from server_stub.feed import Scope, read_page
from server_stub.migrations import migrate
from server_stub.sqlite_feed import STATEMENTS
from server_stub.sqlite_tx import SqliteLedger
from server_stub.values import Item, Kind, Principal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FILES_PER_FOLDER = 100
CHANGES = 100
_SCAN = re.compile(r"\bSCAN\b|TEMP B-TREE")

# A drive of :items files in folders of a hundred, below folders of a hundred, written by the database itself.
_FILL = """
WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :count)
INSERT INTO items (item_id, parent_id, name, kind, size, mode, created_ns, modified_ns, metadata_version, seq)
SELECT :letter || i, :above || (i / :per), :letter || i, :kind, 0, 0, 0, 0, 'v', :before + i + 1 FROM n
"""


@pytest.fixture
def empty() -> Iterator[Callable[[], SqliteLedger]]:
    """Makes empty indexes, and closes them."""
    with contextlib.ExitStack() as stack:

        def make() -> SqliteLedger:
            connection = stack.enter_context(contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)))
            migrate(connection, Path("drive.db"))
            return SqliteLedger(connection, lambda _seq: None)

        yield make


def item(item_id: str, parent_id: str | None) -> Item:
    return Item(
        item_id=item_id,
        parent_id=parent_id,
        name="" if parent_id is None else item_id,
        kind=Kind.FOLDER if parent_id is None else Kind.FILE,
        size=0,
        mode=0,
        created_ns=0,
        modified_ns=0,
        metadata_version="v",
        content_version=None if parent_id is None else "c",
    )


def filled(ledger: SqliteLedger, items: int) -> SqliteLedger:
    """A drive of that many files, then `CHANGES` changes: new files, moves and deletions in turn."""
    with ledger.transaction() as tx:
        tx.put(item("root0", None))
    folders = items // FILES_PER_FOLDER
    fill = {"letter": "d", "above": "root", "kind": "folder", "per": folders, "count": folders, "before": 1}
    ledger.connection.execute(_FILL, fill)
    fill = {"letter": "f", "above": "d", "kind": "file", "per": FILES_PER_FOLDER, "count": items, "before": 1 + folders}
    ledger.connection.execute(_FILL, fill)
    with ledger.transaction() as tx:
        tx.seq = 1 + folders + items
    for number in range(CHANGES):
        with ledger.transaction() as tx:
            if number % 3 == 0:
                tx.put(item(f"new{number}", "d0"))
            elif number % 3 == 1:
                tx.put(item(f"f{number}", "d1" if number < FILES_PER_FOLDER else "d0"))
            else:
                tx.bury(item(f"f{number}", "d0"), deleted_ns=1)
    return ledger


def steps(ledger: SqliteLedger, scope: Scope | None) -> tuple[int, int]:
    """(changes told, instructions of the database's machine) for the pages after the fill."""
    principal = Principal(token_id="t", name="t", root_id="root0", whole_drive=True)
    counted = [0]

    def count() -> int:
        counted[0] += 1
        return 0

    after, told, more = ledger.newest_seq() - CHANGES, 0, True
    ledger.connection.set_progress_handler(count, 1)
    while more:
        page = read_page(ledger, principal, after, 20, scope, examine=5_000)
        after, more = page.seq, page.has_more
        told += len(page.changes)
    ledger.connection.set_progress_handler(None, 1)
    return told, counted[0]


@pytest.mark.parametrize("name", STATEMENTS)
def test_statements_search_and_never_sort(name: str, empty: Callable[[], SqliteLedger]) -> None:
    query = STATEMENTS[name]
    ledger = empty()
    parameters = (1,) * query.count("?")
    plan = [row[3] for row in ledger.connection.execute(f"EXPLAIN QUERY PLAN {query}", parameters)]
    assert plan
    for line in plan:
        assert line.startswith("SEARCH"), plan
        assert not _SCAN.search(line), plan


SCOPES = [
    None,
    Scope(folder_id="root0", deep=True),
    Scope(folder_id="d0", deep=True),
    Scope(folder_id="d0", deep=False),
]


@pytest.mark.parametrize("large", [50_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
def test_k_changes_cost_the_same_in_a_large_drive(large: int, empty: Callable[[], SqliteLedger]) -> None:
    small_drive, large_drive = filled(empty(), 10_000), filled(empty(), large)
    for scope in SCOPES:
        told, cost = steps(small_drive, scope)
        told_large, cost_large = steps(large_drive, scope)
        assert told_large == told > CHANGES // 2
        assert cost_large <= cost * 1.05, scope
        assert cost < 3_000 * CHANGES
