"""`top`: the running mounts on one screen, told anew every second, until `q` or Ctrl-C."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cache.model import Aspect
from vfs.cli.asking import ask, records, the_mount
from vfs.cli.printing import escape, number_of, out, reporting, rows_of, show_bytes, show_time
from vfs.failure import ExitStatus, Failure
from vfs.requests import Request, Verb

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 12  # of the queue and of what happened last, for each mount
Report = dict[str, object]


@reporting
def top(
    mountpoint: Annotated[str | None, typer.Argument(help="A mount; none: all of them.")] = None,
    *,
    interval: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1)] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="One look, as also when the output is no terminal.")] = False,
) -> int:
    """Watch the mounts: transfers, rates, what waits and what happened."""
    before: dict[str, Report] = {}
    if once or not sys.stdout.isatty():
        out.print(_screen(mountpoint, before, interval))
        return ExitStatus.DONE
    with _keys() as keys, Live(console=Console(), screen=True, auto_refresh=False) as live:
        while True:
            began_s = time.monotonic()
            live.update(_screen(mountpoint, before, interval), refresh=True)
            if keys is None:
                time.sleep(interval)
            elif _quits(keys, began_s + interval):
                return ExitStatus.DONE


@contextmanager
def _keys() -> Iterator[int | None]:
    """The keyboard, key by key; None where there is none."""
    if not sys.stdin.isatty():
        yield None
        return
    fd = sys.stdin.fileno()
    usual = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield fd
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, usual)


def _quits(keys: int, until_s: float) -> bool:
    """Whether `q` is typed before it is time for the next look."""
    while (left_s := until_s - time.monotonic()) > 0:
        if select.select([keys], [], [], left_s)[0] and os.read(keys, 64)[:1] in {b"q", b"Q", b"\x1b", b""}:
            return True
    return False


def _screen(mountpoint: str | None, before: dict[str, Report], interval_s: float) -> Group:
    """Every mount below the other; `before` is the last look, from which rates come."""
    mounts = [record.mountpoint for record in records()] if mountpoint is None else [the_mount(mountpoint)]
    if not mounts:
        return Group(Text("no AnchorFS mount is running"))
    parts: list[Text | Table] = []
    for each in mounts:
        try:
            report = ask(each, Request(verb=Verb.STATUS))
            parts += [_head(report, before.get(each, report), interval_s), *_queue(each), *_latest(each), Text()]
            before[each] = report
        except Failure as failure:
            parts.append(Text(f"{each}: {failure.told.message}", style="red"))
    return Group(*parts)


def _head(report: Report, last: Report, interval_s: float) -> Table:
    online = report["connection"] == "online"
    state = f"[{'green' if online else 'red'}]{report['connection']}[/]{', paused' if report['paused'] else ''}"
    up, down = ((number_of(report, name) - number_of(last, name)) / interval_s for name in ("bytes_up", "bytes_down"))
    grid = Table.grid(padding=(0, 3))
    grid.add_row(f"[bold]{escape(str(report['mountpoint']))}[/]", escape(str(report["url"])), state)
    grid.add_row(
        f"up {show_bytes(int(up))}/s ({report['uploads_active']} files)",
        f"down {show_bytes(int(down))}/s ({report['downloads_active']} ranges)",
        f"cache {show_bytes(number_of(report, 'cache_bytes'))} of {show_bytes(number_of(report, 'cache_limit'))}",
    )
    grid.add_row(
        f"pending {report['queue_pending']}, parked {report['queue_parked']}, held {report['queue_held']}",
        f"conflicts {report['conflicts']}",
        escape(str(report["last_error"] or "")),
    )
    return grid


def _queue(mountpoint: str) -> list[Table]:
    rows = rows_of(ask(mountpoint, Request(verb=Verb.QUEUE)), "result")
    if not rows:
        return []
    table = Table("waiting", "change", "file", "sent", box=None)
    for row in rows[:ROWS]:
        progress = row.get("progress")
        sent = ""
        if isinstance(progress, dict):
            sent = f"{100 * progress['sent_bytes'] // max(progress['total_bytes'], 1)} %"
        table.add_row(str(row["state"]), Aspect(row["aspect"]).word, escape(str(row.get("path") or "")), sent)
    if len(rows) > ROWS:
        table.add_row("", "", f"and {len(rows) - ROWS} more", "")
    return [table]


def _latest(mountpoint: str) -> list[Table]:
    rows = rows_of(ask(mountpoint, Request(verb=Verb.ACTIVITY, limit=ROWS)), "entries")
    if not rows:
        return []
    table = Table("when", "who", "what", "file", box=None)
    for row in rows:
        table.add_row(show_time(row["at_s"]), str(row["who"]), str(row["what"]), escape(str(row["path"])))
    return [table]
