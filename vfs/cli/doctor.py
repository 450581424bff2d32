"""`anchorfs doctor`: what this machine lacks for a mount, and what dead processes left behind; it cleans the
latter."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from rich.markup import escape

from vfs import mountpoint as table
from vfs.cli.asking import registry
from vfs.cli.preflight import FUSE_DEVICE, is_dead
from vfs.cli.printing import Json, out, print_json, reporting
from vfs.failure import ExitStatus


@reporting
def doctor(as_json: Json = False) -> int:
    """Check this machine, and clean up mounts whose process died."""
    findings = [*_machine(), *_mounts()]
    well = all(finding["ok"] for finding in findings)
    if as_json:
        print_json({"ok": well, "findings": findings})
    else:
        for finding in findings:
            mark = "[green]ok[/]  " if finding["ok"] else "[red]fail[/]"
            out.print(f"{mark} {escape(str(finding['text']))}")
    return ExitStatus.DONE if well else ExitStatus.FAILED


def _finding(text: str, *, ok: bool) -> dict[str, object]:
    return {"ok": ok, "text": text}


def _machine() -> list[dict[str, object]]:
    usable = FUSE_DEVICE.exists() and os.access(FUSE_DEVICE, os.R_OK | os.W_OK)
    tool = shutil.which("fusermount3")
    kernel = Path("/proc/sys/kernel/osrelease").read_text(encoding="ascii").strip()
    return [
        _finding(f"{FUSE_DEVICE} {'can be opened' if usable else 'is missing or closed to this user'}", ok=usable),
        _finding(f"fusermount3: {tool or 'not installed (apt-get install fuse3)'}", ok=tool is not None),
        _finding(f"kernel {kernel}", ok=True),
    ]


def _mounts() -> list[dict[str, object]]:
    ours = registry()
    findings = []
    for entry in table.mounts():
        record = ours.find(entry.path)
        if record is not None:
            health = table.probe(entry.path)
            text = f"{entry.path} (process {record.pid}): {health}"
            findings.append(_finding(text, ok=health is table.Health.ALIVE))
        elif is_dead(entry.path, ours):
            reason = table.clear_dead(entry)
            text = f"{entry.path}: its process died; {reason or 'the dead mount is taken away'}"
            findings.append(_finding(text, ok=reason is None))
    return findings
