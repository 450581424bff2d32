"""Programs that we did not write, as clients of the server and as users of a mount.

tus clients: Python ones from the development group, the JavaScript one by npm into a cache. `first` is checked when
the tests of a module are over: the mount leaves in order, and fsck finds nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.harness.drives import Drive, drive, one, second, served, two
from tests.harness.server import ServerProcess
from tests.interop.rest import stopped_in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.harness.mount import Mount

__all__ = ["drive", "one", "second", "served", "two"]

HERE = Path(__file__).parent / "tus_js"
INSTALL_WITHIN_S = 180.0
RUN_WITHIN_S = 60.0


class RunTusJs(Protocol):
    """Run tus-js-client in a process of its own; what it printed."""

    def __call__(self, **task: object) -> dict[str, Any]: ...


@pytest.fixture(scope="module")
def first(drive: Drive) -> Iterator[Mount]:
    """The first mount of the module."""
    mount = drive.mount("one")
    yield mount
    stopped_in_order(mount)


@pytest.fixture
def offer(tmp_path: Path) -> Iterator[Callable[[bytes], str]]:
    """Offers bytes for download, of which parts can be asked for; the URL."""
    with ServerProcess(tmp_path / "origin", auth=False) as origin, origin.client() as client:

        def put(data: bytes) -> str:
            root = client.get("/v1/root").json()["item_id"]
            made = client.put(
                f"/v1/items/{root}/children/big.bin/content", content=data, headers={"If-None-Match": "*"}
            )
            return f"{origin.url}/v1/items/{made.raise_for_status().json()['item_id']}/content"

        yield put


def cache_folder() -> Path:
    """Outside the checkout, one per lock file."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:16]
    return base / "anchorfs-tests" / f"tus-js-{key}"


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """tus-js-client exactly as the lock file names it."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed; scripts/setup installs them")
    folder = cache_folder()
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            subprocess.run(command, cwd=folder, capture_output=True, timeout=INSTALL_WITHIN_S, check=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"npm cannot fetch tus-js-client here: {error}")
        (folder / "done").touch()
    return folder / "node_modules"


@pytest.fixture
def run_tus_js(node_modules: Path) -> RunTusJs:
    def run(**task: object) -> dict[str, Any]:
        done = subprocess.run(
            ["node", str(HERE / "upload.mjs"), json.dumps(task)],
            env={**os.environ, "NODE_PATH": str(node_modules)},
            capture_output=True,
            timeout=RUN_WITHIN_S,
            check=False,
        )
        assert done.stdout, done.stderr.decode()
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told

    return run
