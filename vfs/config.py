"""What a mount is told: parsed, checked, frozen.

Nothing here touches the network or the kernel. A wrong value raises ConfigError, which names the value and the way
out. A token is never part of a repr.
"""

from __future__ import annotations

import hashlib
import os
import re
from enum import StrEnum
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from cache.evict import DEFAULT_FLOOR_BYTES
from cache.model import PushMode
from sync.choices import Policy
from sync.planner import Conflicts
from sync.remotes.address import Provider, parse_address
from vfs.logs import LogFormat
from vfs.rules import BUILT_IN, Rule

_Word = TypeVar("_Word", bound=StrEnum)

DEFAULT_CACHE_SIZE_BYTES = 10 << 30
FLUSH_TIMEOUT_S = 60.0  # below the 90 s after which systemd kills a stopping service
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)


class ConfigError(Exception):
    """A value that cannot be used; the text names it and the way out."""


class Rates(msgspec.Struct, frozen=True):
    """Bytes per second that transfers may use; None: no limit."""

    up: int | None = None
    down: int | None = None


NO_LIMIT = Rates()


class MountConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one mount needs to know. It crosses to the daemon as JSON on a pipe."""

    url: str
    mountpoint: str
    cache_dir: str
    cache_size_bytes: int = DEFAULT_CACHE_SIZE_BYTES
    free_space_bytes: int = DEFAULT_FLOOR_BYTES
    rules: tuple[Rule, ...] = BUILT_IN  # which programs may fetch
    token: str | None = None
    read_only: bool = False
    allow_other: bool = False
    notify: bool = False  # tell the desktop
    kernel_options: tuple[str, ...] = ()
    fuse_fd: int | None = None  # a device that is mounted already
    hydration: Policy = Policy.PROGRESSIVE
    conflicts: Conflicts = Conflicts.COPY
    push: PushMode = PushMode.AUTO
    poll_interval_s: float = 30.0
    write_back_delay_s: float = 1.0
    flush_timeout_s: float = FLUSH_TIMEOUT_S
    rates: Rates = NO_LIMIT
    unsafe_writes: bool = False
    insecure_http: bool = False
    log_level: str = "INFO"
    log_format: LogFormat = LogFormat.TEXT

    def __repr__(self) -> str:
        return f"MountConfig(url={self.url!r}, mountpoint={self.mountpoint!r}, cache_dir={self.cache_dir!r})"

    __str__ = __repr__


def parse_size(text: str) -> int:
    """Bytes of `10G`, `512 MiB`, `1.5T` or a plain number; the units are powers of 1024."""
    found = _SIZE.fullmatch(text.strip())
    size_bytes = int(float(found[1]) * _UNITS[found[2].upper()]) if found else 0
    if size_bytes < 1:
        raise ConfigError(f"size {text!r} is not understood; write it like 500M or 10G")
    return size_bytes


def parse_floor(text: str) -> int:
    """As `parse_size`; 0 is fine: the disk may be filled to its end."""
    return 0 if text.strip() == "0" else parse_size(text)


def parse_seconds(text: str) -> float:
    """Seconds of `30` or `2.5`, more than zero."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"{text!r} is no number of seconds above zero")
    return seconds


def parse_policy(text: str) -> Policy:
    """A hydration policy by name."""
    return _one_of(Policy, "hydration", text)


def parse_conflicts(text: str) -> Conflicts:
    """What becomes of conflicts, by name."""
    return _one_of(Conflicts, "conflicts", text)


def parse_push(text: str) -> PushMode:
    """Whether changes are sent by themselves, by name."""
    return _one_of(PushMode, "push", text)


def _one_of(words: type[_Word], option: str, text: str) -> _Word:
    try:
        return words(text)
    except ValueError:
        raise ConfigError(f"{option}={text!r} is not one of {', '.join(words)}") from None


def parse_log_format(text: str) -> LogFormat:
    """How lines of the log look, by name."""
    return _one_of(LogFormat, "log_format", text)


def parse_log_level(text: str) -> str:
    """One of the levels of `logging`, in capitals."""
    level = text.upper()
    if level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise ConfigError(f"log level {text!r} is not one of debug, info, warning, error")
    return level


def parse_rates(text: str) -> Rates:
    """`1M` both ways, `512K:4M` up and down, `off` for a way without a limit; per second, units of 1024."""
    ways = [None if word == "off" else parse_size(word) for word in text.split(":")]
    if len(ways) > 2:
        raise ConfigError(f"bwlimit={text!r} is not understood; write it like 1M, or 512K:4M for up and down")
    return Rates(up=ways[0], down=ways[-1])


def parse_url(text: str) -> str:
    """The drive's address, without a trailing slash; ConfigError says what is wrong with it."""
    try:
        return parse_address(text).text
    except ValueError as error:
        raise ConfigError(str(error)) from None


def check_exposure(url: str, *, insecure_http: bool) -> None:
    """ConfigError for a foreign drive whose password would cross the network in the clear."""
    address = parse_address(url)
    if address.provider is not Provider.ANCHOR and address.is_exposed and not insecure_http:
        raise ConfigError(
            f"{url}: without TLS everybody on the way could read the password; use {address.provider}+https://, or say"
            " -o insecure_http"
        )


def state_home(environment: dict[str, str]) -> Path:
    """Our folder below XDG_STATE_HOME. Drives live here, not in ~/.cache: they hold changes not yet sent."""
    base = environment.get("XDG_STATE_HOME", "")
    home = Path(base) if base.startswith("/") else Path(environment.get("HOME") or "~").expanduser() / ".local/state"
    return home / "anchorfs"


def default_cache_dir(url: str, environment: dict[str, str]) -> Path:
    """One folder per drive address, wherever it is mounted: what one mount left unsent the next one sends."""
    host = re.sub(r"[^A-Za-z0-9.-]", "_", urlsplit(url).netloc)
    return state_home(environment) / "drives" / f"{host}-{short_hash(url)}"


def short_hash(text: str) -> str:
    """A name for something with a longer name."""
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:16]


def config_home(environment: dict[str, str]) -> Path:
    """Our folder below XDG_CONFIG_HOME: what a person wrote."""
    base = environment.get("XDG_CONFIG_HOME", "")
    home = Path(base) if base.startswith("/") else Path(environment.get("HOME") or "~").expanduser() / ".config"
    return home / "anchorfs"
