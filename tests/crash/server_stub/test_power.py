"""The power of a server's machine is cut while clients write: what was acknowledged is there, each file is one whole
state of it, and the index agrees with the tree. The control: it is not so when syncs do nothing.

2 cuts, with `--long` 100, of an ext4 of its own.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.harness.disks import Disk, DiskMissing
from tests.harness.server import ServerProcess
from tests.harness.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WRITERS = 3
CHANGES = (5, 40)  # that are acknowledged between two cuts, at least
LYING = (
    "strace", "--follow-forks", "--quiet=all", "--output=/dev/null", "--inject=fsync,fdatasync,syncfs:retval=0",
    "setpriv", "--pdeathsig", "KILL", "--",  # the server does not outlive the tracer
)  # fmt: skip

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/loop-control").exists() or shutil.which("mkfs.ext4") is None,
    reason="a disk of one's own needs root, loop devices and mkfs.ext4",
)

Tree = dict[str, bytes]


class Writer(threading.Thread):
    """Changes files of its own, whose names begin with its own; knows what it was told, and what it asked last."""

    def __init__(self, server: ServerProcess, name: str, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self._server, self._own, self._chance = server, name, chance
        self.told: Tree = {}  # what the last answer promised
        self.asked: Tree = {}  # what comes of the request that got no answer
        self.answers = 0
        self.trouble = ""

    def run(self) -> None:
        """Until the server is gone."""
        with self._server.client() as client, contextlib.suppress(httpx.TransportError):
            root = client.get("/v1/root").json()["item_id"]
            while not self.trouble:
                items = client.get(f"/v1/items/{root}/children").json()["items"]
                self._change(client, root, {each["name"]: each for each in items if each["name"].startswith(self._own)})

    def _change(self, client: httpx.Client, root: str, items: dict[str, Any]) -> None:
        data = self._chance.randbytes(8) * self._chance.randrange(1, 1_500)
        key = {"idempotency-key": f'"{self._chance.getrandbits(64):x}"'}
        item = items[self._chance.choice(list(items))] if items else None
        name, fresh = item and item["name"], f"{self._own}-{self._chance.getrandbits(40):x}"
        rest = {each: body for each, body in self.told.items() if each != name}
        act = self._chance.choice(("make", "write", "write", "move", "remove")) if item else "make"
        if act == "make" or item is None:
            self.asked = {**self.told, fresh: data}
            answer = client.put(
                f"/v1/items/{root}/children/{fresh}/content", content=data, headers={"if-none-match": "*"}
            )
        elif act == "write":
            self.asked = {**self.told, name: data}
            path = f"/v1/items/{item['item_id']}/content"
            answer = client.put(path, content=data, headers={"if-match": f'"{item["content_version"]}"', **key})
        else:
            path, headers = f"/v1/items/{item['item_id']}", {"if-match": f'"{item["metadata_version"]}"', **key}
            if act == "move":
                self.asked = {**rest, fresh: self.told[name]}
                answer = client.patch(path, json={"name": fresh}, headers=headers)
            else:
                self.asked = rest
                answer = client.delete(path, headers=headers)
        if answer.is_error:
            self.trouble = f"{act}: {answer.status_code} {answer.text}"
            return
        self.told, self.answers = self.asked, self.answers + 1


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Mounted, empty."""
    with ExitStack() as stack:
        try:
            made = stack.enter_context(Disk(tmp_path))
        except DiskMissing as missing:
            pytest.skip(f"no disk of one's own can be mounted here: {missing}")
        yield made


def broken_by_a_cut(
    server: ServerProcess, disk: Disk, pid: int, chance: random.Random, before: list[Tree]
) -> list[str]:
    """Let writers write, cut the power, and compare; `before`: what each writer's files are, then and afterwards."""
    writers = [Writer(server, f"writer{number}", random.Random(chance.random())) for number in range(WRITERS)]
    for writer, tree in zip(writers, before, strict=True):
        writer.told = writer.asked = tree
        writer.start()
    enough = chance.randrange(*CHANGES)
    until(lambda: all(each.answers >= enough for each in writers) or any(each.trouble for each in writers), "changes")
    disk.hold(pid)
    os.kill(pid, 9)
    server.wait_dead()
    for writer in writers:
        writer.join(DEADLINE_S)
    assert not any(each.trouble for each in writers), [each.trouble for each in writers]
    disk.come_back()
    server.start()
    return list(_differences(server, writers, before))


def _differences(server: ServerProcess, writers: list[Writer], before: list[Tree]) -> Iterator[str]:
    found = {path.name: path.read_bytes() for path in server.root.iterdir()}
    before[:] = [{name: body for name, body in found.items() if name.startswith(each._own)} for each in writers]
    for writer, own in zip(writers, before, strict=True):
        if own not in (writer.told, writer.asked):
            yield f"{writer._own} has {sorted(own)}, was told {sorted(writer.told)}, asked {sorted(writer.asked)}"
    report = server.scan()
    if (report["added"], report["changed"], report["removed"]) != (0, 0, 0):
        yield f"the index was not as the tree: {report}"
    with server.client() as client:
        root = client.get("/v1/root").json()["item_id"]
        for item in client.get(f"/v1/items/{root}/children").json()["items"]:
            if client.get(f"/v1/items/{item['item_id']}/content").content != found.get(item["name"]):
                yield f"{item['name']} is told with other bytes than it has"


def test_what_was_acknowledged_survives(disk: Disk, often: Callable[[int, int], int]) -> None:
    chance, trees = random.Random(3), [Tree() for _ in range(WRITERS)]
    with ServerProcess(disk.path) as server:
        for number in range(often(2, 100)):
            assert broken_by_a_cut(server, disk, server.pid, chance, trees) == [], f"cut {number}"


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace here: syncs cannot be kept from working")
def test_the_control_without_syncs_it_does_not(disk: Disk) -> None:
    with ServerProcess(disk.path, prefix=LYING) as server:
        disk.settle()
        (child,) = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        assert broken_by_a_cut(server, disk, int(child), random.Random(3), [Tree() for _ in range(WRITERS)])
