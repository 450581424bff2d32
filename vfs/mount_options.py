"""Mount options: the same words in fstab, after `-o`, in the configuration file and in the environment.

A word is `name` or `name=value`. Read as told, the later of two wins; what mount(8) says to every file system is
passed over. The result is keyed by the fields of MountConfig, and by `token_file` and `hydration_rules`, which are
read elsewhere.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from vfs.config import (
    ConfigError,
    parse_conflicts,
    parse_floor,
    parse_log_format,
    parse_log_level,
    parse_policy,
    parse_push,
    parse_rates,
    parse_seconds,
    parse_size,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

# What mount(8), systemd and fstab say to every file system, and what is no business of ours.
_WORDS_OF_OTHERS = (
    "_netdev nofail fail auto noauto user nouser users owner group comment atime noatime relatime diratime nodiratime"
    " strictatime lazytime silent loud defaults exec async nodev nosuid"
)
_IGNORED = frozenset(_WORDS_OF_OTHERS.split())
_KERNEL = frozenset(("noexec",))
_FLAGS: Mapping[str, tuple[str, bool]] = {
    "ro": ("read_only", True), "rw": ("read_only", False), "allow_other": ("allow_other", True),
    "notify": ("notify", True), "unsafe_writes": ("unsafe_writes", True), "insecure_http": ("insecure_http", True),
}  # fmt: skip
_VALUES: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "token_file": ("token_file", str),
    "cache_dir": ("cache_dir", str),
    "cache_size": ("cache_size_bytes", parse_size),
    "free_space": ("free_space_bytes", parse_floor),
    "hydration_rules": ("hydration_rules", str),
    "hydration": ("hydration", parse_policy),
    "conflicts": ("conflicts", parse_conflicts),
    "push": ("push", parse_push),
    "poll_interval": ("poll_interval_s", parse_seconds),
    "write_back_delay": ("write_back_delay_s", parse_seconds),
    "flush_timeout": ("flush_timeout_s", parse_seconds),
    "bwlimit": ("rates", parse_rates),
    "log_level": ("log_level", parse_log_level),
    "log_format": ("log_format", parse_log_format),
}

MEANINGS: Mapping[str, str] = {
    "ro": "nothing can be changed through the mount (rw: it can)",
    "allow_other": "other users of this machine see it, too",
    "notify": "a word on the desktop when a mount needs somebody",
    "noexec": "no program is run from it",
    "unsafe_writes": "write also where the server compares nothing, so that others' changes may be overwritten",
    "insecure_http": "send a password over a connection that others can read",
    "token_file=FILE": "a private file (0600) with the token",
    "cache_dir=DIR": "where bytes and unsent changes are kept",
    "cache_size=10G": "how much may be kept",
    "free_space=256M": "room to leave on that disk; 0: none",
    "hydration_rules=FILE": "which programs may fetch; else ~/.config/anchorfs/hydration.rules",
    "hydration=progressive": "when bytes come: progressive, partial, full or always-full",
    "conflicts=copy": "who keeps the name: copy (both stay), server-wins or client-wins",
    "push=auto": "auto, or review: changes wait for `anchorfs approve`",
    "poll_interval=30": "seconds between two questions to a server that tells nothing by itself",
    "write_back_delay=1": "seconds after a change until it is sent",
    "flush_timeout=60": "seconds that an unmount waits for what is not sent",
    "bwlimit=1M": "bytes per second each way; 512K:4M: up and down; off: no limit",
    "log_level=info": "debug, info, warning or error",
    "log_format=text": "text, or json",
}  # each with what holds when it is not given, or an example


def parse_words(words: Iterable[str]) -> dict[str, Any]:
    """What was said, by the field that it sets; ConfigError on an unknown word."""
    said: dict[str, Any] = {}
    for word in (word.strip() for word in words):
        key, _, value = word.partition("=")
        if not word or key in _IGNORED or key.startswith("x-"):
            continue
        if key in _KERNEL:
            said["kernel_options"] = (*said.get("kernel_options", ()), key)
        elif key in _FLAGS:
            name, flag = _FLAGS[key]
            said[name] = flag
        else:
            said.update([_valued(key, value)])
    return said


def split_words(texts: Iterable[str]) -> list[str]:
    """The words of `-o a,b=c -o d`."""
    return [word for text in texts for word in text.split(",")]


def words_of(table: Mapping[str, object], where: str) -> list[str]:
    """The words of a table of the configuration file; ConfigError names `where` for a value that is none."""
    words = []
    for key, value in table.items():
        if value is True:
            words.append(key)
        elif value is False and key in _FLAGS:
            words += ["rw"] if key == "ro" else []
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            words.append(f"{key}={value}")
        else:
            raise ConfigError(f"{where}: {key} = {value!r} is not understood")
    return words


def words_of_environment(environment: Mapping[str, str]) -> list[str]:
    """ANCHORFS_CACHE_SIZE=10G and its like, one for each option with a value."""
    named = {key: environment.get(f"ANCHORFS_{key.upper()}", "") for key in _VALUES}
    return [f"{key}={value}" for key, value in named.items() if value]


def _valued(key: str, value: str) -> tuple[str, object]:
    if key == "token":
        raise ConfigError("token=… would show the token to every user of this machine; use token_file=FILE")
    if key in _VALUES and not value:
        raise ConfigError(f"{key} wants a value: {key}=…")
    if key not in _VALUES:
        near = difflib.get_close_matches(key, [*_VALUES, *_FLAGS], n=1)
        known = ", ".join([*_FLAGS, *(f"{each}=" for each in _VALUES)])
        guess = f"did you mean {near[0]}?" if near else f"AnchorFS knows {known}"
        raise ConfigError(f"{key} is no mount option; {guess}")
    name, parse = _VALUES[key]
    return name, parse(value)
