"""The control socket of a mount: JSON lines over a Unix socket, one request and one reply per connection.

Served inside the daemon's nursery; asked by the commands. Only the same user (or root) is heard: the kernel
tells who is at the other end. A client that hangs up cancels what it asked for. A request is input: bounded
and typed.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn, Protocol

import msgspec
import trio

from cache.model import Ino
from vfs import jobs
from vfs.failure import Failure, Told, describe
from vfs.registry import socket_address
from vfs.requests import Reply, Request, Verb
from vfs.steering import SteeringAnswers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sync.queued import QueuedChange
    from sync.steering import Steering

log = logging.getLogger(__name__)

Answer = Callable[[Request], Awaitable[object]]

_NO_ANSWERS: Mapping[Verb, Answer] = MappingProxyType({})
REQUEST_BYTES_MAX = 1 << 16
REQUEST_TIMEOUT_S = 10.0
WATCH_INTERVAL_S = 0.5
TELLING_S = 5.0


class Statistics(Protocol):
    """What the daemon itself reads of the engine's numbers; clients get all of them."""

    @property
    def connection(self) -> str:
        """online, offline or signed-out."""
        ...

    @property
    def queue_pending(self) -> int:
        """Local changes not yet sent."""
        ...

    @property
    def queue_held(self) -> int:
        """Local changes that wait for approval."""
        ...

    @property
    def queue_parked(self) -> int:
        """Local changes that cannot be sent as things are."""
        ...


class Engine(jobs.Engine, Protocol):
    """What the control socket needs of the sync engine."""

    def statistics(self) -> Statistics:
        """The engine's numbers, as a dataclass."""
        ...

    async def settle(self, timeout_s: float | None) -> bool:
        """Wait until everything is pushed and pulled; False when time ran out."""
        ...

    def nudge(self) -> None:
        """Pull now."""
        ...

    def queue(self) -> Sequence[QueuedChange]:
        """The outbox."""
        ...

    @property
    def steering(self) -> Steering:
        """What a person decides."""
        ...

    async def retry(self) -> int:
        """Un-park what is parked; how many."""
        ...


class Unmount(Protocol):
    """How the daemon leaves: flush, unmount; what stays behind."""

    async def __call__(self, *, flush: bool, timeout_s: float | None) -> object: ...


