"""What is done through a real smbd is seen in a mounted client at once, keeps its identity, and has a name to it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.harness.drives import QUICK, attribute, seen
from tests.harness.mount import Mount
from tests.harness.samba import USER, Samba, missing
from tests.harness.server import CHECKOUT, ServerProcess
from tests.harness.trees import pattern
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.fuse, pytest.mark.skipif(missing() is not None, reason=f"no smbd: {missing()}")]

BIG_BYTES = 48 << 20
BURST = 300  # names; each is written, renamed and half of them deleted


class Shared:
    """One folder as four see it: the server's disk, the SMB client, and a machine that mounts the drive."""

    def __init__(self, folder: Path) -> None:
        self.server = ServerProcess(
            folder / "server", watch="auto", options=("--samba-log", str(folder / "samba" / "audit.log"))
        )
        self.samba = Samba(folder / "samba", self.server.root)
        self._folder = folder

    def mount(self) -> Mount:
        """A machine that mounts the drive; the server runs."""
        return Mount(self.server.url, self._folder, token=self.server.token, arguments=("-o", QUICK))

    def activity(self) -> list[dict[str, str]]:
        """What `anchorfs-server activity` tells, the newest first."""
        where = ("--root", str(self.server.root), "--state", str(self.server.state))
        words = [sys.executable, "-m", "server_stub", "activity", *where, "--json"]
        done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, timeout=60, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def who(self, path: str) -> list[tuple[str, str | None, str | None]]:
        """Outcomes and authors of one path, the newest first."""
        return [(each["outcome"], each["user"], each["protocol"]) for each in self.activity() if each["path"] == path]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    made = Shared(tmp_path_factory.mktemp("shared"))
    with made.samba, made.server, made.server.client() as client:
        until(lambda: client.get("/healthz").json()["watch"] == "watching", "the watch to have caught up")
        yield made


@pytest.fixture(scope="module")
def machine(shared: Shared) -> Iterator[Path]:
    with shared.mount() as mount:
        yield mount.path


def local(folder: Path, name: str, content: bytes) -> Path:
    """A file for smbclient to send."""
    path = folder / name
    path.write_bytes(content)
    return path


def test_create_edit_rename_move_delete(shared: Shared, machine: Path, tmp_path: Path) -> None:
    first, second = local(tmp_path, "first", b"one"), local(tmp_path, "second", b"longer")
    shared.samba.do("mkdir from", "mkdir to", f'put "{first}" from/a')
    seen(machine / "from" / "a", b"one")
    item_id = attribute(machine / "from" / "a", "item_id")
    shared.samba.do(f'put "{second}" from/a')
    seen(machine / "from" / "a", b"longer")
    assert attribute(machine / "from" / "a", "item_id") == item_id
    shared.samba.do("rename from/a from/b")
    seen(machine / "from" / "b", b"longer")
    shared.samba.do("rename from/b to/c")
    seen(machine / "to" / "c", b"longer")
    assert attribute(machine / "to" / "c", "item_id") == item_id
    until(lambda: not list((machine / "from").iterdir()), "the old name to go")
    shared.samba.do("rename to moved")
    seen(machine / "moved" / "c", b"longer")
    assert attribute(machine / "moved" / "c", "item_id") == item_id
    shared.samba.do("del moved/c", "rmdir moved", "rmdir from")
    until(lambda: not (machine / "moved").exists(), "the folder to go")
    # the author's line may be written after the change was looked at; a folder takes along what lay below it
    until(lambda: shared.who("moved")[:1] == [("removed", USER, "smb")], "the author of the removal")
    until(lambda: shared.who("from/b")[:1] == [("moved", USER, "smb")], "the author of the move")
    until(lambda: ("changed", USER, "smb") in shared.who("from/a"), "the author of the edit")


def test_a_big_copy_arrives_whole(shared: Shared, machine: Path, tmp_path: Path) -> None:
    content = pattern(BIG_BYTES)
    shared.samba.do(f'put "{local(tmp_path, "big", content)}" big')
    until(lambda: (machine / "big").stat().st_size == BIG_BYTES, "the whole size")
    want = hashlib.sha256(content).digest()
    until(lambda: hashlib.sha256((machine / "big").read_bytes()).digest() == want, "the whole content")
    until(lambda: [line[1:] for line in shared.who("big")[:1]] == [(USER, "smb")], "the author")


def test_a_change_on_the_server_itself_has_no_author(shared: Shared, machine: Path) -> None:
    (shared.server.root / "by hand").write_bytes(b"x")
    seen(machine / "by hand", b"x")
    until(lambda: shared.who("by hand"), "the activity")
    assert {author for _, author, _ in shared.who("by hand")} == {None}


def test_a_stale_base_is_refused_before_the_watch_has_spoken(shared: Shared, tmp_path: Path) -> None:
    with shared.server.client() as client:
        root_id = client.get("/v1/root").json()["item_id"]
        target = f"/v1/items/{root_id}/children/contested/content"
        item = client.put(target, content=b"ours", headers={"if-none-match": "*"}).json()
        shared.samba.do(f'put "{local(tmp_path, "theirs", b"theirs, by SMB")}" contested')
        stale = {"if-match": f'"{item["content_version"]}"'}
        answer = client.put(f"/v1/items/{item['item_id']}/content", content=b"ours again", headers=stale)
        assert answer.status_code == 412
        assert answer.json()["current"]["size"] == len("theirs, by SMB")


def test_a_burst_is_not_missed(shared: Shared, machine: Path, tmp_path: Path) -> None:
    source = local(tmp_path, "source", b"burst")
    commands = ["mkdir burst", "cd burst"]
    for number in range(BURST):
        commands += [f'put "{source}" {number}', f"rename {number} n{number}"]
        commands += [f"del n{number}"] if number % 2 else []
    done = subprocess.run(
        shared.samba.words(), input="\n".join(commands), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    want = {f"n{number}" for number in range(0, BURST, 2)}
    assert {path.name for path in (shared.server.root / "burst").iterdir()} == want
    until(lambda: {path.name for path in (machine / "burst").iterdir()} == want, "exactly what is left")
    assert {(machine / "burst" / name).read_bytes() for name in want} == {b"burst"}
