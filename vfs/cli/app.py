"""The commands by name. Who asks for one by its name waits for its modules only: a mount answers the sooner for it."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated

import typer

PANELS = {
    "Mount": {"mount": "mount", "unmount": "mount", "run": "run", "login": "accounts", "logout": "accounts"},
    "See": {"status": "state", "ls": "look", "stat": "look", "top": "top", "ui": "page", "activity": "steer"},
    "Have files here, or not": {
        "hydrate": "trees", "evict": "trees", "pin": "trees", "unpin": "trees", "pins": "trees", "cache": "cache",
    },
    "Changes on their way": {
        "sync": "state", "queue": "state", "retry": "state", "pause": "steer", "resume": "steer", "approve": "steer",
        "reject": "steer", "conflicts": "steer",
    },
    "Find, and bring back": {"search": "past", "versions": "past", "restore": "past", "trash": "past"},
    "Settings": {"config": "settings", "service": "service"},
    "When something is wrong": {"doctor": "doctor", "diagnose": "diagnose", "fsck": "fsck"},
    "Numbers and manual": {"stats": "figures", "manual": "manual"},
}  # fmt: skip
COMMANDS = {name: module for commands in PANELS.values() for name, module in commands.items()}  # the module that has it
_PANEL_OF = {name: panel for panel, commands in PANELS.items() for name in commands}
_FIRST_STEPS = """First steps:

anchorfs login https://drive.example.org

mkdir ~/Drive

anchorfs mount https://drive.example.org ~/Drive --daemon

anchorfs status

`anchorfs COMMAND --help` tells more. Exit status: 0 done, 1 failed, 2 usage, 75 try again later, 77 not permitted, 78
configuration."""
_EXAMPLES = {
    "mount": """Examples:

anchorfs mount https://drive.example.org ~/Drive --daemon

anchorfs mount https://drive.example.org ~/Drive -o ro,cache_size=20G

anchorfs mount work --daemon  (a name of config.toml)""",
    "run": """Examples:

anchorfs run https://drive.example.org -- make report

anchorfs run work -o cache_size=4G -- sh -c 'wc -l *.csv > lines.txt'""",
    "pin": "Example: anchorfs pin ~/Drive/Photos/2026",
    "conflicts": """Examples:

anchorfs conflicts

anchorfs conflicts resolve '~/Drive/letter (conflict desk 2026-11-22).txt' --keep original""",
    "sync": "Example: anchorfs sync ~/Drive --wait --timeout 60",
    "restore": """Examples:

anchorfs restore ~/Drive/letter.txt

anchorfs restore ~/Drive/letter.txt --version 5feced675cd3e5c0ec12393b""",
    "login": """Examples:

anchorfs login https://drive.example.org

anchorfs login https://drive.example.org --token-stdin < FILE""",
}
GROUPS = frozenset(("cache", "config", "service"))  # whose module has an `app` of further commands


def make_app(only: str | None = None) -> typer.Typer:
    """The command line with all its commands, or with this one alone."""
    app = typer.Typer(
        name="anchorfs",
        help="Mount a cloud drive so that it feels local.",
        no_args_is_help=True,
        add_completion=True,
        epilog=_FIRST_STEPS,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    for name in COMMANDS if only is None else (only,):
        module = import_module(f"vfs.cli.{COMMANDS[name]}")
        if name in GROUPS:
            app.add_typer(module.app, name=name, rich_help_panel=_PANEL_OF[name])
        else:
            told = app.command(name, rich_help_panel=_PANEL_OF[name], epilog=_EXAMPLES.get(name))
            told(getattr(module, name))
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
