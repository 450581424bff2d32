"""What is kept of a drive on this machine, by any of the names that people have for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import typer

from cache.errors import NoDriveHere
from vfs import mountpoint as table
from vfs.cli.asking import mount_of, registry, the_mount
from vfs.config import default_cache_dir, parse_url
from vfs.failure import Failure, describe
from vfs.whereabouts import kept_for

WHERE = typer.Argument(
    help="A mount point, a drive's address, or its folder (what --cache-dir said).", show_default=False
)


@dataclass(frozen=True, slots=True)
class Place:
    """A cache, and where it is mounted now."""

    folder: Path
    mountpoint: str | None


def place_of(where: str | None) -> Place:
    """The drive that is meant, mounted or not; None: the only one that is mounted. Failure when there is none."""
    if where is None:
        return _mounted(the_mount(None))
    entry = None if "://" in where else table.containing(where)
    if entry is not None and registry().find(entry.path) is not None:
        return _mounted(entry.path)
    folder = _folder(where, entry)
    real = os.path.realpath(folder)
    mounted = [record.mountpoint for record in registry().all() if os.path.realpath(record.cache_dir) == real]
    return Place(folder, mounted[0] if mounted else None)


def _mounted(mountpoint: str) -> Place:
    record = registry().find(mountpoint)
    if record is None:
        raise Failure("not-mounted", f"no mount of yours at {mountpoint}", hint="`anchorfs status` lists the mounts")
    return Place(Path(record.cache_dir), mountpoint)


def _folder(where: str, entry: table.MountEntry | None) -> Path:
    """Of what nobody serves now; `entry`: a mount whose process is gone."""
    folder = default_cache_dir(parse_url(where), dict(os.environ)) if "://" in where else Path(where)
    if (folder / "state.db").is_file() or (folder / "blobs").is_dir():
        return folder
    kept = kept_for(table.absolute(where) if entry is None else entry.path, os.environ)
    if kept is not None:
        return kept
    if entry is not None:
        mount_of(where)  # tells what is wrong with that mount
    raise describe(NoDriveHere("no drive is kept there", path=str(folder)), about=str(folder))
