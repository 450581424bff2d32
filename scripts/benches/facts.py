"""What a figure is worth nothing without: the machine, the versions, the settings."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.benches.running import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Sequence


def of_machine() -> dict[str, str]:
    """Where and when, and what of ours was measured."""
    load_1, load_5, _ = os.getloadavg()
    return {
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} x {_processor()}, Linux {platform.release()}, load {load_1:.1f} ({load_5:.1f})",
        "AnchorFS": f"{_commit()}, Python {platform.python_version()}, pyfuse3 {version('pyfuse3')}, default options",
    }


def of_rclone(program: Path, mount_options: Sequence[str]) -> dict[str, str]:
    """Its version and how it is mounted."""
    first_line = _output([str(program), "--config", "/dev/null", "version"]).splitlines()[0]
    return {"rclone": f"{first_line}, mount {' '.join(mount_options)} over rclone serve webdav"}


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    git = ["git", "-C", str(CHECKOUT)]
    changed = _output([*git, "status", "--porcelain", "--untracked-files=no", "--", "vfs", "cache", "sync"])
    return _output([*git, "rev-parse", "--short", "HEAD"]).strip() + (" and changes" if changed else "")


def _output(words: list[str]) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout
