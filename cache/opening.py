"""Opens the catalog of a state directory, and looks at it before: a damaged one is moved aside, never deleted.

found                                                   | done
--------------------------------------------------------+-------------------------------------------------------------
no catalog, no blobs                                    | a new one
one that is sealed and is what was sealed               | used
one without a seal, that SQLite finds whole             | used; `cache.recovery` puts right what a crash left
not what was sealed; SQLite finds it damaged, also when | moved to quarantine/DATE/; a new one is filled by the remote,
it is opened; gone, with its log or contents there      | nothing remote is deleted, unsent bytes go to rescued/
of a newer version                                      | StateUnusable, nothing is touched
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from cache import ballast, on_disk, recovery, seal, strays
from cache.db import DAMAGED, SCHEMA_VERSION, Database, Runner
from cache.errors import NoSpaceLeft, StateUnusable
from cache.failpoints import reached
from cache.rescue import Rescue, dated
from cache.seal import Seal
from cache.trouble import trouble
from cache.wreck import Wreck

if TYPE_CHECKING:
    from pathlib import Path

    from cache.blobs import Blobs

log = logging.getLogger(__name__)

CATALOG = "state.db"
_FILES = (CATALOG, f"{CATALOG}-wal", f"{CATALOG}-shm", f"{CATALOG}-journal", "seal", DAMAGED)
_UNFINISHED = "unfinished"  # a file beside a catalog that was moved: it still tells the names of what is rescued
_MAGIC = b"SQLite format 3\0"
_VERSION_AT = 60  # https://www.sqlite.org/fileformat2.html, "the database header": user_version
CHECKED_BYTES = 32 << 20  # up to this size SQLite checks all of it here: 0.2 s. Above, 4 s per GB, behind the start


def opened(directory: Path, blobs: Blobs, rescue: Rescue, runner: Runner) -> Database:
    """The catalog, and blobs that agree with it; the caller holds the lock. Raises StateUnusable, NoSpaceLeft, OSError.

    On a full disk, of which SQLite says no more than that it failed, there is the room that was kept for it.
    """
    try:
        return _opened(directory, blobs, rescue, runner)
    except (NoSpaceLeft, OSError):
        if blobs.free_bytes() >= ballast.SIZE_BYTES or not ballast.thrown_off(directory):
            raise
    return _opened(directory, blobs, rescue, runner)


def _opened(directory: Path, blobs: Blobs, rescue: Rescue, runner: Runner) -> Database:
    """A seal vouches for what was closed, and that may have been damaged while nobody read it: then it shows here."""
    checked = move_damaged_aside(directory, blobs, rescue)
    try:
        return _recovered(directory, blobs, rescue, runner, checked=checked)
    except StateUnusable:
        move_damaged_aside(directory, blobs, rescue, suspect=True)
        return _recovered(directory, blobs, rescue, runner, checked=True)


def _recovered(directory: Path, blobs: Blobs, rescue: Rescue, runner: Runner, *, checked: bool) -> Database:
    db = Database(directory / CATALOG, runner=runner, checked=checked)
    try:
        recovery.recover(db, blobs, rescue)
    except BaseException:
        db.close()
        raise
    return db


def move_damaged_aside(directory: Path, blobs: Blobs, rescue: Rescue, *, suspect: bool = False) -> bool:
    """Make way for a new catalog if the one there cannot be used; the caller holds the lock. Returns whether what is
    there now was looked at as a whole: a large one that was not closed in order is to be checked while it is used.

    `suspect`: it is known to be damaged. Raises StateUnusable, OSError.
    """
    whole = seal.look(directory)
    reason = damage(directory, whole) or ("its laws are broken" if suspect else None)
    if reason is not None:
        folder = _moved_aside(directory, reason)
        reached("catalog-moved")
        with closing(Wreck(folder / CATALOG)) as wreck:
            strays.clear_all(blobs, rescue, wreck)
        (folder / _UNFINISHED).unlink(missing_ok=True)
    seal.take_off(directory)
    reached("seal-off")
    path = directory / CATALOG
    return whole is Seal.WHOLE or not path.exists() or path.stat().st_size <= CHECKED_BYTES


def damage(directory: Path, found: Seal) -> str | None:
    """Why the catalog cannot be used, or None; raises StateUnusable for one of a newer version, OSError."""
    path = directory / CATALOG
    if not path.exists():
        was_there = any((directory / name).exists() for name in (f"{CATALOG}-wal", "seal", DAMAGED))
        return "the state file is gone" if was_there or _has_blobs(directory) or _begun(directory) else None
    if (directory / DAMAGED).exists():
        return "it was found damaged while it was used"
    if found is Seal.BROKEN:
        return "the state file is not what was closed"
    with path.open("rb") as file:
        header = file.read(100)
    if not header and not (directory / f"{CATALOG}-wal").exists() and not _has_blobs(directory):
        return None  # killed while it was made
    if header[: len(_MAGIC)] != _MAGIC:
        return "the state file is no catalog"
    _refuse_newer(path, int.from_bytes(header[_VERSION_AT : _VERSION_AT + 4], "big"))
    return None if found is Seal.WHOLE else _complaint(path)


def _has_blobs(directory: Path) -> bool:
    return any((directory / "blobs").glob("*/*"))


def _refuse_newer(path: Path, version: int) -> None:
    if version > SCHEMA_VERSION:
        raise StateUnusable("the state was written by a newer AnchorFS", path=str(path), version=version)


def _complaint(path: Path) -> str | None:
    """What SQLite says against a catalog that no seal vouches for; its log is read too."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            _refuse_newer(path, version)
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            if (version == 0) != (tables == 0):
                return "the state file has no version"
            if path.stat().st_size > CHECKED_BYTES:
                return None
            (word,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        if trouble(error).passes:
            raise OSError(f"{path} cannot be read: {error}") from error
        return str(error)
    except ValueError as error:  # its words about damage may be no UTF-8
        return str(error)
    return None if word == "ok" else str(word)


def _begun(directory: Path) -> Path | None:
    """Where a catalog went that was moved aside when the process was killed, and what it tells was still wanted."""
    if (directory / CATALOG).exists():
        return None
    marks = (directory / "quarantine").glob(f"*/{_UNFINISHED}")
    return next((each.parent for each in marks if (each.parent / CATALOG).exists()), None)


def _moved_aside(directory: Path, reason: str) -> Path:
    folder = _begun(directory) or dated(directory / "quarantine")
    with suppress(OSError):  # a full disk: names are lost if this is cut short, no bytes
        (folder / _UNFINISHED).touch()
    for name in _FILES:
        if (directory / name).exists():
            (directory / name).rename(folder / name)
    on_disk.sync_folder(directory)
    log.warning(
        "what was known of the drive on this machine is damaged (%s): it was moved to %s, and is told by the server "
        "again", reason, folder,
    )  # fmt: skip
    return folder
