"""The same question of an account of yours: what it costs to learn that nothing changed there, or one thing.

Works in a folder of its own in the account's root, and takes it away. The secret comes from ANCHORFS_LIVE_SECRET_FILE
or ANCHORFS_LIVE_SECRET. Each number is of one process with a stored tree of its own, as a mount has it, without FUSE.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import secrets
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import trio

from cache.model import Item, ItemId, Kind
from scripts.benches.running import scratch
from sync.remote import Conflict, NewFile
from sync.remotes.connecting import connect
from sync.retrying import Backoff, Retrying

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from scripts.benches.settings import Settings
    from sync.remote import Remote

FOLDERS = 10
FILES, QUICK_FILES = 500, 50
SAMPLES, QUICK_SAMPLES = 10, 3
SENT_AT_ONCE = 4

_T = TypeVar("_T")


@dataclass(slots=True)
class AccountReport:
    """Milliseconds by what was measured."""

    url: str
    samples: dict[str, list[float]] = field(default_factory=dict)

    def markdown(self) -> str:
        """A table of medians."""
        rows = [
            f"| {name} | {statistics.median(ms):.1f} | {min(ms):.1f} | {max(ms):.1f} |"
            for name, ms in self.samples.items()
        ]
        return "\n".join([f"# {self.url}\n", "| | median ms | least | most |", "|---|---|---|---|", *rows])

    def write_json(self, path: Path) -> None:
        """Every sample."""
        path.write_text(json.dumps({"url": self.url, "samples": self.samples}, indent=1), encoding="utf-8")


class _Small:
    """A content of a few bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size, self.digest = len(data), f"sha-256:{hashlib.sha256(data).hexdigest()}"

    async def chunks(self, start: int) -> AsyncIterator[bytes]:
        """All of it."""
        await trio.lowlevel.checkpoint()
        yield self._data[start:]


def run(settings: Settings, url: str) -> AccountReport:
    """Measure, and clean up."""
    report = AccountReport(url)
    with scratch(settings.folder) as folder:
        trio.run(_measure, settings, report, folder)
    return report


async def _measure(settings: Settings, report: AccountReport, folder: Path) -> None:
    clients = []
    for name in ("watcher", "writer", "newcomer"):
        (folder / name).mkdir()
        clients.append(_client(report.url, folder / name))
    watcher, writer, newcomer = clients
    top_name = f"anchorfs-bench-{secrets.token_hex(4)}"
    try:
        root = await writer.root()
        top = await writer.make_folder(root.item_id, top_name, mode=0o755, mtime_ns=0, key=top_name)
        try:
            await _seed(settings, writer, top.item_id)
            await _learn(settings, report, (watcher, writer, newcomer), top)
        finally:
            with trio.CancelScope(shield=True):
                await _remove(writer, top.item_id)
    finally:
        for client in clients:
            await client.aclose()


def _client(url: str, place: Path) -> Remote:
    file = os.environ.get("ANCHORFS_LIVE_SECRET_FILE")
    secret = Path(file).read_text(encoding="utf-8").strip("\n") if file else os.environ.get("ANCHORFS_LIVE_SECRET")
    return Retrying(connect(url, secret, place), random=random.Random(1), backoff=Backoff(deadline_s=60))  # noqa: S311


async def _seed(settings: Settings, writer: Remote, top: ItemId) -> None:
    each = (QUICK_FILES if settings.quick else FILES) // FOLDERS
    limit = trio.CapacityLimiter(SENT_AT_ONCE)

    async def put(folder: ItemId, name: str) -> None:
        async with limit:
            await _put(writer, folder, name)

    for number in range(FOLDERS):
        made = await writer.make_folder(top, f"d{number}", mode=0o755, mtime_ns=0, key=secrets.token_hex(8))
        async with trio.open_nursery() as nursery:
            for count in range(each):
                nursery.start_soon(put, made.item_id, f"f{count}")
    settings.say(f"{each * FOLDERS} files are there")


async def _put(writer: Remote, folder: ItemId, name: str) -> None:
    target, source = NewFile(parent_id=folder, name=name), _Small(secrets.token_bytes(16))
    await writer.put(target, source, mtime_ns=time.time_ns(), mode=0o644, key=secrets.token_hex(8))


async def _learn(settings: Settings, report: AccountReport, clients: tuple[Remote, Remote, Remote], top: Item) -> None:
    watcher, writer, newcomer = clients
    samples = QUICK_SAMPLES if settings.quick else SAMPLES
    for _ in range(samples):
        await _timed(report, "list every folder anew", lambda: _list_all(newcomer, top.name))
    await _list_all(watcher, top.name)
    anchor = await watcher.newest_anchor()
    for _ in range(samples):
        await _timed(report, "nothing changed", lambda: watcher.changes(anchor))
    folders = [each for each in (await writer.children(top.item_id)).items if each.kind is Kind.FOLDER]
    for number in range(samples):
        anchor = (await watcher.changes(await watcher.newest_anchor())).anchor
        await _put(writer, folders[number % FOLDERS].item_id, f"new-{number}")
        page = await _timed(report, "one file is new", lambda at=anchor: watcher.changes(at))
        found = any(isinstance(each, Item) and each.name == f"new-{number}" for each in page.changes)
        if not found:
            settings.say("the new file was not told of")


async def _timed(report: AccountReport, name: str, act: Callable[[], Awaitable[_T]]) -> _T:
    began = time.perf_counter()
    result = await act()
    report.samples.setdefault(name, []).append((time.perf_counter() - began) * 1000)
    return result


async def _list_all(remote: Remote, top_name: str) -> None:
    root = await remote.root()
    queue = [each.item_id for each in (await remote.children(root.item_id)).items if each.name == top_name]
    while queue:
        queue += [each.item_id for each in (await remote.children(queue.pop())).items if each.kind is Kind.FOLDER]


async def _remove(remote: Remote, item_id: ItemId) -> None:
    for child in (await remote.children(item_id)).items:
        if child.kind is Kind.FOLDER:
            await _remove(remote, child.item_id)
        else:
            await remote.remove(child.item_id, child.metadata_version, key=secrets.token_hex(8))
    now = (await remote.get_many([item_id]))[item_id]
    if isinstance(now, Item):
        try:
            await remote.remove(item_id, now.metadata_version, key=secrets.token_hex(8))
        except Conflict as error:
            if error.current is not None:
                await remote.remove(item_id, error.current.metadata_version, key=secrets.token_hex(8))
