"""Every change takes effect exactly once, though its first answer is lost; and no update is lost between writers.

With `--long` as often as the bars say: 1,000 changes, 10,000 updates.
"""

from __future__ import annotations

import itertools
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from sync.remote import Conflict, NewFile, Overwrite
from sync.remotes.anchor import AnchorRemote
from sync.retrying import Backoff, Retrying
from sync.sessions import Announced
from tests.fakes.sources import BytesSource
from tests.faults.faults import Fault, LoseAnswer, Request, mutation
from tests.faults.proxy import FaultProxy
from tests.harness.server import ServerProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from cache.model import Item, ItemId
    from sync.remote import Remote

WRITERS = 4
CHANGES_PER_ROUND = 8


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server of this test alone."""
    with ServerProcess(tmp_path / "server") as running:
        yield running


class EveryOther:
    """A rule: of two mutations the first one's answer is lost. Asked by one client, that is each one's first try."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self.lost = 0

    def __call__(self, request: Request) -> Fault | None:
        if not mutation(request) or _appends(request) or next(self._numbers) % 2:
            return None
        self.lost += 1
        return LoseAnswer()


def _appends(request: Request) -> bool:
    """Bytes of an upload, which are not sent again: the client asks where it stands (test_kill_uploads)."""
    return request.method == "PATCH" and "/uploads/" in request.target


@asynccontextmanager
async def _remote(url: str, token: str | None) -> AsyncIterator[Remote]:
    plain = AnchorRemote(url, token)
    try:
        yield Retrying(plain, random=random.Random(1), backoff=Backoff(first_s=0.001, deadline_s=30.0))
    finally:
        await plain.aclose()


async def test_a_change_whose_answer_is_lost_takes_effect_once(
    server: ServerProcess, often: Callable[[int, int], int]
) -> None:
    link, rule = FaultProxy(server.address), EveryOther()
    try:
        async with _remote(link.url, server.token) as remote:
            root = (await remote.root()).item_id
            link.rule = rule
            rounds = often(8, 1000 // CHANGES_PER_ROUND + 1)
            made = [await _round(remote, root, number) for number in range(rounds)]
            link.rule = None
            assert rule.lost == rounds * CHANGES_PER_ROUND
            listed = (await remote.children(root)).items
            assert {each.name: each for each in listed} == {each.name: each for each in made}  # versions too
            assert len(list(server.root.iterdir())) == rounds
    finally:
        link.close()


async def _round(remote: Remote, root: ItemId, number: int) -> Item:
    """Make, write, overwrite, upload, move, change and remove; what is left is the folder, empty."""
    key = f"effect-{number}"
    folder = await remote.make_folder(root, f"folder {number}", mode=0o755, mtime_ns=1, key=f"{key}-folder")
    target = NewFile(parent_id=folder.item_id, name="file")
    file = await remote.put(target, BytesSource(b"one"), mtime_ns=1, mode=0o644, key=f"{key}-file")
    assert file.content_version is not None
    newer = Overwrite(item_id=file.item_id, base=file.content_version)
    file = await remote.put(newer, BytesSource(b"two"), mtime_ns=2, mode=0o644, key=f"{key}-two")
    file = await _upload(remote, file, key)
    moved = await remote.move(
        file.item_id, file.metadata_version, folder.item_id, "moved", replace=None, key=f"{key}-move"
    )
    changed = await remote.set_attributes(
        moved.item_id, moved.metadata_version, mode=0o600, mtime_ns=3, key=f"{key}-mode"
    )
    await remote.remove(changed.item_id, changed.metadata_version, key=f"{key}-remove")
    assert (await remote.children(folder.item_id)).items == []
    listed = (await remote.children(root)).items
    return next(each for each in listed if each.item_id == folder.item_id)


async def _upload(remote: Remote, file: Item, key: str) -> Item:
    """The same file once more, by a session and its commit."""
    assert file.content_version is not None
    source = BytesSource(b"three")
    announced = Announced(size=source.size, digest=source.digest, stream_bytes=source.size)
    upload_id = await remote.begin_upload(announced, key=f"{key}-begin")
    assert await remote.append(upload_id, source, 0) == source.size
    target = Overwrite(item_id=file.item_id, base=file.content_version)
    return await remote.commit(upload_id, announced, target, mtime_ns=2, mode=0o644, key=f"{key}-commit")


async def test_no_update_is_lost_between_writers_that_name_what_they_saw(
    server: ServerProcess, often: Callable[[int, int], int]
) -> None:
    """A counter in a file: each writer reads it, adds one, and writes on the condition that nobody else did."""
    async with _remote(server.url, server.token) as remote:
        root = (await remote.root()).item_id
        target = NewFile(parent_id=root, name="counter")
        made = await remote.put(target, BytesSource(b"0"), mtime_ns=1, mode=0o644, key="counter")
        done: list[int] = []
        updates = often(60, 10_000)
        async with trio.open_nursery() as nursery:
            for writer in range(WRITERS):
                nursery.start_soon(_count, remote, made, f"writer-{writer}", done, updates)
        (last,) = (await remote.children(root)).items
        assert int(await _read(remote, last)) == len(done)
        assert sorted(done) == list(range(1, len(done) + 1))  # each value was written by one of them


async def _count(remote: Remote, item: Item, name: str, done: list[int], updates: int) -> None:
    for attempt in itertools.count():
        if len(done) >= updates:
            return
        seen = int(await _read(remote, item))
        assert item.content_version is not None
        told = Overwrite(item_id=item.item_id, base=item.content_version)
        try:
            source = BytesSource(str(seen + 1).encode())
            item = await remote.put(told, source, mtime_ns=2, mode=0o644, key=f"{name}-{attempt}")
            done.append(seen + 1)
        except Conflict as conflict:
            item = conflict.current or item


async def _read(remote: Remote, item: Item) -> bytes:
    assert item.content_version is not None
    async with remote.read(item.item_id, item.content_version, 0, item.size) as reader:
        return b"".join([piece async for piece in reader])
