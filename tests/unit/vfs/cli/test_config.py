"""What a mount is told: sizes, options of fstab, addresses, tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from sync.planner import Conflicts
from vfs.config import (
    ConfigError,
    MountConfig,
    Rates,
    default_cache_dir,
    parse_size,
    parse_url,
)
from vfs.credentials import read_token
from vfs.mount_options import parse_words, split_words

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("10G", 10 << 30), ("512 MiB", 512 << 20), ("1.5k", 1536), ("7", 7), ("2TB", 2 << 40)],
)
def test_sizes_are_read_in_powers_of_1024(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "G", "-1G", "10X", "0", "1e9", "0.1"])
def test_a_size_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="10G"):
        parse_size(text)


def test_what_fstab_says_to_everyone_is_accepted_and_ignored() -> None:
    said = parse_words(split_words(["_netdev,nofail,user,noauto,x-systemd.automount,x-gvfs-name=Drive,defaults,rw"]))
    assert said == {"read_only": False}


def test_our_options_are_read_and_the_later_word_wins() -> None:
    told = ["ro,cache_size=5G", "allow_other,noexec,token_file=/t,poll_interval=2.5,cache_size=6G"]
    assert parse_words(split_words(told)) == {
        "read_only": True, "allow_other": True, "cache_size_bytes": 6 << 30,
        "token_file": "/t", "poll_interval_s": 2.5, "kernel_options": ("noexec",),
    }  # fmt: skip


def test_conflicts_are_a_choice_of_three() -> None:
    assert [parse_words([f"conflicts={word}"])["conflicts"] for word in Conflicts] == list(Conflicts)
    with pytest.raises(ConfigError, match="copy, server-wins, client-wins"):
        parse_words(["conflicts=theirs"])


@pytest.mark.parametrize("word", ["chache_size=1G", "cache_dir", "token_file=", "poll_interval=-1", "log_level=loud"])
def test_an_option_that_nobody_knows_is_refused_by_name(word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_words([word])
    assert word.rpartition("=")[2 if word.startswith(("poll", "log")) else 0].strip("=") in str(caught.value)


def test_a_token_among_the_options_is_refused_without_repeating_it() -> None:
    with pytest.raises(ConfigError, match="token_file") as caught:
        parse_words(["token=s3cret"])
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "ftp://host",
        "host:8420",
        "http://",
        "http://host:0",
        "http://host:99999",
        "http://h/?a=1",
        "http://h/#x",
    ],
)
def test_an_address_that_is_no_drive_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_url(text)


def test_an_address_with_a_password_is_refused_without_repeating_it() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url("https://me:s3cret@host/")
    assert "s3cret" not in str(caught.value)


def test_the_same_drive_has_one_folder_with_and_without_a_trailing_slash() -> None:
    environment = {"XDG_STATE_HOME": "/s"}
    one, other = parse_url("https://host:8/d/"), parse_url("https://host:8/d")
    assert default_cache_dir(one, environment) == default_cache_dir(other, environment)
    assert default_cache_dir("https://host:8/e", environment) != default_cache_dir(one, environment)


def test_a_private_token_file_wins_over_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    file.chmod(0o600)
    assert read_token(str(file), {"ANCHORFS_TOKEN": "from-env"}) == "from-file"
    assert read_token(None, {"ANCHORFS_TOKEN": "from-env"}) == "from-env"
    assert read_token(None, {}) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_token_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    file.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600") as caught:
        read_token(str(file), {})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"two words", b"\xff\xfe"])
def test_a_token_file_without_one_token_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(ConfigError, match=str(file)):
        read_token(str(file), {})


def test_a_configuration_crosses_a_pipe_whole_and_never_shows_its_token() -> None:
    config = MountConfig(url="http://h", mountpoint="/m", cache_dir="/c", token="s3cret", kernel_options=("noexec",))
    assert msgspec.json.decode(msgspec.json.encode(config), type=MountConfig) == config
    assert "s3cret" not in repr(config) + str(config)


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("1M", Rates(up=1 << 20, down=1 << 20)),
        ("512K:4M", Rates(up=512 << 10, down=4 << 20)),
        ("off:100", Rates(up=None, down=100)),
        ("64K:off", Rates(up=64 << 10, down=None)),
        ("off", Rates()),
    ],
)
def test_rates(text: str, rates: Rates) -> None:
    assert parse_words([f"bwlimit={text}"]) == {"rates": rates}


@pytest.mark.parametrize("text", ["0", "-1M", "1M:", ":", "fast", "1:2:3"])
def test_rates_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_words([f"bwlimit={text}"])
