"""A real server process and real mounts for the tests in this folder.

server      a running anchorfs-server over an empty folder (`server.root`)
mount       that server, mounted
new_mount   makes further mounts: new_mount("other"); all are closed and their logs checked at the end
drive, one, two, far, link, served, lonely: see tests.harness.drives
writer, mounted, sides: see tests.harness.sides
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from tests.harness.drives import drive, far, first, link, lonely, one, second, served, two
from tests.harness.mount import Mount
from tests.harness.server import ServerProcess
from tests.harness.sides import mounted, sides, writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["drive", "far", "first", "link", "lonely", "mount", "new_mount", "one", "second", "served", "server", "two"]
__all__ += ["mounted", "sides", "writer"]


class NewMount(Protocol):
    """Makes and starts a mount of the test's server."""

    def __call__(self, name: str, *arguments: str, start: bool = True) -> Mount: ...


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server of this test alone."""
    with ServerProcess(tmp_path / "server") as running:
        yield running


@pytest.fixture
def new_mount(server: ServerProcess, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[NewMount]:
    """Further mounts of the same server."""
    made: list[Mount] = []

    def make(name: str, *arguments: str, start: bool = True) -> Mount:
        options = ("-o", "write_back_delay=0.05,poll_interval=1", *arguments)
        mount = Mount(server.url, tmp_path, token=server.token, name=name, arguments=options)
        made.append(mount)
        if start:
            mount.start()
        return mount

    failed_before = request.session.testsfailed
    yield make
    for mount in reversed(made):
        mount.close()
    if request.session.testsfailed == failed_before:
        for mount in made:
            mount.check_log()


@pytest.fixture
def mount(new_mount: NewMount) -> Mount:
    """The server of this test, mounted."""
    return new_mount("mnt")
