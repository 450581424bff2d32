"""kill -9 of a client at its system calls: at each of a recorded run that changes the state directory, or sends
something.

`tests/crash/moments/sweeping.py` tells how many are tried, and what counts.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from cache import fsck
from cache.errors import NoDriveHere, StateUnusable
from tests.crash.client.script import BEFORE, SCRIPT, Tree, after, trees
from tests.crash.moments.killing import CHECKOUT, Watch, Zygote, in_each, library
from tests.crash.moments.sweeping import sweep, tried, workers
from tests.harness.server import ServerProcess
from tests.harness.trees import texts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx

PERFORMER = "tests.crash.client.performer"
RECORDINGS = 3
CALLS = (
    "fdatasync", "fsync", "pwrite", "torn pwrite", "write", "rename", "unlink", "link", "create", "ftruncate",
    "fallocate", "copy", "chmod", "chown", "utime", "mkdir", "send",
)  # fmt: skip
TREES = trees()
_SAME = (
    "fdatasync",
    "fsync",
    "syncfs",
    "write",
    "ftruncate",
    "fallocate",
    "rename",
    "link",
    "symlink",
    "unlink",
    "mkdir",
)
AS_TOLD = {
    **dict(zip(_SAME, _SAME, strict=True)),
    "pwrite64": "pwrite", "pwritev": "pwrite", "pwritev2": "pwrite", "writev": "write", "sync_file_range": "fdatasync",
    "truncate": "ftruncate", "renameat": "rename", "renameat2": "rename", "linkat": "link", "symlinkat": "symlink",
    "unlinkat": "unlink", "rmdir": "unlink", "mkdirat": "mkdir", "mknod": "create", "mknodat": "create",
    "chmod": "chmod", "fchmod": "chmod", "fchmodat": "chmod", "chown": "chown", "fchown": "chown", "fchownat": "chown",
    "lchown": "chown", "utimensat": "utime", "setxattr": "setxattr", "fsetxattr": "setxattr", "lsetxattr": "setxattr",
    "removexattr": "setxattr", "fremovexattr": "setxattr", "copy_file_range": "copy", "sendfile": "copy",
    "splice": "copy", "ioctl": "copy", "sendto": "send", "sendmsg": "send", "sendmmsg": "send",
}  # fmt: skip
"""System calls that change something, and what they are told as."""

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here: no call can be died at")


@dataclass(slots=True)
class Bench:
    """A server, and what starts clients on it; one thread at a time uses it."""

    folder: Path
    server: ServerProcess
    client: httpx.Client
    zygote: Zygote
    preloaded: Path
    used: int = 0

    def run(self, state: Path, name: str, watch: Watch | None, *rest: str) -> tuple[int, list[str]]:
        """One client process; its exit status and what it said."""
        environment = {"ANCHORFS_TOKEN": self.server.token or "", **(watch.environment if watch else {})}
        said = self.folder / f"{name}-{len(rest)}.out"
        status = self.zygote.start(PERFORMER, [self.server.url, str(state), name, *rest], environment, said).wait()
        lines = said.read_text().splitlines()
        said.unlink()
        assert status in {0, -9}, "\n".join(lines)
        return status, lines

    @contextlib.contextmanager
    def fresh(self) -> Iterator[tuple[str, str, Path]]:
        """A folder on the server with what is there before, its id, and a place for a state directory."""
        self.used += 1
        name = f"run{self.used:05}"
        root = self.client.get("/v1/root").json()["item_id"]
        folder_id = plant(self.client, root, name)
        state = self.folder / name
        yield name, folder_id, state
        folder = self.client.get(f"/v1/items/{folder_id}").json()
        clear = {"if-match": f'"{folder["metadata_version"]}"', "idempotency-key": f'"clear-{name}"'}
        everything = {"recursive": "true", "anchor": self.client.get("/v1/changes?limit=0").json()["anchor"]}
        self.client.delete(f"/v1/items/{folder_id}", params=everything, headers=clear).raise_for_status()
        shutil.rmtree(state)


def plant(client: httpx.Client, root: str, name: str) -> str:
    """The tree before the script; the id of its folder."""

    def made(parent: str, name: str) -> str:
        request = {"parent_id": parent, "name": name, "kind": "folder"}
        answer = client.post("/v1/items", json=request, headers={"idempotency-key": f'"{parent}-{name}"'})
        return str(answer.raise_for_status().json()["item_id"])

    ids = {"": made(root, name)}
    for path, text in BEFORE.items():
        above, _, last = path.rpartition("/")
        if text is None:
            ids[path] = made(ids[above], last)
        else:
            target = f"/v1/items/{ids[above]}/children/{last}/content"
            client.put(target, content=text, headers={"if-none-match": "*"}).raise_for_status()
    return ids[""]


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory, often: Callable[[int, int], int]) -> Iterator[list[Bench]]:
    """One for each worker."""
    with ExitStack() as stack:
        made = []
        preloaded = library(tmp_path_factory.mktemp("library"))
        for _ in range(workers(often)):
            folder = tmp_path_factory.mktemp("bench")
            server = stack.enter_context(ServerProcess(folder / "server"))
            client = stack.enter_context(server.client())
            made.append(Bench(folder, server, client, stack.enter_context(Zygote(preloaded, PERFORMER)), preloaded))
        yield made


@pytest.fixture(scope="module")
def recorded(benches: list[Bench]) -> list[str]:
    """The moments of a run, in order."""
    runs = []
    for _ in range(RECORDINGS):
        with benches[0].fresh() as (name, folder_id, state):
            watch = Watch(state, benches[0].folder / f"{name}.moments")
            status, said = benches[0].run(state, name, watch, folder_id)
            assert (status, json.loads(said[-1])) == (0, TREES[-1])
            runs.append(watch.moments())
    return in_each(runs)


def torn_writes(done: int) -> list[Tree]:
    """What is there, as on a disk, when only the first half of a program's bytes was written."""
    return [
        after(TREES[done], replace(step, more=step.more[: len(step.more) // 2]))
        for step in SCRIPT[done : done + 1]
        if step.word == "write"
    ]


def kill_at(bench: Bench, moment: str, *rest: str, torn: bool = False) -> bool:
    """One run that dies there; False when it did not come to it. What was done is there, once, on both sides."""
    with bench.fresh() as (name, folder_id, state):
        watch = Watch(state, bench.folder / f"{name}.moments", moment, torn)
        status, said = bench.run(state, name, watch, folder_id, *rest)
        killed = watch.killed(status)
        done = sum(line.startswith("done ") for line in said)
        with contextlib.nullcontext() if done else contextlib.suppress(StateUnusable, NoDriveHere):  # while it was made
            assert [str(each) for each in fsck.check(state, deep=True) if not each.heals] == []
        _, said = bench.run(state, name, None)
        shown = json.loads(said[-1])
        assert shown == texts_of(bench.server.root / name)
        halves = torn_writes(done) if torn and moment.startswith("pwrite blobs/") else []
        assert shown in TREES[done : done + 2] + halves, (
            f"after {done} steps ({SCRIPT[done - 1]}, then {SCRIPT[done:][:1]})"
        )
        assert fsck.check(state, deep=True) == []
        watch.log.unlink(missing_ok=True)
        return killed


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A row for each call."""
    if "call" in metafunc.fixturenames:
        metafunc.parametrize("call", tried(CALLS, metafunc.config))


def test_kill_at_each(benches: list[Bench], recorded: list[str], often: Callable[[int, int], int], call: str) -> None:
    sweep(call, recorded, often, benches, lambda bench, moment, torn: kill_at(bench, moment, torn=torn))


def test_a_write_that_was_torn_is_there_by_half_at_most(benches: list[Bench], recorded: list[str]) -> None:
    moment = next(moment for moment in recorded if moment.startswith("pwrite blobs/"))
    assert kill_at(benches[0], moment, torn=True)


def test_every_call_of_the_recorded_run_has_its_row(recorded: list[str]) -> None:
    assert {moment.split()[0] for moment in recorded} == {call.removeprefix("torn ") for call in CALLS}


def test_the_control_a_moment_that_a_run_does_not_come_to_does_not_count(benches: list[Bench]) -> None:
    assert not kill_at(benches[0], "unlink nowhere 1")


def test_the_control_a_broken_promise_is_found(benches: list[Bench], recorded: list[str]) -> None:
    """Who says "done" too early is killed with the first bytes of a program."""
    moment = next(moment for moment in recorded if moment.startswith("pwrite blobs/"))
    with pytest.raises(AssertionError, match=f"after {len(SCRIPT)} steps"):
        kill_at(benches[0], moment, "liar")


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace here: nothing to compare with")
def test_no_call_goes_past_what_is_told(benches: list[Bench]) -> None:
    bench = benches[0]
    with bench.fresh() as (name, folder_id, state):
        watch, log = Watch(state, bench.folder / "moments"), bench.folder / "strace"
        words = ["strace", "-f", "-y", "-o", str(log), "-e", f"trace={','.join(AS_TOLD)}"]
        code = "import sys, trio; from tests.crash.client.performer import main; trio.run(main, *sys.argv[1:])"
        told = {"ANCHORFS_TOKEN": bench.server.token or "", "LD_PRELOAD": str(bench.preloaded), **watch.environment}
        subprocess.run(
            [*words, sys.executable, "-c", code, bench.server.url, str(state), name, folder_id],
            cwd=CHECKOUT, env={**os.environ, "PYTHONPATH": str(CHECKOUT), **told}, stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
        seen: collections.Counter[str] = collections.Counter()
        for line in log.read_text(errors="replace").splitlines():
            call = re.match(r"\d+ +(\w+)\(", line)
            if call is None or (call[1] == "ioctl" and "FICLONE" not in line):  # the others change nothing
                continue
            if str(state) in line or call[1].startswith("send"):
                seen[AS_TOLD[call[1]]] += 1
        counted = collections.Counter(moment.split()[0] for moment in watch.moments())
        del counted["create"]  # most openings create nothing, and strace is not asked for them
        assert counted == seen
