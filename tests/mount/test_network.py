"""A network that goes and comes back, in a network namespace of the test's own: the mount reacts at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.harness.mount import Mount
from tests.harness.server import ServerProcess
from tests.harness.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network namespace"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="ip is not installed (package iproute2)"),
]
SOON_S = 40.0  # a silent stream is given up after 45 s; the mounts here poll every 600 s


class Place:
    """A network namespace, for as long as the process in it lives."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "600"])
        self.pid = self._holder.pid
        self.inside = ("nsenter", "--net", f"--target={self.pid}")
        own = Path("/proc/self/ns/net").readlink()
        until(lambda: Path(f"/proc/{self.pid}/ns/net").readlink() != own, "the namespace")

    def ip(self, *words: str) -> None:
        """`ip WORDS` in it, one line after the other."""
        for line in words:
            subprocess.run([*self.inside, "ip", *line.split()], check=True, capture_output=True, timeout=DEADLINE_S)

    def close(self) -> None:
        """The namespace goes with its last process."""
        self._holder.kill()
        self._holder.wait()


class Network:
    """A wire between two machines: `here`, where drives are mounted, and `there`, which serves them on `address`."""

    address = "10.9.0.1"

    def __init__(self) -> None:
        self.here, self.there = Place(), Place()
        self.here.ip(f"link add net0 type veth peer name net0 netns {self.there.pid}", "addr add 10.9.0.2/24 dev net0")
        self.there.ip(f"addr add {self.address}/24 dev net0")
        for place in (self.here, self.there):
            place.ip("link set net0 up")

    def close(self) -> None:
        """Nothing of it is left."""
        self.here.close()
        self.there.close()


class InsideMount(Mount):
    """A mount whose process lives in the namespace."""

    network: Network

    def _program(self) -> list[str]:
        return [*self.network.here.inside, sys.executable, "-m", "vfs.cli"]


@pytest.fixture
def network() -> Iterator[Network]:
    """A network of this test alone."""
    made = Network()
    yield made
    made.close()


@pytest.fixture
def server(network: Network, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server there."""
    tokens = tmp_path / "tokens"
    create = [sys.executable, "-m", "server_stub", "token", "create", "--tokens", str(tokens), "--name", "here"]
    secret = subprocess.run(create, check=True, capture_output=True, text=True, timeout=DEADLINE_S).stdout.split()[-1]
    made = ServerProcess(tmp_path / "server", prefix=network.there.inside, options=("--tokens", str(tokens)))
    made._listen = f"{network.address}:0"
    with made as running:
        running.token = secret
        yield running


@pytest.fixture
def mount(network: Network, server: ServerProcess, tmp_path: Path) -> Iterator[Mount]:
    """That server, mounted here; nothing is found by polling."""
    told = ("-o", "write_back_delay=0.05,poll_interval=600")
    made = InsideMount(server.url, tmp_path, token=server.token, arguments=told)
    made.network = network
    with made:
        yield made


def _connection(mount: Mount) -> str:
    return str(mount.status()["connection"])


def test_the_network_goes_and_is_back(network: Network, mount: Mount, server: ServerProcess) -> None:
    (mount.path / "before").write_text("1")
    mount.settle()
    network.here.ip("link set net0 down")
    until(lambda: _connection(mount) == "offline", "the loss to be seen", deadline_s=SOON_S)
    (mount.path / "meanwhile").write_text("2")
    (server.root / "elsewhere").write_text("3")
    server.scan()
    until(lambda: mount.log().count("offline") > 0, "the word in the log")
    network.here.ip("link set net0 up")
    until(lambda: _connection(mount) == "online", "the way back to be seen", deadline_s=SOON_S)
    until((server.root / "meanwhile").exists, "what was written meanwhile", deadline_s=SOON_S)
    until(lambda: (mount.path / "elsewhere").read_text() == "3", "what was told meanwhile", deadline_s=SOON_S)
    _is_told_at_once(mount, server, "after")


def test_from_another_address_everything_begins_anew(network: Network, mount: Mount, server: ServerProcess) -> None:
    """The connections from before are dead, and nobody says so: their ends hear nothing of each other any more."""
    (mount.path / "before").write_text("1")
    mount.settle()
    network.here.ip("addr del 10.9.0.2/24 dev net0", "addr add 10.9.0.3/24 dev net0")
    until(lambda: "from 10.9.0.3" in mount.log(), "the change to be seen", deadline_s=SOON_S)
    (mount.path / "later").write_text("2")
    until((server.root / "later").exists, "what was written later", deadline_s=SOON_S)
    _is_told_at_once(mount, server, "after")


def _is_told_at_once(mount: Mount, server: ServerProcess, name: str) -> None:
    (server.root / name).write_text(name)
    server.scan()
    until(lambda: (mount.path / name).read_text() == name, "the hints to be heard again", deadline_s=SOON_S)
