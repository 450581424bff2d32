"""Where tokens are kept, and that nobody else can read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keyring
import pytest
from keyring.backend import KeyringBackend

from vfs.config import ConfigError
from vfs.credentials import find_token, forget_token, store_token, stored_token

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

URL = "https://drive.example.org"


class Wallet(KeyringBackend):
    """A keyring in memory."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def wallet() -> Iterator[Wallet]:
    before = keyring.get_keyring()
    made = Wallet()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


def test_a_private_file_where_there_is_no_keyring(tmp_path: Path) -> None:
    environment = {"XDG_STATE_HOME": str(tmp_path)}
    where = store_token(URL, "s3cret", environment)
    assert where == str(tmp_path / "anchorfs/credentials.json")
    kept = tmp_path / "anchorfs/credentials.json"
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    store_token("https://other", "another", environment)
    assert (stored_token(URL, environment), stored_token("https://none", environment)) == ("s3cret", None)
    assert (forget_token(URL, environment), forget_token(URL, environment)) == (True, False)
    assert (stored_token(URL, environment), stored_token("https://other", environment)) == (None, "another")
    assert [path.name for path in kept.parent.iterdir()] == ["credentials.json"]


def test_the_keyring_of_a_session(tmp_path: Path, wallet: Wallet) -> None:
    environment = {"XDG_STATE_HOME": str(tmp_path), "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"}
    assert store_token(URL, "s3cret", environment) == "the keyring"
    assert list(wallet.kept) == [("anchorfs", URL)]
    assert stored_token(URL, environment) == "s3cret"
    assert not list(tmp_path.iterdir())
    assert (forget_token(URL, environment), stored_token(URL, environment)) == (True, None)


def test_what_is_named_wins_over_what_is_kept(tmp_path: Path) -> None:
    environment = {"XDG_STATE_HOME": str(tmp_path)}
    store_token(URL, "kept", environment)
    file = tmp_path / "token"
    file.write_text("of the file\n".replace(" ", "-"))
    file.chmod(0o600)
    told = environment | {"ANCHORFS_TOKEN": "of-the-environment"}
    assert find_token(URL, str(file), told) == "of-the-file"
    assert find_token(URL, None, told) == "of-the-environment"
    assert find_token(URL, None, environment) == "kept"


@pytest.mark.parametrize("damage", [b"{", b"\xff", b'{"credentials": {"u": {"kind": "unknown"}}}'])
def test_a_damaged_store_is_told_and_kept(tmp_path: Path, damage: bytes) -> None:
    kept = tmp_path / "anchorfs/credentials.json"
    kept.parent.mkdir()
    kept.write_bytes(damage)
    kept.chmod(0o600)
    environment = {"XDG_STATE_HOME": str(tmp_path)}
    with pytest.raises(ConfigError, match=str(kept)):
        store_token(URL, "s3cret", environment)
    assert kept.read_bytes() == damage
    kept.chmod(0o644)
    with pytest.raises(ConfigError):
        stored_token(URL, environment)
