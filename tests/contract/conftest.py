"""The remotes that the contract holds for: two fakes, ours over a real server process, and real WebDAV servers."""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING

import pytest

from sync.remotes.anchor import AnchorRemote
from sync.remotes.nextcloud import NextcloudRemote
from tests.contract.davs import SERVERS, RunningDav
from tests.contract.homes import Home, elsewhere, numbers
from tests.contract.offers import OFFERED, suits
from tests.fakes.drive import FakeDrive
from tests.fakes.nextcloud import FakeNextcloud
from tests.fakes.nextcloud.server import PASSWORD
from tests.fakes.remote import FakeRemote
from tests.harness.server import ServerProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from sync.remote import Remote


@pytest.fixture(scope="session")
def anchor_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One real server for all tests of the contract."""
    with ServerProcess(tmp_path_factory.mktemp("contract")) as process:
        yield process


@pytest.fixture(scope="session")
def nextcloud_server() -> Iterator[FakeNextcloud]:
    """A Nextcloud whose clock runs ahead with every change, so that no test waits for a second to pass."""
    with FakeNextcloud() as server:
        server.account.clock.per_change_s = 3.0
        yield server


@pytest.fixture(scope="session")
def dav_servers() -> Iterator[Callable[[str], RunningDav]]:
    """Real WebDAV servers, each started when first wanted; the tests of one that is not here are skipped."""
    with ExitStack() as stack:
        running: dict[str, RunningDav] = {}

        def get(name: str) -> RunningDav:
            if name not in running:
                missing = SERVERS[name].missing()
                if missing is not None:
                    pytest.skip(missing)
                running[name] = RunningDav(stack.enter_context(SERVERS[name]()))
            return running[name]

        yield get


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test runs on each kind of remote that it suits."""
    if "kind" in metafunc.fixturenames:
        marks = list(metafunc.definition.iter_markers())
        kinds = [name for name, offered in OFFERED.items() if suits(offered, marks)]
        metafunc.parametrize("kind", kinds, indirect=True)


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the remotes it is."""
    return str(request.param)


@pytest.fixture
def clients(kind: str, request: pytest.FixtureRequest) -> list[Remote]:
    """Two clients of one drive."""
    if kind == "fake":
        drive = FakeDrive()
        return [FakeRemote(drive), FakeRemote(drive)]
    if kind == "anchor":
        process: ServerProcess = request.getfixturevalue("anchor_server")
        return [AnchorRemote(process.url, process.token) for _ in range(2)]
    if kind == "nextcloud":
        cloud: FakeNextcloud = request.getfixturevalue("nextcloud_server")
        return [NextcloudRemote(cloud.http_url, cloud.user, PASSWORD) for _ in range(2)]
    server: RunningDav = request.getfixturevalue("dav_servers")(kind)
    return [server.client() for _ in range(2)]


@pytest.fixture
async def home(clients: list[Remote]) -> AsyncIterator[Home]:
    """A new folder on each kind of remote."""
    async with AsyncExitStack() as stack:
        for client in clients:
            stack.push_async_callback(client.aclose)
        root = await clients[0].root()
        await clients[0].children(root.item_id)  # as the engine: nothing is made in a folder that was never listed
        name = f"home-{next(numbers)}"
        folder = await clients[0].make_folder(root.item_id, name, mode=0o755, mtime_ns=0, key=name)
        yield Home(clients[0], clients[1], folder.item_id, await elsewhere(clients[1], folder))
