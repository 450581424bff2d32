"""The control socket in the state folder: commands of the same user to the running server, one JSON line
each way.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from server_stub.external.scan import RootReplaced
from server_stub.names import is_path_of_drive
from server_stub.watching.activity import actor_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from server_stub.service import Service

SOCKET_NAME: Final = "control.sock"
_LINE_MAX_BYTES: Final = 65_536


class NotRunning(Exception):
    """No server answers on this state folder."""


@asynccontextmanager
async def control_socket(service: Service) -> AsyncIterator[None]:
    """Listen for the length of the block; the state folder's lock makes a stale socket ours to remove."""
    path = service.settings.state / SOCKET_NAME
    path.unlink(missing_ok=True)
    previous = os.umask(0o177)
    try:
        with _short(path) as address:
            server = await asyncio.start_unix_server(
                lambda reader, writer: _serve(service, reader, writer), address, limit=_LINE_MAX_BYTES
            )
    finally:
        os.umask(previous)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


async def _serve(service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        line = await reader.readline()
        answer = await _obey(service, line, lambda told: writer.write(json.dumps(told).encode() + b"\n"))
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()
    except (ConnectionError, ValueError):
        return
    finally:
        writer.close()


async def _obey(service: Service, line: bytes, tell: Callable[[dict[str, object]], None]) -> dict[str, object]:
    try:
        order = json.loads(line)
        command = order.get("command")
    except (ValueError, AttributeError):
        return {"error": "not a command"}
    if command == "scan":
        return await _scan(service, order, tell)
    if command == "status":
        items, tombstones = await service.read(lambda view: view.counts())
        watch = service.outside.status.text
        return {"items": items, "tombstones": tombstones, "seq": service.notifier.newest_seq, "watch": watch}
    if command == "changed":
        return await _reconcile(service, order)
    return {"error": "unknown command"}


async def _scan(
    service: Service, request: dict[str, object], tell: Callable[[dict[str, object]], None]
) -> dict[str, object]:
    """A walk; how far it is is told in lines of their own."""
    try:
        report = await service.scan(
            quick=request.get("quick") is True,
            confirmed=request.get("confirmed") is True,
            duty=min(max(float(str(request.get("duty", 1.0))), 0.01), 1.0),
            progress=lambda standing: tell({"progress": standing.as_dict()}),
        )
    except (RootReplaced, OSError, ValueError) as error:
        return {"error": str(error)}
    return {"report": report.as_dict()}


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What a program that shares the tree has just done: paths below the root, both ends of a rename among them."""

    command: str
    paths: list[str]
    user: str | None = None
    protocol: str = "local"
    machine: str = ""


async def _reconcile(service: Service, order: object) -> dict[str, object]:
    try:
        changed = msgspec.convert(order, Changed)
        actor = None
        if changed.user is not None:
            actor = actor_of(changed.user, changed.protocol, changed.machine)
        paths = [tuple(path.strip("/").split("/")) for path in changed.paths]
        if not all(is_path_of_drive(names) for names in paths):
            return {"error": "not a path of the drive"}
        report = await service.outside.tell(paths, actor)
    except (msgspec.ValidationError, RootReplaced, OSError) as error:
        return {"error": str(error)}
    return {"report": report.as_dict()}


def ask(
    state: Path,
    command: str,
    *,
    timeout_s: float = 3600.0,
    progress: Callable[[dict[str, object]], None] | None = None,
    **options: object,
) -> dict[str, object]:
    """Send a command to the running server; `timeout_s` is for each line of its answer. NotRunning."""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection,
        _short(state / SOCKET_NAME) as address,
    ):
        connection.settimeout(timeout_s)
        try:
            connection.connect(address)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NotRunning(str(state)) from error
        connection.sendall(json.dumps({"command": command, **options}).encode() + b"\n")
        with connection.makefile("rb") as answers:
            while line := answers.readline(_LINE_MAX_BYTES):
                answer: dict[str, object] = json.loads(line)
                if "progress" not in answer:
                    return answer
                if progress is not None and isinstance(answer["progress"], dict):
                    progress(answer["progress"])
    raise NotRunning(str(state))


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A socket address below 108 bytes, whatever the path's length: through the folder's descriptor."""
    fd = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)
