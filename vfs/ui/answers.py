"""What the page asks: each mount's state over its control socket, folders and files through the mount itself.

Paths are below a mount point and stay there: no `..`, no symlink is followed out of it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.responses import Response

from vfs.cli.asking import ask, ask_about, records
from vfs.cli.look import facts_of
from vfs.cli.printing import rows_of
from vfs.failure import Failure, describe
from vfs.requests import Request as Asked
from vfs.requests import Verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

PREVIEW_BYTES: Final = 64 << 10
ENTRIES_MAX: Final = 2000
_OF_MOUNTS: Final = {Verb.PAUSE, Verb.RESUME, Verb.RETRY, Verb.NUDGE}
_OF_FILES: Final = {Verb.PIN, Verb.EVICT, Verb.HYDRATE, Verb.RESOLVE}
_OF_PATHS: Final = {Verb.APPROVE, Verb.REJECT}


class Action(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a button asks for."""

    mountpoint: str
    verb: Verb
    path: str = ""
    pin: str = ""
    keep: str = ""


def mounts(_request: Request) -> Response:
    """Every mount with its numbers, its queue and its conflicts."""
    return _json({"mounts": [_mount(record.mountpoint) for record in records()]})


def _mount(mountpoint: str) -> dict[str, Any]:
    try:
        status = ask(mountpoint, Asked(verb=Verb.STATUS))
        queue = rows_of(ask(mountpoint, Asked(verb=Verb.QUEUE)), "result")
        conflicts = rows_of(ask(mountpoint, Asked(verb=Verb.CONFLICTS)), "conflicts")
    except Failure as failure:
        return {"mountpoint": mountpoint, "error": msgspec.to_builtins(failure.told)}
    return {"mountpoint": mountpoint, "status": status, "queue": queue[:100], "open_conflicts": conflicts}


def activity(request: Request) -> Response:
    """What happened in a mount, the newest last."""
    after = request.query_params.get("after", "0")
    asked = Asked(verb=Verb.ACTIVITY, after_seq=int(after) if after.isdecimal() else 0, limit=200)
    return _told(lambda: ask(_mountpoint(request), asked))


def folder(request: Request) -> Response:
    """What is in a folder, with states; at most ENTRIES_MAX entries."""

    def look() -> dict[str, Any]:
        top = _inside(_mountpoint(request), request.query_params.get("path", ""))
        names = sorted(os.listdir(top))  # noqa: PTH208
        entries = []
        for name in names[:ENTRIES_MAX]:
            try:
                entries.append(facts_of(f"{top}/{name}") | {"name": name})
            except FileNotFoundError:
                continue
        return {"entries": entries, "more": max(len(names) - ENTRIES_MAX, 0)}

    return _told(look)


def preview(request: Request) -> Response:
    """The beginning of a file, if it is text: to look at both sides of a conflict."""

    def look() -> dict[str, Any]:
        path = _inside(_mountpoint(request), request.query_params.get("path", ""))
        with Path(path).open("rb") as file:
            data = file.read(PREVIEW_BYTES + 1)
        facts = facts_of(path)
        try:
            text = None if b"\0" in data else data[:PREVIEW_BYTES].decode("utf-8", "strict")
        except UnicodeDecodeError as error:
            text = data[: error.start].decode() if error.start > PREVIEW_BYTES - 4 else None
        return {"size": facts["size"], "mtime_ns": facts["mtime_ns"], "text": text, "cut": len(data) > PREVIEW_BYTES}

    return _told(look)


def act(body: bytes) -> Response:
    """Do what a button says."""

    def perform() -> dict[str, Any]:
        try:
            action = msgspec.json.decode(body, type=Action)
        except msgspec.MsgspecError as error:
            raise Failure("bad-request", str(error)) from None
        mountpoint = _known(action.mountpoint)
        if action.verb in _OF_MOUNTS:
            return ask(mountpoint, Asked(verb=action.verb))
        path = _inside(mountpoint, action.path)
        if action.verb in _OF_PATHS:
            return ask(mountpoint, Asked(verb=action.verb, paths=(action.path.strip("/"),), path=path))
        if action.verb in _OF_FILES:
            return ask_about(path, Asked(verb=action.verb, pin=action.pin, keep=action.keep))
        raise Failure("bad-request", f"{action.verb} is not for this page")

    return _told(perform)


def _told(look: Callable[[], dict[str, Any]]) -> Response:
    try:
        return _json(look())
    except (Failure, OSError) as error:
        told = describe(error, about="the mount").told
        return _json({"error": told}, 404 if isinstance(error, FileNotFoundError) else 409)


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def _mountpoint(request: Request) -> str:
    return _known(request.query_params.get("mountpoint", ""))


def _known(mountpoint: str) -> str:
    if mountpoint not in {record.mountpoint for record in records()}:
        raise Failure("not-mounted", "no such mount is running")
    return mountpoint


def _inside(mountpoint: str, path: str) -> str:
    """A path in the mount whose folders are no symlinks."""
    names = [name for name in path.split("/") if name]
    if ".." in names or "\0" in path:
        raise Failure("bad-request", f"{path!r} leads out of the mount")
    top = mountpoint
    for name in names[:-1]:
        top = f"{top}/{name}"
        if os.path.islink(top):  # noqa: PTH114
            raise Failure("bad-request", f"{top} is a symlink")
    return "/".join([mountpoint, *names])
