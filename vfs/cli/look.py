"""`ls` and `stat`: files with what of them is here, and how they stand against the server. Nothing is fetched."""

from __future__ import annotations

import errno
import os
import stat as stat_modes
from typing import Annotated

import typer
from rich.table import Table

from vfs.cli.asking import mount_of
from vfs.cli.printing import Json, columns, escape, number_of, out, print_json, reporting, show_bytes, show_time
from vfs.failure import ExitStatus

_BLOCK_BYTES = 512  # of st_blocks, stat(2)
_PREFIX = "user.anchorfs."
_KINDS = {stat_modes.S_IFDIR: "folder", stat_modes.S_IFLNK: "symlink"}
_COLOURS = {"local": "green", "partial": "yellow", "online-only": "blue"}


@reporting
def ls(
    paths: Annotated[
        list[str] | None, typer.Argument(help="Files and folders in a mount; none: where you are.")
    ] = None,
    *,
    recursive: Annotated[bool, typer.Option("--recursive", "-R", help="All below folders, too.")] = False,
    as_json: Json = False,
) -> int:
    """List files with their state, their size, and what of it is on this machine."""
    entries = []
    for path in paths or ["."]:
        mount_of(path)
        entries += _entries(path, recursive=recursive)
    if as_json:
        print_json({"entries": entries})
        return ExitStatus.DONE
    grid = columns("state", "sync", "pin", "size", "here", "modified", "name")
    for entry in entries:
        state = str(entry.get("state", ""))
        grid.add_row(
            f"[{_COLOURS[state]}]{state}[/]" if state in _COLOURS else state,
            str(entry.get("sync", "")),
            "pinned" if entry.get("pinned") == "yes" else "",
            show_bytes(number_of(entry, "size")) if entry["kind"] == "file" else "",
            show_bytes(number_of(entry, "on_disk_bytes")) if entry["kind"] == "file" else "",
            show_time(number_of(entry, "mtime_ns") / 1e9),
            escape(f"{entry['path']}/" if entry["kind"] == "folder" else str(entry["path"])),
        )
    out.print(grid)
    return ExitStatus.DONE


@reporting
def stat(path: Annotated[str, typer.Argument(help="A file or folder in a mount.")], as_json: Json = False) -> int:
    """Everything that is known of one file: sizes, state, ids, versions."""
    mount_of(path)
    entry = facts_of(path)
    if as_json:
        print_json(entry)
        return ExitStatus.DONE
    grid = Table.grid(padding=(0, 2))
    for name, value in entry.items():
        grid.add_row(name, escape(str(value)))
    out.print(grid)
    return ExitStatus.DONE


def _entries(path: str, *, recursive: bool) -> list[dict[str, object]]:
    """What a path names: a file itself, of a folder what is in it; what is gone meanwhile is left out."""
    if os.path.islink(path) or not os.path.isdir(path):  # noqa: PTH112, PTH114
        return [facts_of(path)]
    entries: list[dict[str, object]] = []
    for name in sorted(os.listdir(path)):  # noqa: PTH208
        below = name if path == "." else os.path.join(path, name)  # noqa: PTH118
        try:
            entries.append(facts_of(below))
        except FileNotFoundError:
            continue
        if recursive and entries[-1]["kind"] == "folder":
            entries += _entries(below, recursive=True)
    return entries


def facts_of(path: str) -> dict[str, object]:
    """What lstat(2) and the attributes `user.anchorfs.*` tell; OSError."""
    status = os.lstat(path)
    kind = _KINDS.get(stat_modes.S_IFMT(status.st_mode), "file")
    return {
        "path": path,
        "kind": kind,
        "inode": status.st_ino,
        "mode": f"{stat_modes.S_IMODE(status.st_mode):04o}",
        "size": status.st_size,
        "on_disk_bytes": status.st_blocks * _BLOCK_BYTES,
        "mtime_ns": status.st_mtime_ns,
        **_attributes(path),
    }


def _attributes(path: str) -> dict[str, object]:
    """`user.anchorfs.*` without the prefix; attr(7) lets user attributes be read through paths of any kind here."""
    names = [name for name in os.listxattr(path, follow_symlinks=False) if name.startswith(_PREFIX)]
    facts: dict[str, object] = {}
    for name in names:
        try:
            facts[name.removeprefix(_PREFIX)] = os.getxattr(path, name, follow_symlinks=False).decode()
        except OSError as error:
            if error.errno != errno.ENODATA:  # gone since it was listed
                raise
    return facts
