"""The commands by name."""

from __future__ import annotations

from typing import Annotated

import typer

from vfs.cli import (
    accounts,
    cache,
    diagnose,
    doctor,
    figures,
    fsck,
    look,
    manual,
    mount,
    page,
    past,
    run,
    service,
    settings,
    state,
    steer,
    top,
    trees,
)


def _say_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # noqa: PLC0415 - large, and every other command does without

        typer.echo(f"anchorfs {version('anchorfs')}")
        raise typer.Exit


app = typer.Typer(
    name="anchorfs",
    help="Mount a cloud drive so that it feels local.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
app.command()(mount.mount)
app.command()(mount.unmount)
app.command()(run.run)
app.command()(state.status)
app.command()(look.ls)
app.command()(look.stat)
app.command()(state.sync)
app.command()(state.queue)
app.command()(state.retry)
app.command()(steer.pause)
app.command()(steer.resume)
app.command()(steer.approve)
app.command()(steer.reject)
app.command()(steer.conflicts)
app.command()(steer.activity)
app.command()(trees.hydrate)
app.command()(trees.evict)
app.command()(trees.pin)
app.command()(trees.unpin)
app.command()(trees.pins)
app.command()(past.search)
app.command()(past.versions)
app.command()(past.restore)
app.command()(past.trash)
app.command()(figures.stats)
app.command()(top.top)
app.command()(page.ui)
app.add_typer(cache.app, name="cache")
app.command()(accounts.login)
app.command()(accounts.logout)
app.add_typer(settings.app, name="config")
app.add_typer(service.app, name="service")
app.command()(doctor.doctor)
app.command()(diagnose.diagnose)
app.command()(manual.manual)
app.command()(fsck.fsck)


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """Mount a cloud drive so that it feels local."""


def main() -> None:
    """Entry point of the command `anchorfs`."""
    app()
