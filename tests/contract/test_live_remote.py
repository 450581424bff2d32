"""The whole contract against an account of yours, in a folder of its own that is taken away again.

    ANCHORFS_LIVE_URL          dav+https://USER@HOST/PATH, nextcloud+https://USER@HOST, https://HOST
    ANCHORFS_LIVE_SECRET_FILE  a private file with the password or token (one line); or
    ANCHORFS_LIVE_SECRET       the same in the environment

    scripts/test tests/contract/test_live_remote.py

Nothing outside of the folder `anchorfs-contract-…` in the account's root is touched.
"""
# ruff: noqa: F403 - the tests are those of the other modules

from __future__ import annotations

import os
import random
import secrets
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from cache.model import Item, Kind
from sync.remote import Conflict, Gone
from sync.remotes.connecting import connect
from sync.retrying import Backoff, Retrying
from tests.contract.homes import Home, numbers
from tests.contract.offers import suits
from tests.contract.test_remote_content import *
from tests.contract.test_remote_feed import *
from tests.contract.test_remote_many import *
from tests.contract.test_remote_moves import *
from tests.contract.test_remote_sessions import *
from tests.contract.test_remote_xattrs import *

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from cache.model import ItemId
    from sync.remote import Remote

URL = os.environ.get("ANCHORFS_LIVE_URL", "")
TOP = f"anchorfs-contract-{secrets.token_hex(6)}"
PATIENCE_S = 60.0
if not URL:
    pytest.skip("ANCHORFS_LIVE_URL is not set: no account to test with", allow_module_level=True)


def _secret() -> str | None:
    file = os.environ.get("ANCHORFS_LIVE_SECRET_FILE")
    return Path(file).read_text(encoding="utf-8").strip("\n") if file else os.environ.get("ANCHORFS_LIVE_SECRET")


def _client(state: Path) -> Remote:
    backoff = Backoff(deadline_s=PATIENCE_S, first_s=0.2, longest_s=3.0)
    return Retrying(connect(URL, _secret(), state), random=random.Random(1), backoff=backoff)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    """Where each of two clients keeps what it knows; at the end the folder is taken away."""
    made = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    trio.run(_make_top, made[0])
    yield made
    trio.run(_clear, made[0])


@pytest.fixture
def clients(places: list[Path]) -> list[Remote]:
    """Two clients of the account."""
    return [_client(place) for place in places]


@pytest.fixture(autouse=True)
def suited(request: pytest.FixtureRequest) -> None:
    """What an account offers is known only here."""
    if "clients" in request.fixturenames:
        offered = request.getfixturevalue("clients")[0].capabilities
        if not suits(offered, request.node.iter_markers()):
            pytest.skip("no test for what this account offers")


@pytest.fixture
async def home(clients: list[Remote]) -> AsyncIterator[Home]:
    """A folder of this test in the folder of this run."""
    async with AsyncExitStack() as stack:
        for client in clients:
            stack.push_async_callback(client.aclose)
        top = await _inside(clients[0], (await clients[0].root()).item_id, TOP)
        name = f"home-{next(numbers)}-{secrets.token_hex(4)}"
        folder = await clients[0].make_folder(top, name, mode=0o755, mtime_ns=0, key=name)
        there = folder.item_id
        if not clients[0].capabilities.native_ids:
            there = await _inside(clients[1], await _inside(clients[1], (await clients[1].root()).item_id, TOP), name)
        yield Home(clients[0], clients[1], folder.item_id, there, prefix=name)


async def _inside(remote: Remote, parent: ItemId, name: str) -> ItemId:
    return next(each.item_id for each in (await remote.children(parent)).items if each.name == name)


async def _make_top(place: Path) -> None:
    remote = _client(place)
    try:
        root = await remote.root()
        await remote.make_folder(root.item_id, TOP, mode=0o755, mtime_ns=0, key=f"{TOP}-made")
    finally:
        await remote.aclose()


async def _clear(place: Path) -> None:
    remote = _client(place)
    try:
        top = await _inside(remote, (await remote.root()).item_id, TOP)
        await _remove(remote, top)
    finally:
        await remote.aclose()


async def _remove(remote: Remote, item_id: ItemId) -> None:
    """With all that it holds, depth first; again when something is still on its way there."""
    for attempt in range(5):
        for child in (await remote.children(item_id)).items:
            if child.kind is Kind.FOLDER:
                await _remove(remote, child.item_id)
            else:
                await _remove_one(remote, child)
        now = (await remote.get_many([item_id]))[item_id]
        if not isinstance(now, Item):
            return
        try:
            await _remove_one(remote, now)
        except Conflict:
            if attempt == 4:
                raise
        else:
            return


async def _remove_one(remote: Remote, item: Item) -> None:
    try:
        await remote.remove(item.item_id, item.metadata_version, key=secrets.token_hex(8))
    except Gone:
        return
    except Conflict as error:
        if error.current is None or error.code == "not_empty":
            raise
        await remote.remove(item.item_id, error.current.metadata_version, key=secrets.token_hex(8))


def test_no_test_hides_another() -> None:
    """The tests of several modules live in this one."""
    modules = ("content", "feed", "many", "moves", "sessions", "xattrs")
    wanted = sum(
        (Path(__file__).parent / f"test_remote_{name}.py").read_text().count("\nasync def test_") for name in modules
    )
    assert sum(1 for name in globals() if name.startswith("test_")) == wanted + 1
