"""vfs/JSON.md against what the commands print."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.drives import converge

if TYPE_CHECKING:
    from tests.harness.drives import Drive
    from tests.harness.mount import Mount

pytestmark = pytest.mark.fuse

TABLE = Path(__file__).resolve().parents[2] / "vfs/JSON.md"


def members(command: str) -> tuple[set[str], set[str]]:
    """Of the document, and of the rows in its list, as the table tells them."""
    (told,) = re.findall(rf"^\| `{re.escape(command)}`[^|]*\| (.*) \|$", TABLE.read_text(), re.MULTILINE)
    document, _, rows = told.partition(":")
    return set(re.findall(r"`([a-z_]+)`", document)), set(re.findall(r"`([a-z_]+)`", rows))


def printed(mount: Mount, *words: str) -> dict[str, Any]:
    done = mount.command(*words, "--json")
    # whether all is well is not asked here: a mount that does not answer for 3 s is not
    assert done.returncode == 0 or words == ("doctor",), done.stderr
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return document


def test_the_table_is_what_is_printed(drive: Drive, first: Mount, one: Path, two: Path) -> None:
    where, file = str(first.path), one / "letter.txt"
    for text in ("one", "two"):
        file.write_text(text)
        first.sync()
    (one / "gone").write_text("x")
    first.sync()
    (one / "gone").unlink()
    converge(first, drive.mounts["two"])
    assert (two / "letter.txt").read_text() == "two"
    asked = {
        "status DIR": ("status", where), "stat PATH": ("stat", str(file)), "versions PATH": ("versions", str(file)),
        "trash": ("trash", where), "search TEXT": ("search", "letter", where), "ls": ("ls", str(one)),
        "conflicts": ("conflicts", "list", where),
        "queue": ("queue", where), "pins": ("pins", where), "retry": ("retry", where), "stats": ("stats",),
        "doctor": ("doctor",), "config show": ("config", "show"), "restore": ("restore", str(file)),
        "cache inspect": ("cache", "inspect", where), "status": ("status",),
    }  # fmt: skip
    for command, words in asked.items():
        document = printed(first, *words)
        told, rows = members(command) if command != "stat PATH" else (members("ls")[1] - {"state", "sync"}, set())
        assert told <= document.keys(), command
        if command == "status DIR":
            assert document.keys() == told
        listed = next((value for value in document.values() if isinstance(value, list) and value), [])
        if command not in {"status", "stats"}:
            assert all(rows <= row.keys() for row in listed), command
    line = json.loads(first.command("activity", where, "--json").stdout.splitlines()[0])
    assert line.keys() == members("activity")[0]


def test_the_table_is_what_is_printed_by_commands_that_act(first: Mount, one: Path, tmp_path: Path) -> None:
    where = str(first.path)
    (one / "sent").write_text("x")
    asked = {
        "sync --wait": ("sync", where, "--wait"), "pause": ("pause", where), "cache clear": ("cache", "clear", where),
        "diagnose": ("diagnose", "--output", str(tmp_path / "bundle.tar.gz")),
    }  # fmt: skip
    for command, words in asked.items():
        document = printed(first, *words)
        if command == "pause":
            assert printed(first, "resume", where) == {"paused": False}
        told, _ = members(command)
        assert told & document.keys() == told - {"status"}, command
