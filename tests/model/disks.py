"""What happens to a machine's disk in the model: it takes nothing for a while, or the catalog on it is damaged."""

from __future__ import annotations

import itertools
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cache.db import Database

T = TypeVar("T")


@contextmanager
def failing(db: Database, refused: range, error: Exception) -> Iterator[None]:
    """The transactions of these numbers are refused; who tries again comes through in the end."""
    before, numbers = db.write_now, itertools.count()

    def write_now(change: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> T:
        if next(numbers) in refused:
            raise error
        return before(change, durable=durable)

    db.write_now = write_now  # type: ignore[method-assign]
    try:
        yield
    finally:
        db.write_now = before  # type: ignore[method-assign]


def damaged(catalog: Path, how: str) -> None:
    """Gone, overwritten from its beginning, or cut in half."""
    if how == "gone":
        for path in catalog.parent.glob("state.db*"):
            path.unlink()
    elif how == "cut":
        os.truncate(catalog, catalog.stat().st_size // 2)
    else:
        with catalog.open("r+b") as file:
            file.write(b"no catalog" * 100)
