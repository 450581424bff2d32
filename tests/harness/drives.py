"""A drive for tests: one server, any number of mounts of it, optionally behind a link that a test can disturb.

Fixtures for whole modules (`drive`; `one` and `two`, its first mounts; `far`, one behind `link`) and for one test
(`lonely`). Everything is reaped however the tests ended; an undeclared warning in a mount's log fails the last test of
its module.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

import pytest

from tests.faults.proxy import FaultProxy
from tests.harness.mount import Mount
from tests.harness.server import ServerProcess
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    import httpx

# Local changes are sent at once; should the server's wake-up be lost, a poll finds the news within a second.
QUICK = "write_back_delay=0.05,poll_interval=1"


class Drive:
    """`with Drive(folder) as drive:`; `drive.mount(name)` mounts, `drive.served` is the exported folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.server = ServerProcess(folder / "server")
        self.mounts: dict[str, Mount] = {}
        self._links: list[FaultProxy] = []

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            for mount in reversed(self.mounts.values()):
                mount.close()
        finally:
            for link in self._links:
                link.close()
            if self.server.process is not None:
                self.server.kill()
        if kind is None:
            for mount in self.mounts.values():
                mount.check_log()

    @property
    def served(self) -> Path:
        """The folder that the server exports."""
        return self.server.root

    def mount(self, name: str, *options: str, url: str = "", start: bool = True) -> Mount:
        """A further mount with its own cache."""
        words = ("-o", QUICK, *options)
        mount = Mount(url or self.server.url, self.folder, token=self.server.token, name=name, arguments=words)
        self.mounts[name] = mount
        if start:
            mount.start()
        return mount

    def link(self) -> FaultProxy:
        """A way to the server that can be disturbed; mount with `url=link.url`."""
        link = FaultProxy(self.server.address)
        self._links.append(link)
        return link

    def client(self) -> httpx.Client:
        """Ask the server itself."""
        return self.server.client()


def forget_everything(mount: Mount) -> None:
    """Unmount and mount again with an empty cache: all that is seen then comes from the server."""
    assert mount.stop() == 0, mount.log()
    mount.cache_dir = mount.cache_dir.with_name(mount.cache_dir.name + "+")
    mount.start()


def attribute(path: Path, name: str) -> str:
    """One `user.anchorfs.` fact."""
    return os.getxattr(path, f"user.anchorfs.{name}", follow_symlinks=False).decode()


def converge(*mounts: Mount) -> None:
    """Return when every change made on any of these mounts has reached the server and the others."""
    for mount in (*mounts, *mounts[:-1]):
        mount.settle()


def seen(path: Path, content: bytes) -> None:
    """Wait until a file has this content."""
    until(lambda: path.read_bytes() == content, f"{path} to hold {content[:40]!r}")


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drive]:
    """A drive that the tests of a module share; each works in a folder of its own."""
    with Drive(tmp_path_factory.mktemp("drive")) as made:
        yield made


@pytest.fixture(scope="module")
def first(drive: Drive) -> Mount:
    """The first mount of the module."""
    return drive.mount("one")


@pytest.fixture(scope="module")
def second(drive: Drive) -> Mount:
    """The second mount of the module."""
    return drive.mount("two")


@pytest.fixture(scope="module")
def link(drive: Drive) -> FaultProxy:
    """The way of the mount `far` to the server."""
    return drive.link()


@pytest.fixture(scope="module")
def far(drive: Drive, link: FaultProxy) -> Mount:
    """A mount behind that link."""
    return drive.mount("far", url=link.url)


@pytest.fixture
def one(first: Mount, request: pytest.FixtureRequest) -> Path:
    """A folder of this test alone, on the first mount."""
    folder = first.path / folder_name(request)
    folder.mkdir()
    return folder


@pytest.fixture
def two(second: Mount, one: Path) -> Path:
    """The same folder on the second mount."""
    folder = second.path / one.name
    until(folder.is_dir, "the second mount to see the test's folder")
    return folder


@pytest.fixture
def served(drive: Drive, one: Path) -> Path:
    """The same folder as the server keeps it."""
    folder = drive.served / one.name
    until(folder.is_dir, "the server to have the test's folder")
    return folder


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[Drive]:
    """A drive of this test alone: for tests that kill."""
    with Drive(tmp_path / "drive") as made:
        yield made


def folder_name(request: pytest.FixtureRequest) -> str:
    """Of the test, as a name."""
    return "".join(each if each.isalnum() or each in "-_" else "-" for each in request.node.name)[:100]
