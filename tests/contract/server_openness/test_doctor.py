"""The doctor finds what is wrong, says it, and changes nothing."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from server_stub.doctor import Patient, examine
from tests.harness.server import CHECKOUT, ServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def doctor(server: ServerProcess, *options: str) -> subprocess.CompletedProcess[str]:
    words = ["doctor", "--root", str(server.root), "--state", str(server.state), *options]
    command = [sys.executable, "-m", "server_stub", *words]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)


def wrong(server: ServerProcess) -> list[tuple[str, str]]:
    """What is wrong, by subject."""
    done = doctor(server, "--json")
    found = [(each["subject"], each["text"]) for each in json.loads(done.stdout) if each["verdict"] == "WRONG"]
    assert done.returncode == (1 if found else 0)
    return found


def damage(server: ServerProcess, statement: str) -> None:
    with closing(sqlite3.connect(server.state / "drive.db")) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(statement)
        connection.commit()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A drive with a file of which an older content is kept, and a deleted one."""
    with ServerProcess(tmp_path) as running, running.client() as client:
        root = client.get("/v1/root").json()["item_id"]
        path = f"/v1/items/{root}/children/f/content"
        made = client.put(path, content=b"old", headers={"if-none-match": "*"}).json()
        base = {"if-match": f'"{made["content_version"]}"'}
        client.put(f"/v1/items/{made['item_id']}/content", content=b"new", headers=base)
        yield running


def test_a_sound_drive_running_and_at_rest(server: ServerProcess) -> None:
    assert wrong(server) == []
    assert "running, items 2" in doctor(server).stdout
    server.stop()
    before = (server.state / "drive.db").read_bytes()
    assert wrong(server) == []
    assert "not running" in doctor(server).stdout
    assert (server.state / "drive.db").read_bytes() == before


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE items SET parent_id = 'nowhere' WHERE name = 'f'", "1 items without a folder"),
        ("UPDATE meta SET value = '0' WHERE key = 'seq'", "changes newer than the newest"),
        ("UPDATE items SET content_version = NULL WHERE name = 'f'", "1 contents without a version"),
        ("PRAGMA user_version = 99", "schema version 99"),
    ],
)
def test_broken_laws_of_the_index(server: ServerProcess, statement: str, told: str) -> None:
    server.stop()
    damage(server, statement)
    findings = wrong(server)
    assert any(subject == "index" and told in text for subject, text in findings), findings


def test_missing_contents_open_state_and_damaged_files(server: ServerProcess) -> None:
    server.stop()
    (kept,) = (server.state / "vault" / "kept").iterdir()
    kept.rename(kept.with_name("elsewhere"))
    server.state.chmod(0o755)
    (server.state / "tokens.json").write_text("{")
    subjects = {subject for subject, _ in wrong(server)}
    assert subjects == {"vault", "state", "tokens"}
    (server.state / "drive.db").write_bytes(b"no database at all" * 1000)
    assert "index" in {subject for subject, _ in wrong(server)}


def test_no_state_is_told_as_configuration(tmp_path: Path) -> None:
    fresh = ServerProcess(tmp_path)
    done = doctor(fresh)
    assert (done.returncode, "no state yet" in done.stderr) == (78, True)


@pytest.mark.parametrize(
    ("watch", "verdict"),
    [
        ("fanotify watching", "ok"),
        ("off: changes that others make are found by scans", "ok"),
        ("fanotify catching up: a scan failed: a disk not mounted?", "note"),
        ("down: no room for watches", "note"),
    ],
)
def test_what_the_watch_is_short_of_is_worth_knowing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watch: str, verdict: str
) -> None:
    monkeypatch.setattr("server_stub.doctor.ask", lambda *_, **__: {"watch": watch})
    patient = Patient(root=tmp_path, state=tmp_path, database=tmp_path / "drive.db", tokens=tmp_path / "tokens.json")
    assert [each.verdict for each in examine(patient) if each.text == f"watch: {watch}"] == [verdict]
