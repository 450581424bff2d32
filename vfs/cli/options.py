"""The options that `mount` and `run` share, and the MountConfig made of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vfs.config import (
    ConfigError,
    MountConfig,
    check_exposure,
    default_cache_dir,
    parse_floor,
    parse_log_level,
    parse_push,
    parse_size,
    parse_url,
    short_hash,
    state_home,
)
from vfs.config_file import ConfiguredMount, config_path, read_config
from vfs.credentials import find_token
from vfs.failure import ExitStatus, Failure
from vfs.kernel_mount import passed_fd, place_of
from vfs.mount_options import parse_words, split_words, words_of, words_of_environment
from vfs.mountpoint import absolute
from vfs.rulefile import read_rules

if TYPE_CHECKING:
    from collections.abc import Sequence

Url = Annotated[
    str,
    typer.Argument(help="Address of the drive, http(s)://HOST[:PORT], or a mount's name in config.toml."),
]
MountOptions = Annotated[
    list[str] | None,
    typer.Option("-o", help="Options as in fstab, like ro,cache_size=20G; `anchorfs config options` tells all."),
]
CacheDir = Annotated[str | None, typer.Option(help="Where bytes and unsent changes are kept.", metavar="DIR")]
CacheSize = Annotated[str | None, typer.Option(help="How much may be kept, like 10G.", metavar="SIZE")]
FreeSpace = Annotated[str | None, typer.Option(help="Room to leave on that disk, like 1G; 0: none.", metavar="SIZE")]
TokenFile = Annotated[
    str | None, typer.Option(help="Private file (0600) with the token; else ANCHORFS_TOKEN.", metavar="FILE")
]
ReadOnly = Annotated[bool, typer.Option("--read-only", help="Nothing can be changed through the mount.")]
Push = Annotated[str | None, typer.Option(help="auto, or review: changes wait for `anchorfs approve`.", metavar="MODE")]
LogLevel = Annotated[str | None, typer.Option(help="debug, info, warning or error.", metavar="LEVEL")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What stood on the command line; it wins over `-o`."""

    url: str
    mountpoint: str | None
    mount_options: Sequence[str] = ()
    cache_dir: str | None = None
    cache_size: str | None = None
    free_space: str | None = None
    token_file: str | None = None
    read_only: bool = False
    push: str | None = None
    log_level: str | None = None


def make_config(given: Given, environment: dict[str, str]) -> MountConfig:
    """The checked configuration; Failure (78) names what is wrong. Later wins: file, environment, `-o`, flags."""
    try:
        return _config(given, environment)
    except ConfigError as error:
        raise Failure("configuration", str(error), status=ExitStatus.CONFIGURATION) from error


def layers(given: Given, environment: dict[str, str]) -> tuple[ConfiguredMount, list[tuple[str, list[str]]]]:
    """The mount that is meant, and the words of each place that says something, with its name. ConfigError."""
    file = read_config(environment)
    mount = ConfiguredMount(url=given.url, mountpoint=None, options={})
    if "://" not in given.url:
        mount = file.mount(given.url)
    return mount, [
        ("defaults", words_of(file.defaults, f"{file.path}: defaults")),
        (f"mounts.{given.url}", words_of(mount.options, f"{file.path}: mounts.{given.url}")),
        ("environment", words_of_environment(environment)),
        ("-o", split_words(given.mount_options)),
    ]


def _config(given: Given, environment: dict[str, str]) -> MountConfig:
    mount, told = layers(given, environment)
    said = _said(told, environment) | _flags(given)
    url = parse_url(mount.url)
    check_exposure(url, insecure_http=bool(said.get("insecure_http")))
    mountpoint = given.mountpoint or mount.mountpoint
    if mountpoint is None:
        raise ConfigError(f"where is it to be mounted? anchorfs mount {given.url} MOUNTPOINT")
    folder, token_file, rules = (said.pop(name, None) for name in ("cache_dir", "token_file", "hydration_rules"))
    cache_dir = _absolute_dir(folder) if folder else str(default_cache_dir(url, environment))
    fuse_fd = passed_fd(mountpoint)
    place = os.path.expanduser(mountpoint) if fuse_fd is None else place_of(fuse_fd)  # noqa: PTH111
    return MountConfig(
        url=url,
        mountpoint=absolute(place) if place else f"{mountpoint} ({cache_dir})",  # one name for each mount
        cache_dir=cache_dir,
        fuse_fd=fuse_fd,
        rules=read_rules(rules, environment),
        token=find_token(url, token_file, environment),
        **said,
    )


def _said(told: list[tuple[str, list[str]]], environment: dict[str, str]) -> dict[str, Any]:
    """What all places say, the later ones over the earlier; ConfigError names the place."""
    said: dict[str, Any] = {}
    for place, words in told:
        try:
            said |= parse_words(words)
        except ConfigError as error:
            where = {"-o": "-o", "environment": "an ANCHORFS_ variable"}.get(
                place, f"{config_path(environment)}: {place}"
            )
            raise ConfigError(f"{where}: {error}") from None
    return said


def _flags(given: Given) -> dict[str, Any]:
    """What was said by options of their own."""
    said = {
        "cache_dir": given.cache_dir,
        "token_file": given.token_file,
        "cache_size_bytes": parse_size(given.cache_size) if given.cache_size else None,
        "free_space_bytes": parse_floor(given.free_space) if given.free_space else None,
        "push": parse_push(given.push) if given.push else None,
        "log_level": parse_log_level(given.log_level) if given.log_level else None,
        "read_only": given.read_only or None,
    }
    return {name: value for name, value in said.items() if value is not None}


def mountpoint_of(place: str) -> str:
    """A mount point as given; the configuration file's for the name of a mount that is no path here."""
    if "/" in place or os.path.lexists(place):
        return place
    mount = read_config(os.environ).mounts.get(place)
    return place if mount is None or mount.mountpoint is None else os.path.expanduser(mount.mountpoint)  # noqa: PTH111


def log_file_for(config: MountConfig, environment: dict[str, str]) -> Path:
    """The daemon's log: one file per cache directory, as that has one mount at a time."""
    return state_home(environment) / "log" / f"{short_hash(config.cache_dir)}.log"


def _absolute_dir(text: str) -> str:
    return os.path.realpath(Path(text).expanduser())
