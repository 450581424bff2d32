"""Another who changes a drive by its server's own means, with no client of ours; one for each kind of server.

A server meets the conflict table (tests/mount/test_second_writer.py) when it has a `SecondWriter` here, named in
`WRITERS`. Paths are below the drive's root. What was done is complete when the call returns.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, Self

import pytest

from tests.fakes.nextcloud import FakeNextcloud
from tests.harness.davs import Apache
from tests.harness.server import ServerProcess
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


class SecondWriter(Protocol):
    """`with WRITERS[name].served(folder) as writer:` has an empty drive until the block ends."""

    address: str  # what `anchorfs mount` takes
    token: str | None  # what signs in there; None: nothing is asked for

    @classmethod
    def served(cls, folder: Path) -> AbstractContextManager[Self]:
        """`folder`: an empty one, for what the server keeps. The test is skipped where the server is not here."""
        ...

    def write(self, path: str, content: bytes) -> None:
        """A new file, or other content of one."""
        ...

    def make_folder(self, path: str) -> None:
        """In a folder that is there."""
        ...

    def move(self, path: str, target: str) -> None:
        """A file, or a folder with all that it holds, to a name that is free."""
        ...

    def remove(self, path: str) -> None:
        """A file, or a folder with all that it holds."""
        ...

    def held(self, folder: str) -> dict[str, bytes | None]:
        """All below a folder: files with their bytes, folders with None."""
        ...


def held_in(folder: Path) -> dict[str, bytes | None]:
    """As `SecondWriter.held`, of a folder of this machine; what mod_dav keeps beside the files is not the drive's."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if ".DAV" not in path.parts}
    return {name: path.read_bytes() if path.is_file() else None for name, path in found.items()}


class _InAFolder:
    """Whoever has a shell where the server keeps its files."""

    def __init__(
        self, root: Path, address: str, token: str | None = None, *, done: Callable[[], None] = lambda: None
    ) -> None:
        self._root, self.address, self.token = root, address, token
        self._done = done  # after each change

    def write(self, path: str, content: bytes) -> None:
        (self._root / path).write_bytes(content)
        self._done()

    def make_folder(self, path: str) -> None:
        (self._root / path).mkdir()
        self._done()

    def move(self, path: str, target: str) -> None:
        (self._root / path).rename(self._root / target)
        self._done()

    def remove(self, path: str) -> None:
        there = self._root / path
        if there.is_dir():
            shutil.rmtree(there)
        else:
            there.unlink()
        self._done()

    def held(self, folder: str) -> dict[str, bytes | None]:
        return held_in(self._root / folder)


class BehindOurs(_InAFolder):
    """In the folder that the bundled server exports, and watches."""

    @classmethod
    @contextmanager
    def served(cls, folder: Path) -> Iterator[Self]:
        with ServerProcess(folder, watch=None) as server, server.client() as client:
            until(lambda: client.get("/healthz").json()["watch"] == "watching", "the server to watch its folder")
            yield cls(server.root, server.url, server.token)


class BehindApache(_InAFolder):
    """In the folder that mod_dav serves."""

    @classmethod
    @contextmanager
    def served(cls, folder: Path) -> Iterator[Self]:  # noqa: ARG003 - Apache has one of its own
        missing = Apache.missing()
        if missing is not None:
            pytest.skip(missing)
        with Apache() as server:
            yield cls(server.root, f"dav+{server.url}", done=server.own)


class InNextcloud:
    """In the account, without checksums, as a browser does; its clock runs ahead, so nothing waits for a second."""

    def __init__(self, server: FakeNextcloud) -> None:
        self.server, self.account = server, server.account
        self.address, self.token = server.url, server.sign_in.new_app_password()

    @classmethod
    @contextmanager
    def served(cls, folder: Path) -> Iterator[Self]:  # noqa: ARG003 - it keeps all in memory
        with FakeNextcloud() as server:
            server.account.clock.per_change_s = 3.0
            server.ocs.has_push = True
            yield cls(server)

    def write(self, path: str, content: bytes) -> None:
        self.account.write(path, content)

    def make_folder(self, path: str) -> None:
        self.account.make_folder(path)

    def move(self, path: str, target: str) -> None:
        self.account.move(self.account.at(path), target)

    def remove(self, path: str) -> None:
        self.account.remove(self.account.at(path))

    def held(self, folder: str) -> dict[str, bytes | None]:
        with self.account.lock:
            _, *below = self.account.walk(self.account.at(folder))
            return {each.path[len(folder) + 1 :]: each.data for each in below}


WRITERS: dict[str, type[SecondWriter]] = {"ours": BehindOurs, "apache": BehindApache, "nextcloud": InNextcloud}
