"""`anchorfs mount` and `anchorfs unmount`."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import trio
import typer

from vfs import mountpoint as table
from vfs.cli import options, preflight, starting
from vfs.cli.asking import ask, registry
from vfs.cli.leaving import wait_for_end
from vfs.cli.printing import Json, err, escape, out, print_json, reporting
from vfs.failure import ExitStatus, Failure, describe
from vfs.logs import start_logging
from vfs.requests import Request, Verb
from vfs.whereabouts import remember

if TYPE_CHECKING:
    from vfs.config import MountConfig
    from vfs.registry import Record


@reporting
def mount(
    url: options.Url,
    mountpoint: Annotated[str | None, typer.Argument(help="An empty folder; with a name: else the file's.")] = None,
    *,
    mount_options: options.MountOptions = None,
    foreground: Annotated[
        bool,
        typer.Option("--foreground/--daemon", help="Stay in the terminal, or return when the mount answers."),
    ] = True,
    cache_dir: options.CacheDir = None,
    cache_size: options.CacheSize = None,
    free_space: options.FreeSpace = None,
    token_file: options.TokenFile = None,
    read_only: options.ReadOnly = False,
    push: options.Push = None,
    log_level: options.LogLevel = None,
    as_json: Json = False,
) -> int:
    """Mount the drive at URL on the folder MOUNTPOINT."""
    environment = dict(os.environ)
    given = options.Given(
        url=url,
        mountpoint=mountpoint,
        mount_options=mount_options or (),
        cache_dir=cache_dir,
        cache_size=cache_size,
        free_space=free_space,
        token_file=token_file,
        read_only=read_only,
        push=push,
        log_level=log_level,
    )
    config = options.make_config(given, environment)
    for line in preflight.check(config, registry()):
        err.print(f"anchorfs: {escape(line)}")
    with suppress(OSError):  # it is of use to `fsck` and `cache` only
        remember(config.mountpoint, config.cache_dir, environment)
    if foreground:
        return _stay(config)
    log_file = options.log_file_for(config, environment)
    child = starting.start(config, log_file, lifeline=False)
    _say_mounted(config, child.pid, str(log_file), as_json=as_json)
    return ExitStatus.DONE


def _say_mounted(config: MountConfig, pid: int, log_file: str, *, as_json: bool) -> None:
    if as_json:
        facts = {"mountpoint": config.mountpoint, "url": config.url, "pid": pid, "log_file": log_file}
        print_json({**facts, "cache_dir": config.cache_dir})
    else:
        out.print(f"{escape(config.url)} is mounted on {escape(config.mountpoint)} (process {pid}, log {log_file})")


def _stay(config: MountConfig) -> int:
    from vfs.mounting import serve  # noqa: PLC0415 - the kernel binding is loaded where a mount is served only

    start_logging(config.log_level, config.log_format, log_file=None, secret=config.token)

    def ready() -> None:
        err.print(f"{escape(config.url)} is mounted on {escape(config.mountpoint)}; Ctrl-C flushes and unmounts")

    async def body() -> tuple[int, int, int]:
        outcome = await serve(config, registry(), ready)
        return outcome.pending, outcome.parked, outcome.held

    try:
        pending, parked, held = trio.run(body)
    except Exception as error:
        failure = describe(error, about=config.url)
        if failure.told.kind == "internal":
            raise
        raise failure from error
    return say_left(pending, parked, config.cache_dir, held)


def say_left(pending: int, parked: int, cache_dir: str, held: int = 0) -> int:
    """Say what the server does not have; the exit status."""
    if not (pending or parked or held):
        return ExitStatus.DONE
    stuck = f" ({parked} of them parked: see `anchorfs queue` when it is mounted again)" if parked else ""
    then = "are sent at the next mount" if not held else f"{held} of them wait for `anchorfs approve`"
    err.print(
        f"anchorfs: {pending + parked + held} changes are not on the server{stuck}; nothing is lost: they are in"
        f" {escape(cache_dir)} and {then}"
    )
    return ExitStatus.TRY_AGAIN


@reporting
def unmount(
    mountpoint: Annotated[str, typer.Argument(help="Where the drive is mounted, or its name in config.toml.")],
    no_flush: Annotated[bool, typer.Option("--no-flush", help="Do not wait for uploads; they follow later.")] = False,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait for uploads.", metavar="S")] = None,
    as_json: Json = False,
) -> int:
    """Send what is pending, then unmount."""
    path = options.mountpoint_of(mountpoint)
    entry = table.mounted_at(path)
    # Unmounted by other means, a mount lives on in the copies that containers took of it, and so does its process.
    record = registry().find(table.absolute(path) if entry is None else entry.path)
    if record is None:
        if entry is None:
            raise Failure(
                "not-mounted", f"no AnchorFS mount at {mountpoint}", hint="`anchorfs status` lists the mounts"
            )
        return _unmount_unregistered(entry, as_json=as_json)
    left = ask(record.mountpoint, Request(verb=Verb.UNMOUNT, flush=not no_flush, timeout_s=timeout))
    wait_for_end(record.pid)
    if as_json:
        print_json({"mountpoint": record.mountpoint, **left})
    elif out.is_terminal:
        out.print(f"{escape(record.mountpoint)} is unmounted")
    return _status_of(left, record, flushed=not no_flush)


def _status_of(left: dict[str, object], record: Record, *, flushed: bool) -> int:
    pending, parked = int(str(left.get("pending", 0))), int(str(left.get("parked", 0)))
    status = say_left(pending, parked, record.cache_dir, int(str(left.get("held", 0))))
    return status if flushed else ExitStatus.DONE


def _unmount_unregistered(entry: table.MountEntry, *, as_json: bool) -> int:
    dead = preflight.is_dead(entry.path, registry())
    reason = table.clear_dead(entry) if dead else table.detach(entry.path, lazy=False)
    if reason is not None:
        raise Failure("busy", f"{entry.path} cannot be unmounted: {reason}")
    if as_json:
        print_json({"mountpoint": entry.path, "dead": dead})
    elif dead:
        out.print(f"the process that served {escape(entry.path)} is gone; the dead mount is taken away")
    else:
        out.print(
            f"{escape(entry.path)} is unmounted; its process was started by another user or with another"
            " XDG_RUNTIME_DIR, and sends what is left before it ends"
        )
    return ExitStatus.DONE
