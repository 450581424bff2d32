"""`service`: a mount as a systemd service of the user, started at login and watched over."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from vfs.cli.printing import Json, escape, out, print_json, reporting
from vfs.config import config_home
from vfs.config_file import read_config
from vfs.failure import ExitStatus, Failure

app = typer.Typer(help="Mounts as systemd services of the user.", no_args_is_help=True)

UNIT = "anchorfs@.service"
_TEMPLATE = """\
[Unit]
Description=AnchorFS drive %i
Documentation=man:anchorfs(1)
# A unit of the user cannot wait for the network: the mount works offline until it is there.
StartLimitIntervalSec=300
StartLimitBurst=10

[Service]
Type=notify
ExecStart={command} mount %i --foreground
# SIGTERM flushes and unmounts; what the server does not get in time stays in the journal of the drive.
TimeoutStopSec=90
SuccessExitStatus=75
WatchdogSec=60
Restart=on-failure
RestartSec=5
# 77 and 78: the token or the configuration is wrong, and trying again would not mend it.
RestartPreventExitStatus=2 77 78

[Install]
WantedBy=default.target
"""


@app.command("print")
@reporting
def print_unit(as_json: Json = False) -> int:
    """The unit file, for a place of your own."""
    if as_json:
        print_json({"name": UNIT, "text": unit_text()})
    else:
        out.file.write(unit_text())
    return ExitStatus.DONE


@app.command()
@reporting
def install(
    name: Annotated[str, typer.Argument(help="A mount of config.toml with a mountpoint.")], as_json: Json = False
) -> int:
    """Write the unit file, and say how the mount is started now and at each login."""
    environment = dict(os.environ)
    mount = read_config(environment).mount(name)
    if mount.mountpoint is None:
        raise Failure(
            "configuration", f"mounts.{name} has no mountpoint, so a service would not know where to mount",
            hint="add it to config.toml", status=ExitStatus.CONFIGURATION,
        )  # fmt: skip
    path = config_home(environment).parent / "systemd/user" / UNIT
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(unit_text(), encoding="utf-8")
    commands = ["systemctl --user daemon-reload", f"systemctl --user enable --now anchorfs@{name}"]
    if as_json:
        print_json({"path": str(path), "commands": commands})
    else:
        out.print(escape(f"{path} is written; to mount {name} now and at each login:"))
        for command in commands:
            out.print(f"    {command}")
    return ExitStatus.DONE


def unit_text() -> str:
    """With the `anchorfs` that runs now."""
    beside = Path(sys.executable).with_name("anchorfs")
    return _TEMPLATE.format(command=beside if beside.exists() else f"{sys.executable} -m vfs.cli")
