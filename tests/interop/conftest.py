"""Clients that we did not write: Python ones from the development group, the JavaScript one by npm into a cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Protocol

import pytest

HERE = Path(__file__).parent / "tus_js"
INSTALL_WITHIN_S = 180.0
RUN_WITHIN_S = 60.0


class RunTusJs(Protocol):
    """Run tus-js-client in a process of its own; what it printed."""

    def __call__(self, **task: object) -> dict[str, Any]: ...


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
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=INSTALL_WITHIN_S, check=False)
        assert done.returncode == 0, done.stderr.decode()
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
