"""`anchorfs-server doctor`: root, state, index and vault, each looked at and said of, nothing changed.

Works beside a running server: everything is read, and what the server has under way at that moment is no fault.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from server_stub.auth import TokensUnusable, load_tokens
from server_stub.beneath import FOLDER_FLAGS, open_beneath
from server_stub.control import NotRunning, ask
from server_stub.migrations import SCRIPTS, version_of
from server_stub.vault import vault_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_TIGHT_PERCENT: Final = 5
_ASK_TIMEOUT_S: Final = 10.0


class Verdict(StrEnum):
    """How bad it is."""

    FINE = "ok"
    WORTH_KNOWING = "note"
    WRONG = "WRONG"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    verdict: Verdict
    text: str

    def line(self) -> str:
        """For people."""
        return f"{self.verdict:<5} {self.subject}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """What is looked at."""

    root: Path
    state: Path
    database: Path
    tokens: Path


def examine(patient: Patient) -> list[Finding]:
    """Every finding; a fault in one place keeps no other from being looked at."""
    findings: list[Finding] = []
    for subject, look in _LOOKS:
        try:
            findings += [Finding(subject, verdict, text) for verdict, text in look(patient)]
        except (OSError, sqlite3.Error) as error:
            findings.append(Finding(subject, Verdict.WRONG, str(error)))
    return findings


def _root(patient: Patient) -> Iterator[tuple[Verdict, str]]:
    os.listdir(patient.root)  # noqa: PTH208 - only whether it can be read
    writable = os.access(patient.root, os.W_OK | os.X_OK)
    yield (Verdict.FINE, "readable") if writable else (Verdict.WORTH_KNOWING, "cannot be written to: read-only drive")
    fd = os.open(patient.root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.close(open_beneath(fd, (), FOLDER_FLAGS))
    finally:
        os.close(fd)
    room = os.statvfs(patient.root)
    free_percent = 100 * room.f_bavail // max(room.f_blocks, 1)
    tight = free_percent < _TIGHT_PERCENT
    yield (Verdict.WORTH_KNOWING if tight else Verdict.FINE, f"{free_percent} % of its file system is free")


def _state(patient: Patient) -> Iterator[tuple[Verdict, str]]:
    found = patient.state.stat()
    private = not found.st_mode & 0o077 and found.st_uid == os.geteuid()
    yield (Verdict.FINE, "private") if private else (Verdict.WRONG, f"open to others; run: chmod 700 {patient.state}")
    vault = vault_path(patient.root, patient.state)
    yield Verdict.FINE, f"contents lie in {vault}"


def _tokens(patient: Patient) -> Iterator[tuple[Verdict, str]]:
    if not patient.tokens.exists():
        yield Verdict.WORTH_KNOWING, f"there is no {patient.tokens}"
        return
    try:
        yield Verdict.FINE, f"{len(load_tokens(patient.tokens))} in {patient.tokens}"
    except TokensUnusable as error:
        yield Verdict.WRONG, str(error)


def _index(patient: Patient) -> Iterator[tuple[Verdict, str]]:
    with closing(_opened(patient)) as connection:
        version = version_of(connection)
        known = version == len(SCRIPTS)
        told = f"schema version {version}" + ("" if known else f"; this program knows {len(SCRIPTS)}")
        yield (Verdict.FINE if version <= len(SCRIPTS) else Verdict.WRONG), told
        damage = [row[0] for row in connection.execute("PRAGMA quick_check(20)") if row[0] != "ok"]
        yield (Verdict.WRONG, "; ".join(damage)) if damage else (Verdict.FINE, "whole")
        if known:
            yield from (_told(connection, law) for law in _LAWS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Law:
    """A query that counts what must not be."""

    query: str
    broken: str
    verdict: Verdict = Verdict.WRONG


_LAWS: Final = (
    _Law(
        query="SELECT count(*) FROM items WHERE parent_id NOT IN (SELECT item_id FROM items)",
        broken="items without a folder",
    ),
    _Law(
        query="SELECT count(*) FROM items i JOIN items p ON p.item_id = i.parent_id WHERE p.kind <> 'folder'",
        broken="items in something that is no folder",
    ),
    _Law(
        query="SELECT count(*) FROM items JOIN tombstones USING (item_id)",
        broken="items that are alive and deleted",
    ),
    _Law(
        query="SELECT count(*) FROM (SELECT seq FROM items UNION ALL SELECT seq FROM tombstones) "
        "WHERE seq > (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'seq')",
        broken="changes newer than the newest",
    ),
    _Law(
        query="SELECT count(*) FROM items WHERE kind <> 'folder' AND content_version IS NULL",
        broken="contents without a version",
    ),
    _Law(
        query="SELECT abs(items - (SELECT count(*) FROM items)) + abs(tombstones - (SELECT count(*) FROM tombstones)) "
        "FROM counts",
        broken="items or tombstones more or less than counted",
    ),
    _Law(
        query="SELECT count(*) FROM intents",
        broken="changes under way; finished or dropped at the next start",
        verdict=Verdict.WORTH_KNOWING,
    ),
)


def _told(connection: sqlite3.Connection, law: _Law) -> tuple[Verdict, str]:
    (count,) = connection.execute(law.query).fetchone()
    return (law.verdict if count else Verdict.FINE), f"{count} {law.broken}"


def _vault(patient: Patient) -> Iterator[tuple[Verdict, str]]:
    kept = vault_path(patient.root, patient.state) / "kept"
    with closing(_opened(patient)) as connection:
        rows = {row[0] for row in connection.execute("SELECT content_version FROM kept")}
    files = {entry.name for entry in os.scandir(kept) if stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode)}
    missing, strays = len(rows - files), len(files - rows)
    yield (Verdict.WRONG if missing else Verdict.FINE), f"{missing} of {len(rows)} older contents are missing"
    yield (
        (Verdict.WORTH_KNOWING if strays else Verdict.FINE),
        f"{strays} files that no row names, swept at the next start",
    )


def _server(patient: Patient) -> Iterator[tuple[Verdict, str]]:
    try:
        told = ask(patient.state, "status", timeout_s=_ASK_TIMEOUT_S)
    except NotRunning:
        yield Verdict.WORTH_KNOWING, "not running"
        return
    watch = str(told.pop("watch", ""))
    yield Verdict.FINE, "running, " + ", ".join(f"{name} {value}" for name, value in told.items())
    state, _, trouble = watch.partition(":")
    yield (Verdict.WORTH_KNOWING if trouble and state != "off" else Verdict.FINE), f"watch: {watch}"


def _opened(patient: Patient) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{patient.database}?mode=ro", uri=True)


_LOOKS: Final[tuple[tuple[str, Callable[[Patient], Iterator[tuple[Verdict, str]]]], ...]] = (
    ("root", _root),
    ("state", _state),
    ("tokens", _tokens),
    ("index", _index),
    ("vault", _vault),
    ("server", _server),
)
