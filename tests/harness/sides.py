"""Two sides of one drive: a mount of it here, a second writer there; apart for as long as a test wants.

Fixtures: `writer` has an empty drive, `mounted` mounts it, both for a whole module; `sides` is a folder of one test.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.harness.drives import QUICK, folder_name
from tests.harness.mount import Mount
from tests.harness.second_writers import WRITERS, held_in
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.second_writers import SecondWriter


class There:
    """What the second writer does and sees in one folder of the drive."""

    def __init__(self, writer: SecondWriter, folder: str) -> None:
        self._writer, self.folder = writer, folder

    def write(self, name: str, content: bytes) -> None:
        self._writer.write(f"{self.folder}/{name}", content)

    def make_folder(self, name: str) -> None:
        self._writer.make_folder(f"{self.folder}/{name}")

    def move(self, name: str, target: str) -> None:
        self._writer.move(f"{self.folder}/{name}", f"{self.folder}/{target}")

    def remove(self, name: str) -> None:
        self._writer.remove(f"{self.folder}/{name}")

    def held(self) -> dict[str, bytes | None]:
        """Files with their bytes, folders with None."""
        return self._writer.held(self.folder)

    def contents(self) -> dict[str, bytes]:
        """The files."""
        return {name: content for name, content in self.held().items() if content is not None}


class Sides:
    """One folder: `here` in the mount, `there` as the second writer has it."""

    def __init__(self, mount: Mount, writer: SecondWriter, folder: str) -> None:
        self.mount, self.here, self.there = mount, mount.path / folder, There(writer, folder)

    def give(self, name: str, content: bytes = b"base") -> None:
        """A file that both have."""
        (self.here / name).parent.mkdir(exist_ok=True)
        (self.here / name).write_bytes(content)
        self.mount.settle()

    @contextmanager
    def apart(self) -> Iterator[There]:
        """What is done `here` is sent after everything that is done `there`; at the end both are alike."""
        with self.mount.paused():
            yield self.there
        self.mount.settle()
        until(lambda: held_in(self.here) == self.there.held(), "both to be alike")

    def copy(self) -> str:
        """The one name there that a conflict gave."""
        (name,) = [each for each in self.there.held() if "(conflict " in each.rpartition("/")[2]]
        return name


@pytest.fixture(scope="module", params=WRITERS)
def writer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecondWriter]:
    """Each of them in turn, unless a module has one of its own."""
    with WRITERS[request.param].served(tmp_path_factory.mktemp("served")) as made:
        yield made


@pytest.fixture(scope="module")
def mounted(writer: SecondWriter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    """The drive of the second writer, mounted for the whole module."""
    base = tmp_path_factory.mktemp("mounted")
    with Mount(writer.address, base, token=writer.token, arguments=("-o", QUICK)) as mount:
        yield mount


@pytest.fixture
def sides(mounted: Mount, writer: SecondWriter, request: pytest.FixtureRequest) -> Sides:
    """A folder of this test, known to both."""
    made = Sides(mounted, writer, folder_name(request))
    made.here.mkdir()
    mounted.settle()
    return made
