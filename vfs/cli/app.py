"""The commands by name. Who asks for one by its name waits for its modules only: a mount answers the sooner for it."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated

import typer

COMMANDS = {
    "mount": "mount",
    "unmount": "mount",
    "run": "run",
    "status": "state",
    "ls": "look",
    "stat": "look",
    "sync": "state",
    "queue": "state",
    "retry": "state",
    "pause": "steer",
    "resume": "steer",
    "approve": "steer",
    "reject": "steer",
    "conflicts": "steer",
    "activity": "steer",
    "hydrate": "trees",
    "evict": "trees",
    "pin": "trees",
    "unpin": "trees",
    "pins": "trees",
    "search": "past",
    "versions": "past",
    "restore": "past",
    "trash": "past",
    "stats": "figures",
    "top": "top",
    "ui": "page",
    "cache": "cache",
    "login": "accounts",
    "logout": "accounts",
    "config": "settings",
    "service": "service",
    "doctor": "doctor",
    "diagnose": "diagnose",
    "manual": "manual",
    "fsck": "fsck",
}  # in the order of the help, with the module here that holds each
GROUPS = frozenset(("cache", "config", "service"))  # whose module has an `app` of further commands


def make_app(only: str | None = None) -> typer.Typer:
    """The command line with all its commands, or with this one alone."""
    app = typer.Typer(
        name="anchorfs",
        help="Mount a cloud drive so that it feels local.",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    for name in COMMANDS if only is None else (only,):
        module = import_module(f"vfs.cli.{COMMANDS[name]}")
        if name in GROUPS:
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(getattr(module, name))
    return app


def _say_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # noqa: PLC0415 - large, and every other command does without

        typer.echo(f"anchorfs {version('anchorfs')}")
        raise typer.Exit


def _options(
    _version: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """Mount a cloud drive so that it feels local."""


def main() -> None:
    """Entry point of the command `anchorfs`."""
    named = sys.argv[1] if len(sys.argv) > 1 else None
    make_app(named if named in COMMANDS else None)()
