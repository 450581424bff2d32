"""What a command says: results on standard output, progress and failures on standard error, `--json` for
scripts."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Annotated, ParamSpec

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from vfs.config import ConfigError
from vfs.failure import ExitStatus, Failure, describe

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, failures included.")]

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: object) -> None:
    """One document on standard output."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
    sys.stdout.flush()


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
