"""The commands by name."""

from __future__ import annotations

import typer

from vfs.cli import doctor, fsck, mount, run, state, steer

app = typer.Typer(
    name="anchorfs",
    help="Mount a cloud drive so that it feels local.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(mount.mount)
app.command()(mount.unmount)
app.command()(run.run)
app.command()(state.status)
app.command()(state.sync)
app.command()(state.queue)
app.command()(state.retry)
app.command()(state.hydrate)
app.command()(state.evict)
app.command()(steer.pause)
app.command()(steer.resume)
app.command()(steer.approve)
app.command()(steer.reject)
app.command()(steer.conflicts)
app.command()(steer.activity)
app.command()(doctor.doctor)
app.command()(fsck.fsck)


def main() -> None:
    """Entry point of the command `anchorfs`."""
    app()
