"""`pause`, `resume`, `approve`, `reject`, `conflicts`, `activity`: what a person decides, and what was decided."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
import typer

from cache.model import Aspect
from sync.choices import Keep  # noqa: TC001 - typer reads the annotation
from vfs.cli.asking import ask, ask_about, mounts_meant, split, the_mount
from vfs.cli.printing import Json, Mountpoint, columns, escape, out, print_json, reporting, rows_of, show_time
from vfs.failure import ExitStatus, Failure
from vfs.requests import Request, Verb

FOLLOW_EVERY_S = 0.5

Paths = Annotated[list[str] | None, typer.Argument(help="Files or folders in a mount; none: all of it.")]


@reporting
def pause(mountpoint: Mountpoint = None, as_json: Json = False) -> int:
    """Send nothing, and fetch only what is read, until `resume`."""
    return _steer(
        mountpoint,
        Verb.PAUSE,
        "is paused: changes are kept here, files are fetched when they are read",
        as_json=as_json,
    )


@reporting
def resume(mountpoint: Mountpoint = None, as_json: Json = False) -> int:
    """Go on after `pause`."""
    return _steer(mountpoint, Verb.RESUME, "goes on", as_json=as_json)


def _steer(mountpoint: str | None, verb: Verb, words: str, *, as_json: bool) -> int:
    where = the_mount(mountpoint)
    result = ask(where, Request(verb=verb))
    if as_json:
        print_json(result)
    else:
        out.print(f"{escape(where)} {words}")
    return ExitStatus.DONE


@reporting
def approve(paths: Paths = None, as_json: Json = False) -> int:
    """Send changes that `--push=review` holds."""
    return _review(paths, Verb.APPROVE, "approved", as_json=as_json)


@reporting
def reject(paths: Paths = None, as_json: Json = False) -> int:
    """Undo changes that are held or parked; their bytes are kept, and it is told where."""
    return _review(paths, Verb.REJECT, "rejected", as_json=as_json)


def _review(paths: list[str] | None, verb: Verb, word: str, *, as_json: bool) -> int:
    where, below = split(paths or [])
    rows = rows_of(ask(where, Request(verb=verb, paths=below, path=where)), word)
    if as_json:
        print_json({word: rows})
        return ExitStatus.DONE
    for row in rows:
        kept = f", kept in {row['kept']}" if row.get("kept") else ""
        out.print(escape(f"{word}: {Aspect(row['aspect']).word} {row['path']}{kept}"))
    return ExitStatus.DONE


@reporting
def conflicts(
    action: Annotated[str, typer.Argument(help="list, or resolve.")] = "list",
    path: Annotated[str | None, typer.Argument(help="list: a mount. resolve: the copy, or the original.")] = None,
    keep: Annotated[Keep | None, typer.Option(help="Which side stays.")] = None,
    as_json: Json = False,
) -> int:
    """List conflict copies, or settle one."""
    if action == "resolve":
        return _resolve(path, keep, as_json=as_json)
    if action != "list" and path is None:
        path = action  # as of any other command: the mount
    elif action != "list":
        raise Failure("usage", f"conflicts {action}: it is `list` or `resolve`", status=ExitStatus.USAGE)
    rows = [
        {"mountpoint": where, **row}
        for where in mounts_meant(path)
        for row in rows_of(ask(where, Request(verb=Verb.CONFLICTS)), "conflicts")
    ]
    if as_json:
        print_json({"conflicts": rows})
    elif not rows:
        out.print("no conflict is open")
    else:
        grid = columns("since", "original", "copy")
        for row in rows:
            copy, original = row["mountpoint"] + row["copy"], row["original"]
            there = row["mountpoint"] + original if original else "(gone)"
            grid.add_row(show_time(row["at_s"]), escape(there), escape(copy))
        out.print(grid)
        out.print("to settle one: anchorfs conflicts resolve COPY --keep original|copy|both")
    return ExitStatus.DONE


def _resolve(path: str | None, keep: Keep | None, *, as_json: bool) -> int:
    if path is None or keep is None:
        named = f"'{path}'" if path else "PATH"
        hint = f"anchorfs conflicts resolve {named} --keep original|copy|both"
        raise Failure("usage", "which conflict is to be settled, and what stays?", hint=hint, status=ExitStatus.USAGE)
    result = ask_about(path, Request(verb=Verb.RESOLVE, keep=keep))
    if as_json:
        print_json(result)
    else:
        out.print(f"{escape(path)}: settled, {keep} kept")
    return ExitStatus.DONE


@reporting
def activity(
    path: Annotated[str | None, typer.Argument(help="A mount, or a file or folder in it.")] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on telling what happens.")] = False,
    limit: Annotated[int, typer.Option(help="How many of the newest.", min=1, max=1000)] = 100,
    as_json: Json = False,
) -> int:
    """What changed, who changed it, and what was decided; --json prints a document per line."""
    where, below = split([] if path is None else [path])
    after = _print_activity(where, below, 0, limit, as_json=as_json)
    while follow:
        time.sleep(FOLLOW_EVERY_S)
        after = _print_activity(where, below, after, 1000, as_json=as_json)
    return ExitStatus.DONE


def _print_activity(where: str, below: tuple[str, ...], after: int, limit: int, *, as_json: bool) -> int:
    told = ask(where, Request(verb=Verb.ACTIVITY, paths=below, after_seq=after, limit=limit))["entries"]
    for row in told if isinstance(told, list) else []:
        after = max(after, int(row["seq"]))
        if as_json:
            out.file.write(msgspec.json.encode(row).decode() + "\n")
        else:
            detail = f"  {row['detail']}" if row["detail"] else ""
            out.print(escape(f"{show_time(row['at_s'])}  {row['who']:7}  {row['what']:17}  {row['path']}{detail}"))
    out.file.flush()
    return after