class Control:
    """Answers the requests of one mount."""

    def __init__(
        self,
        engine: Engine,
        unmount: Unmount,
        facts: dict[str, object],
        answers: Mapping[Verb, Answer] = _NO_ANSWERS,
        kernel_told: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint,
    ) -> None:
        """`facts` is told by `status`; `answers` is what can be asked beyond the engine; `kernel_told` returns when the
        kernel has heard all news."""
        self._engine = engine
        self._unmount = unmount
        self._facts = facts
        self._kernel_told = kernel_told
        self._active = 0
        self._idle = trio.Event()
        self._handlers: dict[Verb, Answer] = {
            Verb.STATUS: self._status,
            Verb.SYNC: self._sync,
            Verb.EVICT: self._evict,
            Verb.PIN: self._pin,
            Verb.PINS: self._pins,
            Verb.QUEUE: self._queue,
            Verb.RETRY: self._retry,
            Verb.UNMOUNT: self._leave,
            Verb.NUDGE: self._nudge,
            **SteeringAnswers(lambda: engine.steering).handlers(),
            **answers,
        }

    async def serve(self, path: Path, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen on `path` (0600) until cancelled."""
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - a local tmpfs
        listener = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with listener:
            with socket_address(path) as address:
                await listener.bind(address)
            path.chmod(0o600)  # noqa: ASYNC240
            listener.listen(16)
            task_status.started()
            await trio.serve_listeners(self._answer, [trio.SocketListener(listener)])

    async def drain(self, timeout_s: float) -> None:
        """Let running requests send their replies."""
        with trio.move_on_after(timeout_s):
            while self._active:
                self._idle = trio.Event()
                await self._idle.wait()

    async def _answer(self, stream: trio.SocketStream) -> None:
        self._active += 1
        try:
            async with stream:
                if _peer_uid(stream.socket) in {os.geteuid(), 0}:
                    await self._converse(stream)
        except trio.BrokenResourceError:
            log.debug("control: the client went away before its request")
        finally:
            self._active -= 1
            self._idle.set()

    async def _converse(self, stream: trio.SocketStream) -> None:
        with trio.move_on_after(REQUEST_TIMEOUT_S) as patience:
            line = await _read_line(stream)
        if patience.cancelled_caught:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_at_hang_up, stream, nursery.cancel_scope)
            reply = await self._reply(line, stream)
            await _send(stream, reply)
            nursery.cancel_scope.cancel()

    async def _reply(self, line: bytes, stream: trio.SocketStream) -> Reply:
        try:
            request = msgspec.json.decode(line, type=Request)
        except msgspec.MsgspecError as error:
            return Reply(error=Told(kind="bad-request", message=f"not understood: {error}"))
        try:
            return Reply(result=await self._perform(request, stream))
        except Exception as error:
            failure = describe(error, about=request.path or str(self._facts.get("mountpoint", "the mount")))
            if failure.told.kind == "internal":
                log.exception("control: %s failed", request.verb)
            return Reply(error=failure.told)

    async def _perform(self, request: Request, stream: trio.SocketStream) -> object:
        async def tell(progress: object) -> None:
            if request.progress:
                await _send(stream, Reply(progress=progress))

        if request.verb is Verb.WATCH:
            await self._watch(tell)
        if request.verb is Verb.HYDRATE:
            return await jobs.hydrate(self._engine, _ino(request), tell)
        return await self._handlers[request.verb](request)

    async def _status(self, _request: Request) -> object:
        numbers = msgspec.to_builtins(self._engine.statistics())
        return {**self._facts, **numbers}

    async def _watch(self, tell: Callable[[object], Awaitable[None]]) -> NoReturn:
        """Tell the status whenever it changes, until the client hangs up."""
        told: object = None
        while True:
            status = {**self._facts, **msgspec.to_builtins(self._engine.statistics())}
            if (without_age := {**status, "anchor_age_s": 0}) != told:
                await tell(status)
                told = without_age
            await trio.sleep(WATCH_INTERVAL_S)

    async def _sync(self, request: Request) -> object:
        self._engine.nudge()
        settled = await self._engine.settle(request.timeout_s)
        with trio.move_on_after(TELLING_S):  # a reader who waits for bytes may hold the kernel up
            await self._kernel_told()
        return {"settled": settled, **msgspec.to_builtins(self._engine.statistics())}

    async def _evict(self, request: Request) -> object:
        return await jobs.evict(self._engine, _ino(request))

    async def _pin(self, request: Request) -> object:
        return await jobs.pin(self._engine, _ino(request), request.pin)

    async def _pins(self, _request: Request) -> object:
        return jobs.pins(self._engine)

    async def _queue(self, _request: Request) -> object:
        return [
            {
                "path": each.path,
                **msgspec.to_builtins(each.change),
                "before": each.before,
                "progress": msgspec.to_builtins(each.progress),
                "waits": each.waits,
            }
            for each in self._engine.queue()
        ]

    async def _retry(self, _request: Request) -> object:
        return {"retried": await self._engine.retry()}

    async def _leave(self, request: Request) -> object:
        return await self._unmount(flush=request.flush, timeout_s=request.timeout_s)

    async def _nudge(self, _request: Request) -> object:
        self._engine.nudge()
        return {}


def _ino(request: Request) -> Ino:
    if request.ino is None:
        raise Failure("bad-request", f"{request.verb} needs an inode number")
    return Ino(request.ino)


def _peer_uid(connection: trio.socket.SocketType) -> int:
    _pid, uid, _gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)


async def _read_line(stream: trio.SocketStream) -> bytes:
    line = b""
    while not line.endswith(b"\n") and len(line) < REQUEST_BYTES_MAX:
        piece = await stream.receive_some(REQUEST_BYTES_MAX - len(line))
        if not piece:
            break
        line += piece
    return line


async def _send(stream: trio.SocketStream, reply: Reply) -> None:
    try:
        await stream.send_all(msgspec.json.encode(reply) + b"\n")
    except trio.BrokenResourceError:
        log.debug("control: the client went away before its answer")


async def _cancel_at_hang_up(stream: trio.SocketStream, scope: trio.CancelScope) -> None:
    try:
        while await stream.receive_some(1024):
            continue  # a client has nothing more to say
    except trio.BrokenResourceError:
        log.debug("control: connection reset")
    scope.cancel()
