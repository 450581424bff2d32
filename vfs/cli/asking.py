"""Asking a running mount: find it by a path, connect to its control socket, one request, one reply."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import msgspec

from vfs import mountpoint as table
from vfs.failure import ExitStatus, Failure
from vfs.mountpoint import absolute
from vfs.registry import Record, Registry, runtime_folder, socket_address
from vfs.requests import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONNECT_TIMEOUT_S = 10.0


def registry() -> Registry:
    """This user's mounts."""
    return Registry(runtime_folder(dict(os.environ)))


def ask(
    mountpoint: str, request: Request, on_progress: Callable[[dict[str, object]], None] = lambda _told: None
) -> dict[str, object]:
    """The result of a request; Failure as the mount told it, or because it does not answer."""
    reply = _exchange(registry().socket_path(mountpoint), mountpoint, request, on_progress)
    if reply.error is not None:
        raise Failure.of(reply.error)
    return reply.result if isinstance(reply.result, dict) else {"result": reply.result}


def _exchange(path: Path, mountpoint: str, request: Request, on_progress: Callable[[dict[str, object]], None]) -> Reply:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(CONNECT_TIMEOUT_S)
            with socket_address(path) as address:
                connection.connect(address)
            connection.settimeout(None)  # a hydration may take as long as it takes; Ctrl-C ends it
            connection.sendall(msgspec.json.encode(request) + b"\n")
            with connection.makefile("rb") as answer:
                reply = msgspec.json.decode(answer.readline(), type=Reply)
                while isinstance(reply.progress, dict):
                    on_progress(reply.progress)
                    reply = msgspec.json.decode(answer.readline(), type=Reply)
                return reply
    except (OSError, msgspec.MsgspecError) as error:
        raise Failure(
            "no-answer",
            f"the mount at {mountpoint} does not answer: {error}",
            hint="its process may just have ended; see `anchorfs status` and `anchorfs doctor`",
        ) from error


def mount_of(path: str) -> str:
    """The mount point that holds `path`; Failure when none does, or it is dead."""
    entry = table.containing(path)
    if entry is None:
        raise Failure(
            "not-mounted",
            f"{path} is in no AnchorFS mount",
            hint="`anchorfs status` lists the mounts",
            status=ExitStatus.FAILED,
        )
    if registry().find(entry.path) is None:
        raise Failure(
            "dead-mount",
            f"the process that served {entry.path} is gone, or belongs to another user",
            hint=f"mount again (that cleans up), or: anchorfs unmount {entry.path}",
        )
    return entry.path


def records() -> list[Record]:
    """Running mounts of this user."""
    return registry().all()


def the_mount(mountpoint: str | None) -> str:
    """The named mount, else the one that we are in, else the only one there is."""
    if mountpoint is not None or _in_a_mount():
        return mount_of(mountpoint or ".")
    running = records()
    if len(running) == 1:
        return running[0].mountpoint
    if not running:
        raise Failure("not-mounted", "no AnchorFS mount is running", hint="anchorfs mount URL MOUNTPOINT")
    names = ", ".join(record.mountpoint for record in running)
    hint = "name one, or be in one"
    raise Failure("which-mount", f"several mounts are running: {names}", hint=hint, status=ExitStatus.USAGE)


def mounts_meant(mountpoint: str | None) -> list[str]:
    """The named mount, else the one that we are in, else all of them; Failure when there is none."""
    running = [record.mountpoint for record in records()]
    if mountpoint is not None or len(running) < 2 or _in_a_mount():
        return [the_mount(mountpoint)]
    return running


def _in_a_mount() -> bool:
    try:
        return table.containing(".") is not None
    except FileNotFoundError:  # the folder that we are in was deleted
        return False


def ask_about(
    path: str, request: Request, on_progress: Callable[[dict[str, object]], None] = lambda _told: None
) -> dict[str, object]:
    """Ask the mount that holds `path` about that file or folder."""
    mountpoint = mount_of(path)
    status = os.lstat(path)
    return ask(mountpoint, msgspec.structs.replace(request, ino=status.st_ino, path=path), on_progress)


def split(paths: list[str]) -> tuple[str, tuple[str, ...]]:
    """The one mount of these paths, and the paths below its mount point; they need not exist any more."""
    if not paths:
        return the_mount(None), ()
    found = {path: mount_of(path) for path in paths}
    if len(set(found.values())) > 1:
        raise Failure(
            "several-mounts", "these paths lie in several mounts", hint="one at a time", status=ExitStatus.USAGE
        )
    where = found[paths[0]]
    return where, tuple(absolute(path).removeprefix(where).rstrip("/") for path in paths)
