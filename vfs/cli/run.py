"""`anchorfs run URL -- COMMAND`: mount, run with the mount as working folder, flush, unmount."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from vfs.cli import options, preflight, starting
from vfs.cli.asking import ask, registry
from vfs.cli.leaving import wait_for_end
from vfs.cli.mount import say_left
from vfs.cli.printing import Json, err, print_json, reporting
from vfs.credentials import without_secrets
from vfs.failure import ExitStatus, Failure
from vfs.requests import Request, Verb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from vfs.config import MountConfig

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Changes that the server does not have at the end, and 75 when there are some."""

    pending: int
    parked: int
    held: int
    exit_status: int


@reporting
def run(
    url: options.Url,
    command: Annotated[list[str], typer.Argument(help="After `--`: the command and its arguments.")],
    *,
    mountpoint: Annotated[
        str | None, typer.Option(help="An empty folder; else a temporary one.", metavar="DIR")
    ] = None,
    mount_options: options.MountOptions = None,
    cache_dir: options.CacheDir = None,
    cache_size: options.CacheSize = None,
    free_space: options.FreeSpace = None,
    token_file: options.TokenFile = None,
    read_only: options.ReadOnly = False,
    push: options.Push = None,
    log_level: options.LogLevel = None,
    as_json: Json = False,
) -> int:
    """Run COMMAND inside a mount of URL; 75 when its changes could not all be sent.

    With --json what COMMAND prints goes to standard error, so that standard output is one document.
    """
    with _folder(mountpoint) as folder:
        given = options.Given(
            url=url,
            mountpoint=folder,
            mount_options=mount_options or (),
            cache_dir=cache_dir,
            cache_size=cache_size,
            free_space=free_space,
            token_file=token_file,
            read_only=read_only,
            push=push,
            log_level=log_level,
        )
        environment = dict(os.environ)
        config = options.make_config(given, environment)
        if config.fuse_fd is not None:
            raise Failure("usage", "run makes a mount of its own, not on a descriptor", status=ExitStatus.USAGE)
        preflight.check(config, registry())
        child = starting.start(config, options.log_file_for(config, environment), lifeline=True)
        try:
            status = _command(command, config.mountpoint, out=sys.stderr.fileno() if as_json else None)
        finally:
            left = _leave(config, child)
    if as_json:
        told = {**asdict(left), "exit_status": left.exit_status or status}
        print_json({"url": config.url, "command_status": status, **told})
    return left.exit_status or status


@contextmanager
def _folder(mountpoint: str | None) -> Iterator[str]:
    if mountpoint is not None:
        yield mountpoint
        return
    folder = tempfile.mkdtemp(prefix="anchorfs-")
    try:
        yield folder
    finally:
        try:
            Path(folder).rmdir()  # never recursively: if the mount is still there, this fails and nothing is lost
        except OSError as error:
            err.print(f"anchorfs: {folder} is left behind: {error.strerror}")


def _command(command: list[str], folder: str, *, out: int | None) -> int:
    environment = {**without_secrets(os.environ), "PWD": folder, "ANCHORFS_MOUNTPOINT": folder}
    with Forwarding() as forwarding:
        try:
            child = subprocess.Popen(command, cwd=folder, env=environment, stdout=out)  # noqa: S603 - what the user asked for
        except FileNotFoundError:
            raise Failure("command-missing", f"{command[0]}: command not found", status=127) from None
        except PermissionError as error:
            raise Failure("command-denied", f"{command[0]}: {error.strerror}", status=126) from None
        forwarding.to(child)
        status = child.wait()
    return 128 - status if status < 0 else status


class Forwarding:
    """Hands signals on to the command; those that came before it was started, when it is.

    A terminal's Ctrl-C reaches the command by itself: ours is only swallowed.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._previous = {number: signal.signal(number, self._heard) for number in FORWARDED}
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def to(self, child: subprocess.Popen[bytes]) -> None:
        """From now on to this process."""
        self._child = child
        for number in self._early:
            child.send_signal(number)

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        if number in {signal.SIGINT, signal.SIGQUIT} and os.isatty(0):
            return
        if self._child is None:
            self._early.append(number)
        else:
            self._child.send_signal(number)


def _leave(config: MountConfig, child: subprocess.Popen[bytes]) -> Left:
    """Flush and unmount; what stays behind, with 0, or 75 when something does."""
    try:
        left = ask(config.mountpoint, Request(verb=Verb.UNMOUNT))
    except Failure as failure:
        err.print(f"anchorfs: {failure.told.message}; leaving by force")
        child.terminate()
        left = {}
    wait_for_end(child.pid)
    ended = child.wait()
    if child.stdin is not None:
        child.stdin.close()
    pending, parked, held = (int(str(left.get(word, 0))) for word in ("pending", "parked", "held"))
    status = say_left(pending, parked, config.cache_dir, held)
    if not status and ended != ExitStatus.DONE:
        err.print(f"anchorfs: the mount's process ended with {ended}; what was not sent stays in {config.cache_dir}")
        status = ExitStatus.TRY_AGAIN
    return Left(pending=pending, parked=parked, held=held, exit_status=int(status))
