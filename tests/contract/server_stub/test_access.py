"""Tokens, roots and rights; where the server may listen; one server per state."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.harness.server import CHECKOUT, ServerProcess
from tests.harness.waiting import DEADLINE_S

from .conftest import Api

if TYPE_CHECKING:
    from pathlib import Path


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server_stub", *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def make_token(tokens: Path, *options: str) -> str:
    made = command("token", "create", "--tokens", str(tokens), *options)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def test_without_a_token_nothing_is_told(shared_server: ServerProcess) -> None:
    for headers in ({}, {"authorization": "Bearer anchor_x_y"}, {"authorization": "Basic eDp5"}):
        answer = httpx.get(shared_server.url + "/v1/root", headers=headers, timeout=DEADLINE_S)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["code"] == "unauthorized"


def test_first_start_makes_a_private_token(shared_server: ServerProcess) -> None:
    assert shared_server.token_file is not None
    assert shared_server.token_file.stat().st_mode & 0o777 == 0o600
    assert (shared_server.state / "tokens.json").stat().st_mode & 0o777 == 0o600
    assert shared_server.token not in (shared_server.state / "tokens.json").read_text()
    assert shared_server.token not in shared_server.log_tail()


def test_a_token_sees_nothing_outside_its_root(tmp_path: Path, tokens: Path) -> None:
    everything = make_token(tokens, "--name", "all")
    limited = make_token(tokens, "--name", "some", "--root", "/inside")
    reader = make_token(tokens, "--name", "eyes", "--read-only")
    (tmp_path / "root" / "inside").mkdir(parents=True)
    (tmp_path / "root" / "secret.txt").write_text("s")
    with ServerProcess(tmp_path, options=("--tokens", str(tokens))) as server:
        with server.client(token=everything) as whole, server.client(token=limited) as part:
            api, small = Api(whole), Api(part)
            root, inside = api.root(), small.root()
            assert (inside["name"], inside["parent_id"]) == ("", None)
            secret = api.children(root["item_id"])["secret.txt"]
            for item_id in (secret["item_id"], root["item_id"]):
                assert small.item(item_id).status_code == 404
            assert small.content(secret).status_code == 404
            anchor = small.anchor()
            mine = small.write_new(inside["item_id"], "mine", b"m").json()
            api.overwrite(secret, b"new")
            assert [change["item"]["name"] for change in small.changes(anchor)["changes"]] == ["mine"]
            anchor = small.anchor()
            seen = api.item(mine["item_id"]).json()
            assert api.patch(seen, parent_id=root["item_id"]).status_code == 200
            (left,) = small.changes(anchor)["changes"]
            assert (left["type"], left["reason"], left["item_id"]) == (
                "deleted",
                "not_visible",
                mine["item_id"],
            )
            assert small.create(root["item_id"], "escape").status_code == 404
        with server.client(token=reader) as eyes:
            api = Api(eyes)
            assert api.root()["capabilities"] == ["read"]
            assert api.create(api.root()["item_id"], "d").json()["code"] == "forbidden"
        assert command("token", "revoke", "--tokens", str(tokens), "eyes").returncode == 0
        with server.client(token=reader) as eyes:
            assert eyes.get("/v1/root").status_code == 401


@pytest.mark.parametrize("options", [("--listen", "0.0.0.0:0"), ("--listen", "0.0.0.0:0", "--no-auth")])
def test_no_listening_beyond_loopback_without_tokens(tmp_path: Path, options: tuple[str, ...]) -> None:
    refused = command("serve", "--root", str(tmp_path), "--state", str(tmp_path / "s"), *options)
    assert refused.returncode == 78
    assert "--tokens" in refused.stderr


def test_clear_word_for_a_missing_root_and_a_used_state(shared_server: ServerProcess, tmp_path: Path) -> None:
    missing = command("serve", "--root", str(tmp_path / "none"), "--listen", "127.0.0.1:0")
    assert (missing.returncode, "not a directory" in missing.stderr) == (78, True)
    state = str(shared_server.state)
    second = command("serve", "--root", str(shared_server.root), "--state", state, "--listen", "127.0.0.1:0")
    assert (second.returncode, "another server" in second.stderr) == (75, True)


def test_open_tokens_file_is_refused(tmp_path: Path, tokens: Path) -> None:
    make_token(tokens, "--name", "x")
    tokens.chmod(0o644)
    refused = command(
        "serve",
        "--root",
        str(tmp_path),
        "--state",
        str(tmp_path / "s"),
        "--listen",
        "127.0.0.1:0",
        "--tokens",
        str(tokens),
    )
    assert (refused.returncode, "chmod 600" in refused.stderr) == (78, True)
