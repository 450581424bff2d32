"""`status`, `queue`, `sync`, `retry`, `evict`, `hydrate`: what a running mount is asked."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from vfs import mountpoint as table
from vfs.cli.asking import ask, ask_about, records, registry, the_mount
from vfs.cli.printing import Json, out, print_json, reporting, say_failure, show_bytes
from vfs.control import Request, Verb
from vfs.failure import ExitStatus, Failure, describe

Mountpoint = Annotated[str | None, typer.Argument(help="A mount point, or any path in the mount.")]
Paths = Annotated[list[str], typer.Argument(help="Files in a mount.")]


@reporting
def status(mountpoint: Mountpoint = None, as_json: Json = False) -> int:
    """How the mounts are: connection, queue, cache."""
    if mountpoint is not None:
        reports = [_status_of(the_mount(mountpoint))]
    else:
        reports = [_status_of(record.mountpoint) for record in records()] + _dead_mounts()
    if as_json:
        print_json(reports[0] if mountpoint is not None else {"mounts": reports})
    elif reports:
        for report in reports:
            _show_status(report)
    else:
        out.print("no AnchorFS mount is running")
    return ExitStatus.FAILED if any("error" in report for report in reports) else ExitStatus.DONE


def _status_of(mountpoint: str) -> dict[str, object]:
    try:
        return {"state": "mounted", **ask(mountpoint, Request(verb=Verb.STATUS))}
    except Failure as failure:
        return {"mountpoint": mountpoint, "state": "silent", "error": failure.told}


def _dead_mounts() -> list[dict[str, object]]:
    ours = registry()
    unknown = [entry.path for entry in table.mounts() if ours.find(entry.path) is None]
    return [{"mountpoint": path, "state": "dead"} for path in unknown if table.probe(path) is table.Health.DEAD]


def _show_status(report: dict[str, object]) -> None:
    out.print(f"[bold]{escape(str(report['mountpoint']))}[/]  {escape(str(report.get('url', '')))}")
    if report["state"] != "mounted":
        out.print(f"  [red]{report['state']}[/]: mount again, or: anchorfs unmount {report['mountpoint']}")
        return
    grid = Table.grid(padding=(0, 2))
    for name, text in _status_lines(report):
        grid.add_row(f"  {name}", escape(text))
    out.print(grid)


def _status_lines(report: dict[str, object]) -> list[tuple[str, str]]:
    def number(name: str) -> int:
        return int(float(str(report.get(name, 0))))

    lines = [
        ("connection", f"{report.get('connection')} (anchor {number('anchor_age_s')} s old)"),
        ("queue", _queue_line(report)),
        ("transfers", f"{number('uploads_active')} up, {number('downloads_active')} down"),
        ("moved", f"{show_bytes(number('bytes_up'))} up, {show_bytes(number('bytes_down'))} down"),
        ("cache", f"{show_bytes(number('cache_bytes'))} of {show_bytes(number('cache_limit'))}"),
        ("conflicts", str(number("conflicts"))),
        ("process", f"{report.get('pid')}, state in {report.get('cache_dir')}"),
    ]
    if report.get("last_error"):
        lines.append(("last error", str(report["last_error"])))
    return lines


def _queue_line(report: dict[str, object]) -> str:
    line = f"{report.get('queue_pending')} pending, {report.get('queue_parked')} parked"
    if report.get("queue_held") or report.get("push") == "review":
        line += f", {report.get('queue_held')} held for review"
    return f"{line}; paused" if report.get("paused") else line


@reporting
def queue(mountpoint: Mountpoint = None, as_json: Json = False) -> int:
    """Local changes that the server does not have yet."""
    rows = ask(the_mount(mountpoint), Request(verb=Verb.QUEUE))["result"]
    changes = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    if as_json:
        print_json({"changes": changes})
        return ExitStatus.DONE
    if not changes:
        out.print("nothing is waiting: the server has every change")
        return ExitStatus.DONE
    grid = Table("state", "change", "file", "waiting", "why", box=None)
    now_s = time.time()
    for row in changes:
        waiting = f"{max(0, now_s - float(row.get('queued_at_s') or now_s)):.0f} s"
        name = str(row.get("path") or row.get("base_name") or f"inode {row.get('ino')}")
        grid.add_row(str(row["state"]), str(row["aspect"]), escape(name), waiting, escape(_why(row)))
    out.print(grid)
    return ExitStatus.DONE


def _why(row: dict[str, object]) -> str:
    return "waits for `anchorfs approve`" if row["state"] == "held" else str(row.get("reason") or "")


@reporting
def sync(
    mountpoint: Annotated[str, typer.Argument(help="A mount point, or any path in the mount.")],
    wait: Annotated[bool, typer.Option("--wait", help="Return when the server has every change, and we its.")] = False,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait at most.", metavar="S", min=0.0)] = None,
    as_json: Json = False,
) -> int:
    """Push and pull now; with --wait, until both sides agree (75 when that does not happen in time)."""
    where = the_mount(mountpoint)
    if not wait:
        ask(where, Request(verb=Verb.NUDGE))
        return ExitStatus.DONE
    result = ask(where, Request(verb=Verb.SYNC, timeout_s=timeout))
    if not result.get("settled"):
        raise _not_in_step(where, result)
    if as_json:
        print_json(result)
    return ExitStatus.DONE


def _not_in_step(where: str, result: dict[str, object]) -> Failure:
    kind, hint = "still-pending", "`anchorfs queue` shows what waits and why"
    if result.get("paused"):
        kind, hint = "paused", f"`anchorfs resume {where}` lets changes go"
    elif result.get("queue_held") and not result.get("queue_pending"):
        kind, hint = "held", "`anchorfs approve` sends them, `anchorfs reject` undoes them"
    return Failure(
        kind,
        f"{where} is not in step with its server: {_queue_line(result)}, connection {result.get('connection')}",
        hint=hint,
        status=ExitStatus.TRY_AGAIN,
    )


@reporting
def retry(mountpoint: Mountpoint = None, as_json: Json = False) -> int:
    """Try parked changes again."""
    result = ask(the_mount(mountpoint), Request(verb=Verb.RETRY))
    if as_json:
        print_json(result)
    else:
        out.print(f"{result['retried']} parked changes are tried again")
    return ExitStatus.DONE


@reporting
def evict(paths: Paths, as_json: Json = False) -> int:
    """Give back the room that files take here; they stay in the drive."""
    return _each(paths, Verb.EVICT, as_json=as_json)


@reporting
def hydrate(paths: Paths, as_json: Json = False) -> int:
    """Fetch files whole, to have them without a network."""
    return _each(paths, Verb.HYDRATE, as_json=as_json)


def _each(paths: list[str], verb: Verb, *, as_json: bool) -> int:
    """Ask about each path; one failure does not keep the others from their turn."""
    worst = int(ExitStatus.DONE)
    results: list[dict[str, object]] = []
    for path in paths:
        try:
            result = {"path": path, **ask_about(path, verb)}
            if not as_json and "freed_bytes" in result:
                out.print(f"{escape(path)}: {show_bytes(int(str(result['freed_bytes'])))} given back")
        except (Failure, OSError) as error:
            failure = describe(error, about=path)
            worst = max(worst, failure.told.exit_status)
            result = {"path": path, "error": failure.told}
            if not as_json:
                say_failure(failure, as_json=False)
        results.append(result)
    if as_json:
        print_json({"results": results})
    return worst
