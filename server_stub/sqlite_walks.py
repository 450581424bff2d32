"""Steps of walks over the SQLite index: the next folder below a folder, and a stretch of names.

Both are answered from the index by name alone, so a step costs the same in a folder of ten and of a million.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3

_NEXT_FOLDER: Final = (
    "SELECT item_id, name FROM items WHERE parent_id = ? AND name > ? AND kind = 'folder' ORDER BY name LIMIT 1"
)
_STRETCH: Final = (
    "FROM items INDEXED BY items_by_name WHERE (parent_id, name) > (?, ?) ORDER BY parent_id, name LIMIT ? "
)
_SPAN: Final = f"SELECT item_id, parent_id, name FROM (SELECT item_id, parent_id, name {_STRETCH}) WHERE "  # noqa: S608
_NAMED: Final = _SPAN + "name LIKE ? ESCAPE '!' LIMIT ?"  # folds ASCII letters, in C
_NAMED_FOLDED: Final = _SPAN + "holds_folded(name, ?) LIMIT ?"  # every script's letters, ten times slower
_CHANGED_BELOW: Final = (
    "SELECT EXISTS (SELECT 1 FROM tombstones WHERE parent_id = ?1 AND seq > ?2) "
    "OR EXISTS (SELECT 1 FROM departures WHERE parent_id = ?1 AND seq > ?2)"
)

Position = tuple[str, str]  # parent_id, name


def _holds_folded(name: str, wanted: str) -> bool:
    return wanted in name.casefold()


class WalkRows:
    """The part of `store.View` that walks."""

    connection: sqlite3.Connection

    def next_folder(self, parent_id: str, after: str) -> tuple[str, str] | None:
        """(item_id, name) of the next folder by name in a folder."""
        row = self.connection.execute(_NEXT_FOLDER, (parent_id, after)).fetchone()
        return None if row is None else (row[0], row[1])

    def named(self, wanted: str, *, after: Position, span: int, limit: int) -> list[tuple[str, Position]]:
        """(item_id, position) of names that hold `wanted`, letter case aside, among the next `span` names."""
        folded = wanted.casefold()
        if wanted.isascii():
            escaped = folded.replace("!", "!!").replace("%", "!%").replace("_", "!_")
            query, sought = _NAMED, f"%{escaped}%"
        else:
            self.connection.create_function("holds_folded", 2, _holds_folded, deterministic=True)
            query, sought = _NAMED_FOLDED, folded
        rows = self.connection.execute(query, (*after, span, sought, limit)).fetchall()
        return [(row[0], (row[1], row[2])) for row in rows]

    def stretch_end(self, after: Position, span: int) -> Position | None:
        """The last of the next `span` names; None when there are fewer."""
        query = "SELECT parent_id, name " + _STRETCH + "OFFSET ?"
        row = self.connection.execute(query, (*after, 1, span - 1)).fetchone()
        return None if row is None else (row[0], row[1])

    def left_since(self, folder_id: str, after_seq: int) -> bool:
        """Whether anything was deleted from the folder, or moved away from it, since."""
        row = self.connection.execute(_CHANGED_BELOW, (folder_id, after_seq)).fetchone()
        return bool(row[0])
