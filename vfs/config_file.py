"""The configuration file, `~/.config/anchorfs/config.toml`: mounts by name, and what holds for all of them.

    [defaults]
    cache_size = "20G"

    [mounts.work]
    url = "https://drive.example.org"
    mountpoint = "~/Work"
    push = "review"

Beside `url` and `mountpoint` every key is a mount option. Nothing here is secret: tokens have a store of their own.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from vfs.config import ConfigError, config_home

if TYPE_CHECKING:
    from collections.abc import Mapping


class ConfiguredMount(msgspec.Struct, frozen=True, kw_only=True):
    """One mount by name; `options` are mount options as TOML has them."""

    url: str
    mountpoint: str | None
    options: dict[str, Any]


class ConfigFile(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says; an absent file says nothing."""

    path: Path
    defaults: dict[str, Any] = {}
    mounts: dict[str, ConfiguredMount] = {}

    def mount(self, name: str) -> ConfiguredMount:
        """By name; ConfigError tells which there are."""
        if name not in self.mounts:
            known = ", ".join(self.mounts) or "none"
            near = f"; did you mean https://{name}, or http://{name}?" if {".", ":"} & set(name) else ""
            raise ConfigError(
                f"{name!r} is no address (http://… or https://…) and no mount of {self.path}, which has: {known}{near}"
            )
        return self.mounts[name]


def config_path(environment: Mapping[str, str]) -> Path:
    """ANCHORFS_CONFIG, else below XDG_CONFIG_HOME."""
    named = environment.get("ANCHORFS_CONFIG", "")
    return Path(named).expanduser() if named else config_home(dict(environment)) / "config.toml"


def read_config(environment: Mapping[str, str]) -> ConfigFile:
    """The file, checked but for its options; ConfigError names what is wrong and where."""
    path = config_path(environment)
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if environment.get("ANCHORFS_CONFIG"):
            raise ConfigError(f"ANCHORFS_CONFIG={path}: there is no such file") from None
        return ConfigFile(path=path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error
    unknown = told.keys() - {"defaults", "mounts"}
    if unknown:
        raise ConfigError(f"{path}: {min(unknown)!r} is neither [defaults] nor [mounts.NAME]")
    mounts = {name: _mount(f"{path}: mounts.{name}", table) for name, table in _table(told, "mounts", path).items()}
    return ConfigFile(path=path, defaults=_table(told, "defaults", path), mounts=mounts)


def _table(told: dict[str, Any], name: str, path: Path) -> dict[str, Any]:
    table = told.get(name, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {name} is no table")
    return table


def _mount(where: str, table: object) -> ConfiguredMount:
    if not isinstance(table, dict) or not isinstance(table.get("url"), str):
        raise ConfigError(f"{where} needs a url")
    mountpoint = table.get("mountpoint")
    if mountpoint is not None and not isinstance(mountpoint, str):
        raise ConfigError(f"{where}: mountpoint = {mountpoint!r} is no path")
    options = {key: value for key, value in table.items() if key not in {"url", "mountpoint"}}
    return ConfiguredMount(url=table["url"], mountpoint=mountpoint, options=options)
