"""`doctor` and `diagnose` of a real mount: what they find, and what they keep to themselves."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.harness.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.mount import Mount
    from tests.harness.server import ServerProcess

pytestmark = pytest.mark.fuse


def bundle(mount: Mount, path: Path, *words: str) -> dict[str, bytes]:
    done = mount.command("diagnose", "--output", str(path), *words)
    assert done.returncode == 0, done.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as tar:
        return {each.name.partition("/")[2]: tar.extractfile(each).read() for each in tar.getmembers()}  # type: ignore[union-attr]


def test_a_bundle_tells_no_secret_and_no_name_unless_asked(mount: Mount, server: ServerProcess, tmp_path: Path) -> None:
    (mount.path / "private-letter.txt").write_text("x")
    mount.sync()
    plain = bundle(mount, tmp_path / "plain.tar.gz")
    numbers = json.loads(plain["mounts.json"])
    assert numbers[0]["connection"] == "online"
    assert json.loads(plain["machine.json"])["packages"]["pyfuse3"]
    assert server.token is not None
    for told in (str(mount.path), "private-letter", server.url, server.token):
        assert told.encode() not in b"".join(plain.values())
    full = bundle(mount, tmp_path / "full.tar.gz", "--names")
    assert str(mount.path).encode() in full["mounts.json"]
    assert server.token.encode() not in b"".join(full.values())
    again = mount.command("diagnose", "--output", str(tmp_path / "plain.tar.gz"), "--json")
    assert again.returncode == 1  # what is there is not overwritten


def test_doctor_says_what_is_wrong_and_the_way_out(mount: Mount, server: ServerProcess, tmp_path: Path) -> None:
    def texts(status: int) -> str:
        told: list[str] = []

        def is_told() -> bool:
            done = mount.command("doctor", "--json")
            told[:] = [f"{found['ok']} {found['text']}" for found in json.loads(done.stdout)["findings"]]
            return done.returncode == status

        until(is_told, f"exit status {status}")  # a mount that does not answer for 3 s is not well
        return "\n".join(told)

    well = texts(0)
    assert "True" in well
    assert "free for its cache" in well
    (tmp_path / "config.toml").write_text("[defaults]\nnonsense = 1\n")
    mount.environment["ANCHORFS_CONFIG"] = str(tmp_path / "config.toml")
    assert "False nonsense is no mount option" in texts(1)
    del mount.environment["ANCHORFS_CONFIG"]
    server.stop()
    until(lambda: "offline" in mount.command("status", str(mount.path)).stdout, "the mount to know")
    assert "False" in (told := texts(1))
    assert "is the server running" in told
