"""The options that `mount` and `run` share, and the MountConfig made of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cache.holding import PushMode
from sync.evictor import DEFAULT_FLOOR_BYTES
from sync.hydrator import Policy
from sync.planner import Conflicts
from vfs.config import (
    DEFAULT_CACHE_SIZE_BYTES,
    FLUSH_TIMEOUT_S,
    NO_LIMIT,
    ConfigError,
    MountConfig,
    default_cache_dir,
    parse_floor,
    parse_log_level,
    parse_options,
    parse_push,
    parse_size,
    parse_url,
    read_token,
    short_hash,
    state_home,
)
from vfs.failure import ExitStatus, Failure
from vfs.mountpoint import absolute
from vfs.rulefile import read_rules

if TYPE_CHECKING:
    from collections.abc import Sequence

Url = Annotated[str, typer.Argument(help="Address of the drive: http://HOST:PORT or https://HOST.")]
MountOptions = Annotated[
    list[str] | None,
    typer.Option("-o", help="Options as in fstab: ro,allow_other,token_file=F,cache_size=10G …"),
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
    mountpoint: str
    mount_options: Sequence[str] = ()
    cache_dir: str | None = None
    cache_size: str | None = None
    free_space: str | None = None
    token_file: str | None = None
    read_only: bool = False
    push: str | None = None
    log_level: str | None = None


def make_config(given: Given, environment: dict[str, str]) -> MountConfig:
    """The checked configuration; Failure (78) names what is wrong."""
    try:
        said = parse_options(list(given.mount_options))
        url = parse_url(given.url)
        size = given.cache_size or said.cache_size
        floor = given.free_space or said.free_space
        folder = given.cache_dir or said.cache_dir
        level = parse_log_level(given.log_level or said.log_level or "info")
        return MountConfig(
            url=url,
            mountpoint=absolute(given.mountpoint),
            cache_dir=_absolute_dir(folder) if folder else str(default_cache_dir(url, environment)),
            cache_size_bytes=parse_size(size) if size else DEFAULT_CACHE_SIZE_BYTES,
            free_space_bytes=parse_floor(floor) if floor else DEFAULT_FLOOR_BYTES,
            rules=read_rules(said.hydration_rules, environment),
            token=read_token(given.token_file or said.token_file, environment),
            read_only=given.read_only or bool(said.read_only),
            allow_other=said.allow_other,
            kernel_options=said.kernel_options,
            hydration=said.hydration or Policy.PROGRESSIVE,
            conflicts=said.conflicts or Conflicts.COPY,
            push=parse_push(given.push) if given.push else said.push or PushMode.AUTO,
            poll_interval_s=said.poll_interval_s or 30.0,
            write_back_delay_s=said.write_back_delay_s or 1.0,
            rates=said.rates or NO_LIMIT,
            flush_timeout_s=said.flush_timeout_s or FLUSH_TIMEOUT_S,
            log_level=level,
        )
    except ConfigError as error:
        raise Failure("configuration", str(error), status=ExitStatus.CONFIGURATION) from error


def log_file_for(config: MountConfig, environment: dict[str, str]) -> Path:
    """The daemon's log: one file per cache directory, as that has one mount at a time."""
    return state_home(environment) / "log" / f"{short_hash(config.cache_dir)}.log"


def _absolute_dir(text: str) -> str:
    return os.path.realpath(Path(text).expanduser())
