"""The control socket, served on a real Unix socket over a fake engine."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import pytest
import trio

from cache.errors import NoSpaceLeft
from cache.pinfile import PinRule, PinState
from sync.trees import Evicted, Left
from tests.harness.waiting import DEADLINE_S
from vfs.control import Control
from vfs.registry import socket_address
from vfs.requests import Reply, Request, Verb

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cache.model import Ino
    from sync.fetching import Progress
    from sync.queued import QueuedChange


@dataclass(frozen=True)
class Numbers:
    connection: str = "online"
    queue_pending: int = 2
    queue_parked: int = 0
    queue_held: int = 0


@dataclass
class FakeEngine:
    """Remembers what it was asked."""

    asked: list[object] = field(default_factory=list)
    settling: trio.Event = field(default_factory=trio.Event)
    cancelled: trio.Event = field(default_factory=trio.Event)
    told: trio.Event = field(default_factory=trio.Event)

    def statistics(self) -> Numbers:
        return Numbers()

    async def settle(self, timeout_s: float | None) -> bool:
        self.asked.append(("settle", timeout_s))
        if timeout_s is not None:
            return False
        self.settling.set()
        try:
            await trio.sleep_forever()
        finally:
            self.cancelled.set()
        return True

    async def evict(self, ino: Ino) -> Evicted:
        self.asked.append(("evict", ino))
        return Evicted(files=1, freed_bytes=4096, left_files=1, left_bytes=5, left=[Left("f", "open")])

    async def hydrate(self, ino: Ino, progress: Progress) -> None:
        progress.files, progress.total_bytes = 2, 10
        if ino == 7:
            raise NoSpaceLeft("no room", ino=ino)
        await self.told.wait()
        progress.files_done, progress.done_bytes = 2, 10

    async def pin(self, ino: Ino, state: PinState) -> None:
        self.asked.append((state, ino))

    def pins(self) -> Sequence[PinRule]:
        return [PinRule(state=PinState.PINNED, item_id="i", ino=7, path="/f")]

    def is_pinned(self, ino: Ino) -> bool:
        return ino == 7

    def path_of(self, ino: Ino) -> str:
        return f"/{ino}"

    def nudge(self) -> None:
        self.asked.append("nudge")

    def queue(self) -> Sequence[QueuedChange]:
        return []

    async def retry(self) -> int:
        raise RuntimeError("a bug")


async def _unmount(*, flush: bool, timeout_s: float | None) -> object:
    return {"pending": 0 if flush else 3, "parked": 0, "timeout_s": timeout_s}


async def _exchange(path: Path, line: bytes) -> Reply:
    with socket_address(path) as address:
        stream = await trio.open_unix_socket(address)
    async with stream:
        await stream.send_all(line)
        answer = b""
        with trio.fail_after(DEADLINE_S):
            async for piece in stream:
                answer += piece
    return msgspec.json.decode(answer, type=Reply)


async def _ask(path: Path, request: Request) -> Reply:
    return await _exchange(path, msgspec.json.encode(request) + b"\n")


async def _serve(nursery: trio.Nursery, path: Path) -> tuple[Control, FakeEngine]:
    engine = FakeEngine()
    control = Control(engine, _unmount, {"mountpoint": "/m"})
    await nursery.start(control.serve, path)
    return control, engine


async def test_status_tells_the_mount_and_its_numbers(tmp_path: Path, nursery: trio.Nursery) -> None:
    await _serve(nursery, tmp_path / "s")
    reply = await _ask(tmp_path / "s", Request(verb=Verb.STATUS))
    expected = {"mountpoint": "/m", "connection": "online", "queue_pending": 2, "queue_parked": 0, "queue_held": 0}
    assert reply.result == expected


async def test_the_socket_is_private(tmp_path: Path, nursery: trio.Nursery) -> None:
    await _serve(nursery, tmp_path / "s")
    assert os.stat(tmp_path / "s").st_mode & 0o777 == 0o600  # noqa: PTH116


async def test_the_folder_of_the_socket_may_lie_deep(tmp_path: Path, nursery: trio.Nursery) -> None:
    """Longer than an address of a Unix socket can be."""
    folder = tmp_path / ("deep" * 20) / ("down" * 20)
    folder.mkdir(parents=True)
    await _serve(nursery, folder / "s")
    assert (await _ask(folder / "s", Request(verb=Verb.STATUS))).error is None


async def test_verbs_reach_the_engine_with_their_facts(tmp_path: Path, nursery: trio.Nursery) -> None:
    _, engine = await _serve(nursery, tmp_path / "s")
    evicted = await _ask(tmp_path / "s", Request(verb=Verb.EVICT, ino=7, path="/m/f"))
    synced = await _ask(tmp_path / "s", Request(verb=Verb.SYNC, timeout_s=1.5))
    left = await _ask(tmp_path / "s", Request(verb=Verb.UNMOUNT, flush=False))
    assert evicted.result == {
        "files": 1, "freed_bytes": 4096, "left_files": 1, "left_bytes": 5, "left": [{"path": "f", "why": "open"}],
    }  # fmt: skip
    assert isinstance(synced.result, dict)
    assert synced.result["settled"] is False
    assert left.result == {"pending": 3, "parked": 0, "timeout_s": None}
    assert engine.asked == [("evict", 7), "nudge", ("settle", 1.5)]


async def test_a_sync_is_over_when_the_kernel_has_heard_of_it(tmp_path: Path, nursery: trio.Nursery) -> None:
    asked, heard, over = trio.Event(), trio.Event(), trio.Event()

    async def kernel_told() -> None:
        asked.set()
        await heard.wait()

    async def sync() -> None:
        await _ask(tmp_path / "s", Request(verb=Verb.SYNC, timeout_s=0))
        over.set()

    control = Control(FakeEngine(), _unmount, {}, kernel_told=kernel_told)
    await nursery.start(control.serve, tmp_path / "s")
    nursery.start_soon(sync)
    with trio.fail_after(DEADLINE_S):
        await asked.wait()
        assert not over.is_set()
        heard.set()
        await over.wait()


async def test_a_long_request_tells_how_far_it_is(
    tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vfs.jobs.TELL_INTERVAL_S", 0.01)
    _, engine = await _serve(nursery, tmp_path / "s")
    async with await trio.open_unix_socket(str(tmp_path / "s")) as stream:
        await stream.send_all(msgspec.json.encode(Request(verb=Verb.HYDRATE, ino=8, progress=True)) + b"\n")
        answer = b""
        with trio.fail_after(DEADLINE_S):
            async for piece in stream:
                answer += piece
                engine.told.set()
    first, *_, last = [msgspec.json.decode(line, type=Reply) for line in answer.splitlines()]
    assert first.progress == {"files": 0, "files_total": 2, "bytes": 0, "bytes_total": 10}
    assert isinstance(last.result, dict)
    assert (last.result["files"], last.result["bytes"], last.result["left_files"]) == (2, 10, 0)


async def test_pins_are_set_and_told(tmp_path: Path, nursery: trio.Nursery) -> None:
    _, engine = await _serve(nursery, tmp_path / "s")
    reply = await _ask(tmp_path / "s", Request(verb=Verb.PIN, ino=7, pin="excluded"))
    assert reply.result == {"pin": "excluded", "pinned": True}
    assert engine.asked == [("excluded", 7)]
    reply = await _ask(tmp_path / "s", Request(verb=Verb.PIN, ino=7, pin="perhaps"))
    assert reply.error is not None
    assert reply.error.kind == "bad-request"
    reply = await _ask(tmp_path / "s", Request(verb=Verb.PINS))
    assert reply.result == [{"path": "/f", "pin": "pinned", "item_id": "i"}]


async def test_an_error_of_the_engine_is_told_with_its_kind(tmp_path: Path, nursery: trio.Nursery) -> None:
    await _serve(nursery, tmp_path / "s")
    reply = await _ask(tmp_path / "s", Request(verb=Verb.HYDRATE, ino=7, path="/m/f"))
    assert reply.error is not None
    assert (reply.error.kind, reply.error.message.startswith("/m/f")) == ("no-space-left", True)


async def test_a_bug_is_answered_and_logged_and_the_socket_goes_on(
    tmp_path: Path, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    await _serve(nursery, tmp_path / "s")
    reply = await _ask(tmp_path / "s", Request(verb=Verb.RETRY))
    assert reply.error is not None
    assert reply.error.kind == "internal"
    assert "a bug" in caplog.text
    assert (await _ask(tmp_path / "s", Request(verb=Verb.NUDGE))).error is None


@pytest.mark.parametrize("line", [b"{}\n", b"nonsense\n", b'{"verb": "format"}\n', b'{"verb":"evict","x":1}\n', b"\n"])
async def test_what_is_not_understood_is_answered(tmp_path: Path, nursery: trio.Nursery, line: bytes) -> None:
    await _serve(nursery, tmp_path / "s")
    reply = await _exchange(tmp_path / "s", line)
    assert reply.error is not None
    assert reply.error.kind == "bad-request"


async def test_an_endless_line_is_cut(tmp_path: Path, nursery: trio.Nursery) -> None:
    await _serve(nursery, tmp_path / "s")
    reply = await _exchange(tmp_path / "s", b"x" * (1 << 16))
    assert reply.error is not None


async def test_a_client_that_hangs_up_cancels_what_it_asked_for(tmp_path: Path, nursery: trio.Nursery) -> None:
    control, engine = await _serve(nursery, tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "s"))
        client.sendall(msgspec.json.encode(Request(verb=Verb.SYNC)) + b"\n")
        with trio.fail_after(DEADLINE_S):
            await engine.settling.wait()
    with trio.fail_after(DEADLINE_S):
        await engine.cancelled.wait()
        await control.drain(DEADLINE_S)
    assert (await _ask(tmp_path / "s", Request(verb=Verb.STATUS))).error is None


async def test_another_user_is_not_heard(
    tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _serve(nursery, tmp_path / "s")
    monkeypatch.setattr("vfs.control._peer_uid", lambda _connection: 4711)
    assert await _answer_to_a_stranger(tmp_path / "s") == b""


async def _answer_to_a_stranger(path: Path) -> bytes:
    async with await trio.open_unix_socket(str(path)) as stream:
        with trio.fail_after(DEADLINE_S):
            try:
                await stream.send_all(msgspec.json.encode(Request(verb=Verb.STATUS)) + b"\n")
                return bytes(await stream.receive_some())
            except trio.BrokenResourceError:  # closed before our request was read
                return b""
