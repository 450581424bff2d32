"""`config`: what holds for a mount, and which place said so."""

from __future__ import annotations

import os
from typing import Annotated

import msgspec
import typer

from vfs.cli.options import Given, layers, make_config
from vfs.cli.printing import Json, columns, escape, out, print_json, reporting, show_bytes
from vfs.config import MountConfig
from vfs.config_file import config_path, read_config
from vfs.failure import ExitStatus
from vfs.mount_options import MEANINGS, parse_words

app = typer.Typer(help="What is configured.", no_args_is_help=True)
_UNSHOWN = frozenset(("url", "mountpoint", "token", "rules", "kernel_options", "fuse_fd"))


@app.command()
@reporting
def show(
    name: Annotated[str | None, typer.Argument(help="A mount of config.toml, or an address; none: all.")] = None,
    as_json: Json = False,
) -> int:
    """Every setting of a mount, its value, and where it was said; or the mounts there are."""
    environment = dict(os.environ)
    file = read_config(environment)
    if name is not None:
        shown = _shown(name, environment)
        if as_json:
            print_json(shown)
        else:
            _print(shown)
        return ExitStatus.DONE
    mounts = {each: {"url": mount.url, "mountpoint": mount.mountpoint} for each, mount in file.mounts.items()}
    if as_json:
        print_json({"path": str(file.path), "defaults": file.defaults, "mounts": mounts})
        return ExitStatus.DONE
    out.print(escape(f"{file.path}{'' if file.path.exists() else ' (not there: everything is as built in)'}"))
    table = columns("mount", "mountpoint", "url")
    for each, mount in file.mounts.items():
        table.add_row(escape(each), escape(mount.mountpoint or ""), escape(mount.url))
    if mounts:
        out.print(table)
    return ExitStatus.DONE


@app.command("options")
@reporting
def list_options(as_json: Json = False) -> int:
    """What `-o`, fstab, config.toml and ANCHORFS_… variables take."""
    if as_json:
        print_json({"options": [{"option": option, "meaning": meaning} for option, meaning in MEANINGS.items()]})
        return ExitStatus.DONE
    table = columns("option", "what it does")
    for option, meaning in MEANINGS.items():
        table.add_row(escape(option), escape(meaning))
    out.print(table)
    out.print(escape('in config.toml: cache_size = "20G", ro = true; in the environment: ANCHORFS_CACHE_SIZE=20G'))
    return ExitStatus.DONE


@app.command()
@reporting
def path(as_json: Json = False) -> int:
    """Where the configuration file is, or would be."""
    where = str(config_path(os.environ))
    if as_json:
        print_json({"path": where})
    else:
        out.print(escape(where))
    return ExitStatus.DONE


def _shown(name: str, environment: dict[str, str]) -> dict[str, object]:
    """The settings; a token only by whether there is one."""
    mount, told = layers(Given(url=name, mountpoint=None), environment)
    config = make_config(Given(url=name, mountpoint=mount.mountpoint or "/"), environment)
    sources = {field: place for place, words in told for field in parse_words(words)}
    values = msgspec.to_builtins(config)
    return {
        "url": config.url,
        "mountpoint": mount.mountpoint,
        "token": "kept" if config.token else "none",
        "settings": [
            {"name": field, "value": values[field], "from": sources.get(field, "built in")}
            for field in MountConfig.__struct_fields__
            if field not in _UNSHOWN
        ],
    }


def _print(shown: dict[str, object]) -> None:
    out.print(escape(f"{shown['url']} on {shown['mountpoint'] or '(no mountpoint)'}, token: {shown['token']}"))
    table = columns("setting", "from", "value")
    settings = shown["settings"]
    for row in settings if isinstance(settings, list) else []:
        table.add_row(row["name"], escape(row["from"]), escape(_for_people(row["name"], row["value"])))
    out.print(table)


def _for_people(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):  # rates
        return ", ".join(f"{show_bytes(each)}/s {way}" for way, each in value.items() if each) or "no limit"
    return show_bytes(value) if name.endswith("_bytes") and isinstance(value, int) else str(value)
