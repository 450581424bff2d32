"""The remotes that the contract holds for: the fake, and ours over a real server process."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from sync.remotes.anchor import AnchorRemote
from tests.contract.homes import Home, numbers
from tests.fakes.drive import FakeDrive
from tests.fakes.remote import FakeRemote
from tests.harness.server import ServerProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sync.remote import Remote


@pytest.fixture(scope="session")
def anchor_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One real server for all tests of the contract."""
    with ServerProcess(tmp_path_factory.mktemp("contract")) as process:
        yield process


@pytest.fixture(params=["fake", "anchor"])
def clients(request: pytest.FixtureRequest) -> list[Remote]:
    """Two clients of one drive."""
    if request.param == "fake":
        drive = FakeDrive()
        return [FakeRemote(drive), FakeRemote(drive)]
    process: ServerProcess = request.getfixturevalue("anchor_server")
    return [AnchorRemote(process.url, process.token) for _ in range(2)]


@pytest.fixture
async def home(clients: list[Remote]) -> AsyncIterator[Home]:
    """A new folder on each kind of remote."""
    async with AsyncExitStack() as stack:
        for client in clients:
            stack.push_async_callback(client.aclose)
        root = await clients[0].root()
        name = f"home-{next(numbers)}"
        folder = await clients[0].make_folder(root.item_id, name, mode=0o755, mtime_ns=0, key=name)
        yield Home(clients[0], clients[1], folder.item_id)
