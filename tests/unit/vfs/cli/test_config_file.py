"""Mounts by name, and which place wins: the file, the environment, `-o`, flags."""

from __future__ import annotations

from pathlib import Path

import pytest

from vfs.cli.options import Given, make_config
from vfs.config import ConfigError
from vfs.config_file import read_config
from vfs.failure import Failure
from vfs.mount_options import words_of, words_of_environment

FILE = """
[defaults]
cache_size = "1G"
ro = true
poll_interval = 5

[mounts.work]
url = "https://drive.example.org/"
mountpoint = "~/Work"
cache_size = "2G"
ro = false
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A home with that file."""
    (tmp_path / ".config/anchorfs").mkdir(parents=True)
    (tmp_path / ".config/anchorfs/config.toml").write_text(FILE)
    return {"HOME": str(tmp_path)}


def test_a_mount_by_its_name(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", environment["HOME"])
    config = make_config(Given(url="work", mountpoint=None), environment)
    assert (config.url, config.mountpoint) == ("https://drive.example.org", f"{environment['HOME']}/Work")
    assert (config.cache_size_bytes, config.read_only, config.poll_interval_s) == (2 << 30, False, 5.0)
    elsewhere = make_config(Given(url="work", mountpoint="/mnt/elsewhere"), environment)
    assert elsewhere.mountpoint == "/mnt/elsewhere"


def test_later_places_win(environment: dict[str, str]) -> None:
    by_file = Given(url="work", mountpoint="/m")
    by_option = Given(url="work", mountpoint="/m", mount_options=["cache_size=4G"])
    by_flag = Given(url="work", mountpoint="/m", mount_options=["cache_size=4G"], cache_size="5G")
    told = environment | {"ANCHORFS_CACHE_SIZE": "3G"}
    sizes = [make_config(by_file, environment), *(make_config(given, told) for given in (by_file, by_option, by_flag))]
    assert [config.cache_size_bytes >> 30 for config in sizes] == [2, 3, 4, 5]


def test_an_address_has_the_defaults(environment: dict[str, str]) -> None:
    config = make_config(Given(url="http://h:1", mountpoint="/m"), environment)
    assert (config.read_only, config.cache_size_bytes) == (True, 1 << 30)


def test_no_file_says_nothing_and_a_named_one_has_to_be_there(tmp_path: Path) -> None:
    assert read_config({"HOME": str(tmp_path)}).mounts == {}
    with pytest.raises(ConfigError, match="no such file"):
        read_config({"ANCHORFS_CONFIG": str(tmp_path / "absent")})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mounts = 3", "mounts is no table"),
        ("[mount.work]", "'mount' is neither"),
        ("[mounts.work]\nmountpoint='/m'", "mounts.work needs a url"),
        ("[mounts.work]\nurl='http://h'\nmountpoint=3", "mountpoint = 3"),
        ("[mounts.work", "config.toml"),
        ("\udcff", "config.toml"),
    ],
)
def test_a_wrong_file_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=told):
        read_config({"ANCHORFS_CONFIG": str(file)})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (Given(url="home", mountpoint="/m"), "no mount of .*work"),
        (Given(url="http://h", mountpoint=None), "MOUNTPOINT"),
        (
            Given(url="http://h", mountpoint="/m", mount_options=["nonsense"]),
            "-o: nonsense is no mount option; A",
        ),
        (Given(url="http://h", mountpoint="/m", mount_options=["cach_size=1G"]), "did you mean cache_size"),
        (Given(url="http://h", mountpoint="/m", mount_options=["cache_size="]), "cache_size wants a value"),
        (Given(url="127.0.0.1:8420", mountpoint="/m"), "did you mean https://127.0.0.1:8420"),
    ],
)
def test_what_cannot_be_meant_is_told(environment: dict[str, str], given: Given, told: str) -> None:
    with pytest.raises(Failure, match=told):
        make_config(given, environment)


def test_a_wrong_setting_is_told_with_its_place(environment: dict[str, str]) -> None:
    file = Path(environment["HOME"]) / ".config/anchorfs/config.toml"
    file.write_text(file.read_text().replace("[defaults]", "[defaults]\nfree_spice = 1", 1))
    with pytest.raises(Failure, match=r"toml: defaults: free_spice is no mount option; did you mean free_space"):
        make_config(Given(url="work", mountpoint=None), environment)
    with pytest.raises(Failure, match="an ANCHORFS_ variable: size 'much'"):
        make_config(Given(url="http://h", mountpoint="/m"), {"ANCHORFS_CACHE_SIZE": "much"})


def test_values_of_other_kinds_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"defaults: rules = \[1\]"):
        words_of({"rules": [1]}, "defaults")
    assert words_of({"ro": True, "allow_other": False, "poll_interval": 2.5}, "x") == ["ro", "poll_interval=2.5"]
    assert words_of({"ro": False}, "x") == ["rw"]


def test_a_secret_in_the_environment_is_no_option() -> None:
    assert words_of_environment({"ANCHORFS_TOKEN": "s3cret", "ANCHORFS_PUSH": "review"}) == ["push=review"]
