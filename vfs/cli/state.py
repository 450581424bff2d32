"""`status`, `queue`, `sync`, `retry`: how a running mount stands against its server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.table import Table

from cache.model import Aspect
from cache.rescue import kept_files
from vfs import mountpoint as table
from vfs.cli.asking import ask, mounts_meant, records, registry, the_mount
from vfs.cli.printing import Json, Mountpoint, columns, escape, out, print_json, reporting, rows_of, show_bytes
from vfs.failure import ExitStatus, Failure, Told
from vfs.requests import Request, Verb

if TYPE_CHECKING:
    from collections.abc import Iterable


@reporting
def status(
    mountpoint: Mountpoint = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Tell it anew whenever it changes.")] = False,
    as_json: Json = False,
) -> int:
    """How the mounts are: connection, queue, cache; --follow --json prints a document per line."""
    if follow:
        return _follow(the_mount(mountpoint), as_json=as_json)
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


def _follow(mountpoint: str, *, as_json: bool) -> int:
    """Until Ctrl-C, or the mount ends."""

    def show(told: dict[str, object]) -> None:
        if as_json:
            out.file.write(msgspec.json.encode(told).decode() + "\n")
        else:
            _show_status({"state": "mounted", **told})
        out.file.flush()

    ask(mountpoint, Request(verb=Verb.WATCH, progress=True), show)
    return ExitStatus.DONE


def _status_of(mountpoint: str) -> dict[str, object]:
    try:
        told = ask(mountpoint, Request(verb=Verb.STATUS))
    except Failure as failure:
        return {"mountpoint": mountpoint, "state": "silent", "error": failure.told}
    folder = Path(str(told["cache_dir"]))  # looked at here: a long list must not keep the mount busy
    kept = {"rescued_files": kept_files(folder / "rescued"), "set_aside_files": kept_files(folder / "set-aside")}
    return {"state": "mounted", **told, **kept}


def _dead_mounts() -> list[dict[str, object]]:
    ours = registry()
    unknown = [entry.path for entry in table.mounts() if ours.find(entry.path) is None]
    return [{"mountpoint": path, "state": "dead"} for path in unknown if table.probe(path) is table.Health.DEAD]


def _show_status(report: dict[str, object]) -> None:
    out.print(f"[bold]{escape(str(report['mountpoint']))}[/]  {escape(str(report.get('url', '')))}")
    if report["state"] != "mounted":
        out.print(f"  [red]{report['state']}[/]: mount again, or: anchorfs unmount {report['mountpoint']}")
        if isinstance(error := report.get("error"), Told):
            out.print(f"  {escape(error.message)}")
        return
    grid = Table.grid(padding=(0, 2))
    for name, text in _status_lines(report):
        grid.add_row(f"  {name}", escape(text))
    out.print(grid)


def _status_lines(report: dict[str, object]) -> list[tuple[str, str]]:
    def number(name: str) -> int:
        return int(float(str(report.get(name, 0))))

    lines = [
        ("connection", _connection_line(str(report.get("connection")), number("anchor_age_s"))),
        ("queue", _queue_line(report)),
        ("transfers", f"{number('uploads_active')} up{_share(report)}, {number('downloads_active')} down"),
        ("moved", f"{show_bytes(number('bytes_up'))} up, {show_bytes(number('bytes_down'))} down"),
        ("cache", f"{show_bytes(number('cache_bytes'))} of {show_bytes(number('cache_limit'))}"),
        ("pins", _pins_line(report.get("pins"))),
        ("kept out", _refused_line(report.get("refused"))),
        ("conflicts", str(number("conflicts"))),
        ("process", f"{report.get('pid')}, state in {report.get('cache_dir')}"),
    ]
    for name, what in (("rescued", "files that may hold unsent changes"), ("set-aside", "files that lost")):
        if count := number(f"{name.replace('-', '_')}_files"):
            lines.append((name, f"{count} {what}, in {report.get('cache_dir')}/{name}"))
    if report.get("last_error"):
        lines.append(("last error", str(report["last_error"])))
    return lines


def _share(report: dict[str, object]) -> str:
    """How much of the uploads under way is sent."""
    sent, total = report.get("upload_bytes_sent"), report.get("upload_bytes_total")
    if not isinstance(sent, int) or not isinstance(total, int) or total == 0:
        return ""
    return f" ({show_bytes(sent)} of {show_bytes(total)})"


def _connection_line(connection: str, age_s: int) -> str:
    return f"{connection} ({'not asked yet' if age_s < 0 else f'anchor {age_s} s old'})"


def _queue_line(report: dict[str, object]) -> str:
    line = f"{report.get('queue_pending')} pending, {report.get('queue_parked')} parked"
    if report.get("queue_held") or report.get("push") == "review":
        line += f", {report.get('queue_held')} held for review"
    return f"{line}; paused" if report.get("paused") else line


def _refused_line(told: object) -> str:
    """Programs that rules kept from fetching."""
    counts = told if isinstance(told, dict) else {}
    return ", ".join(f"{name} {count} times" for name, count in sorted(counts.items())) or "nobody"


def _pins_line(told: object) -> str:
    """What of the pinned files is not here, and why not."""
    pins: dict[str, int] = {key: int(value) for key, value in told.items()} if isinstance(told, dict) else {}
    text = f"{pins.get('rules', 0)} set"
    if pins.get("missing_files"):
        text += f", {pins['missing_files']} files ({show_bytes(pins['missing_bytes'])}) still to come"
    if pins.get("too_many_bytes"):
        text += f"; {show_bytes(pins['too_many_bytes'])} do not fit: give a larger --cache-size, or unpin some"
    return text


@reporting
def queue(mountpoint: Mountpoint = None, as_json: Json = False) -> int:
    """Local changes that the server does not have yet."""
    meant = mounts_meant(mountpoint)
    changes = [
        {"mountpoint": where, **row}
        for where in meant
        for row in rows_of(ask(where, Request(verb=Verb.QUEUE)), "result")
    ]
    if as_json:
        print_json({"changes": changes})
        return ExitStatus.DONE
    rescued = _rescued_lines({Path(record.cache_dir) for record in records() if record.mountpoint in meant})
    if changes:
        _show_changes(changes)
    else:
        out.print("nothing is waiting" if rescued else "nothing is waiting: the server has every change")
    for line in rescued:
        out.print(escape(line))
    return ExitStatus.DONE


def _rescued_lines(cache_dirs: Iterable[Path]) -> list[str]:
    """Of unsent files that wait for a person, as no queue holds them; a line for each folder of them."""
    return [
        f"files that may hold unsent changes ({count}) are in {folder}: copy what you want back into the drive, then"
        " delete that folder"
        for folder in sorted(cache_dir / "rescued" for cache_dir in cache_dirs)
        if (count := kept_files(folder))
    ]


def _show_changes(changes: list[dict[str, Any]]) -> None:
    grid = columns("state", "change", "file", "waiting", "why")
    now_s = time.time()
    for row in changes:
        waiting = f"{max(0, now_s - float(row.get('queued_at_s') or now_s)):.0f} s"
        change, name = _named(row)
        grid.add_row(str(row["state"]), change, escape(name), waiting, escape(_why(row)))
    out.print(grid)


def _named(row: dict[str, Any]) -> tuple[str, str]:
    """A change as a person names it, and what it is about."""

    def place(told: object) -> str:
        path = str(told or row.get("base_name") or f"inode {row.get('ino')}")
        return f"{row['mountpoint']}{path}" if path.startswith("/") else path

    word, now = Aspect(row["aspect"]).word, place(row.get("path"))
    if not row.get("before"):
        return word, now
    before = place(row["before"])
    if Path(before).parent == Path(now).parent:
        return "rename", f"{before} to {Path(now).name}"
    return word, f"{before} to {now}"


def _why(row: dict[str, object]) -> str:
    progress = row.get("progress")
    if isinstance(progress, dict):
        return f"{show_bytes(int(progress['sent_bytes']))} of {show_bytes(int(progress['total_bytes']))} sent"
    return (
        "waits for `anchorfs approve`" if row["state"] == "held" else str(row.get("waits") or row.get("reason") or "")
    )


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
    elif out.is_terminal:
        out.print(f"{escape(where)} and its server agree")
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
