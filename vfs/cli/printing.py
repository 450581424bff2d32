"""What a command says: results on standard output, progress and failures on standard error, `--json` for
scripts."""

from __future__ import annotations

import functools
import re
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import msgspec
import typer
from rich import markup
from rich.console import Console
from rich.table import Table

from vfs.config import ConfigError
from vfs.failure import ExitStatus, Failure, describe

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, failures included.")]

Mountpoint = Annotated[str | None, typer.Argument(help="A mount point, or any path in the mount.")]

# Control characters, line and paragraph separators, and what turns the direction of writing
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_WIDE = 10_000  # in a file or a pipe no line is broken
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _WIDE)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: object) -> None:
    """One document on standard output."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
    sys.stdout.flush()


def escape(text: str) -> str:
    """Text of others, names above all, for `out` and `err`: no markup, and nothing that steers a terminal or makes
    lines (`\\n`, `\\x1b`, `\\u202e` are shown so)."""
    return markup.escape(_STEERING.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text))


def columns(*names: str) -> Table:
    """A table for people; the last column is broken where it has to be, and never cut."""
    table = Table(*names[:-1], box=None)
    table.add_column(names[-1], overflow="fold")
    return table


def say_failure(failure: Failure, *, as_json: bool) -> None:
    """Tell what went wrong and the way out."""
    told = failure.told
    if as_json:
        print_json({"error": told})
        return
    err.print(f"[bold red]anchorfs:[/] {escape(told.message)}")
    if told.hint:
        err.print(f"          {escape(told.hint)}")


def reporting(command: Callable[P, int | None]) -> Callable[P, None]:
    """Run a command; its return value, or its failure, becomes the exit status."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            status = command(*args, **kwargs) or ExitStatus.DONE
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except (Failure, ConfigError, OSError) as error:
            failure = describe(error, about="anchorfs")
            say_failure(failure, as_json=bool(kwargs.get("as_json")))
            status = failure.told.exit_status
        raise typer.Exit(int(status))

    return run


def show_bytes(count: int) -> str:
    """`1.5 GiB`: for people."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def show_time(at_s: float) -> str:
    """`2026-11-21 14:03:55`, of a time since the epoch, on this machine's clock."""
    return datetime.fromtimestamp(at_s).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def rows_of(told: dict[str, object], name: str) -> list[dict[str, Any]]:
    """The rows of an answer that holds a list of them."""
    rows = told.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def number_of(told: dict[str, object], name: str) -> int:
    """A number of an answer; 0 where it tells none."""
    value = told.get(name)
    return int(value) if isinstance(value, int | float) else 0
