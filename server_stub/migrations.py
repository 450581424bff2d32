"""Bringing a state to the schema that this program knows: numbered scripts, each whole or not at all.

Before an older state is touched a copy of it is put aside under the name of its version, so that going back to the
program that wrote it is possible. A state of a newer version is refused, never guessed at.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

log = logging.getLogger(__name__)

SCRIPTS: Final = ("schema.sql",)  # the Nth takes a state from version N-1 to N; a released one is never edited


class StateUnusable(Exception):
    """The state is damaged, or was written by a newer version."""


def version_of(connection: sqlite3.Connection) -> int:
    """The version of the state's schema; 0: there is nothing yet."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection, path: Path, scripts: Sequence[str] = SCRIPTS) -> None:
    """Run what is missing. StateUnusable, sqlite3.Error: the state is then at the version it had reached."""
    version = version_of(connection)
    if version > len(scripts):
        raise StateUnusable(
            f"the state has schema version {version}; this program knows {len(scripts)}: use a newer one"
        )
    if 0 < version < len(scripts):
        put_aside(connection, copy_of(path, version))
    for number in range(version + 1, len(scripts) + 1):
        _run(connection, scripts[number - 1], number)


def copy_of(path: Path, version: int) -> Path:
    """Where the copy of a state lies that was made before it was migrated."""
    return path.with_name(f"{path.name}.version-{version}")


def put_aside(connection: sqlite3.Connection, target: Path) -> None:
    """A whole copy that appears at once. One that is there already is of an earlier attempt, and stays."""
    if target.exists():
        return
    unfinished = target.with_name(f"{target.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    connection.execute("VACUUM INTO ?", (str(unfinished),))
    unfinished.chmod(0o600)
    unfinished.rename(target)


def _run(connection: sqlite3.Connection, name: str, number: int) -> None:
    script = (Path(__file__).parent / name).read_text(encoding="utf-8")
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")
    except BaseException:
        if connection.in_transaction:
            connection.rollback()
        raise
    if number > 1:
        log.info("the state has schema version %d now", number)
