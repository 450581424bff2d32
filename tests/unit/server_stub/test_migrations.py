"""A stored older state is taken to the newest schema whole, or stays what it was; a newer one is refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from server_stub import migrations
from server_stub.migrations import SCRIPTS, StateUnusable, copy_of, migrate, version_of
from server_stub.sqlite_view import SqliteView

if TYPE_CHECKING:
    from collections.abc import Sequence

STATES = Path(__file__).with_name("states")
ADDS = "ALTER TABLE items ADD COLUMN colour TEXT;\nUPDATE items SET colour = 'green';"
BREAKS = "ALTER TABLE items ADD COLUMN shape TEXT;\nINSERT INTO no_such_table VALUES (1);"


def stored(tmp_path: Path, version: int = 1) -> Path:
    """A state as the program of that version left it."""
    path = tmp_path / "drive.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((STATES / f"version-{version}.sql").read_text(encoding="utf-8"))
        connection.execute(f"PRAGMA user_version = {version}")
    return path


def scripts(tmp_path: Path, *bodies: str) -> Sequence[str]:
    """Today's scripts and some of a later program."""
    later = []
    for number, body in enumerate(bodies):
        path = tmp_path / f"later-{number}.sql"
        path.write_text(body)
        later.append(str(path))
    return (*SCRIPTS, *later)


def opened(path: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(path, isolation_level=None))


def columns(connection: sqlite3.Connection) -> set[str]:
    return {row[1] for row in connection.execute("PRAGMA table_info(items)")}


@pytest.mark.parametrize("version", range(1, len(SCRIPTS) + 1))
def test_every_stored_version_is_read_by_this_program(tmp_path: Path, version: int) -> None:
    path = stored(tmp_path, version)
    with opened(path) as connection:
        migrate(connection, path)
        assert version_of(connection) == len(SCRIPTS)
        view = SqliteView(connection)
        root_id = view.root_id() or ""
        names = {item.name: item for item in view.children(root_id)}
        assert set(names) == {"folder", "plain.txt", "link"}
        inner = view.child(names["folder"].item_id, "edited.txt")
        assert inner is not None
        assert inner.digest is not None
        assert view.newest_seq() == max(row[0] for row in connection.execute("SELECT max(seq) FROM items"))
        assert view.kept_versions()
        (tombstone,) = view.changed_tombstones(0, 10)
        assert tombstone.item.name == "gone.txt"


def test_a_later_schema_keeps_everything_and_a_copy(tmp_path: Path) -> None:
    path = stored(tmp_path)
    with opened(path) as connection:
        before = connection.execute("SELECT item_id, name, seq FROM items ORDER BY 1").fetchall()
        migrate(connection, path, scripts(tmp_path, ADDS))
        assert version_of(connection) == len(SCRIPTS) + 1
        assert connection.execute("SELECT item_id, name, seq FROM items ORDER BY 1").fetchall() == before
        assert "colour" in columns(connection)
    copy = copy_of(path, len(SCRIPTS))
    assert copy.stat().st_mode & 0o777 == 0o600
    with opened(copy) as connection:
        assert version_of(connection) == len(SCRIPTS)
        assert connection.execute("SELECT item_id, name, seq FROM items ORDER BY 1").fetchall() == before


def test_a_step_that_fails_leaves_the_version_before_it(tmp_path: Path) -> None:
    path = stored(tmp_path)
    with opened(path) as connection:
        with pytest.raises(sqlite3.OperationalError, match="no_such_table"):
            migrate(connection, path, scripts(tmp_path, ADDS, BREAKS))
        assert not connection.in_transaction
        assert version_of(connection) == len(SCRIPTS) + 1
        assert "colour" in columns(connection)
        assert "shape" not in columns(connection)
        migrate(connection, path, scripts(tmp_path, ADDS, "ALTER TABLE items ADD COLUMN shape TEXT;"))
        assert {"colour", "shape"} <= columns(connection)


def test_an_unfinished_copy_is_made_anew(tmp_path: Path) -> None:
    path = stored(tmp_path)
    copy = copy_of(path, len(SCRIPTS))
    copy.with_name(f"{copy.name}.unfinished").write_bytes(b"cut")
    with opened(path) as connection:
        migrate(connection, path, scripts(tmp_path, ADDS))
    assert [each.name for each in tmp_path.glob("*.unfinished")] == []
    with opened(copy) as connection:
        assert version_of(connection) == len(SCRIPTS)


def test_a_newer_state_is_refused_untouched(tmp_path: Path) -> None:
    path = stored(tmp_path)
    with opened(path) as connection:
        connection.execute("PRAGMA user_version = 99")
        with pytest.raises(StateUnusable, match="99"):
            migrate(connection, path)
    assert list(tmp_path.glob("drive.db.version-*")) == []


def test_scripts_are_there() -> None:
    for name in SCRIPTS:
        assert (Path(migrations.__file__).parent / name).read_text()
