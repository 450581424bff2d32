"""`versions`, `restore`, `trash`, `search`: what the server keeps beside the tree as it is."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from vfs.cli.asking import ask, ask_about, split, the_mount
from vfs.cli.printing import (
    Json,
    Mountpoint,
    columns,
    escape,
    out,
    print_json,
    reporting,
    rows_of,
    show_bytes,
    show_time,
)
from vfs.failure import ExitStatus, Failure
from vfs.requests import Request, Verb

Limit = Annotated[int, typer.Option(help="How many at most.", min=1, max=10_000)]


@reporting
def versions(
    path: Annotated[str, typer.Argument(help="A file in a mount.")], limit: Limit = 100, as_json: Json = False
) -> int:
    """The contents of a file that the server still has, the newest first."""
    told = ask_about(path, Request(verb=Verb.VERSIONS, limit=limit))
    if as_json:
        print_json(told)
        return ExitStatus.DONE
    grid = columns("version", "size", "written", "replaced")
    for row in rows_of(told, "versions"):
        replaced = "the current one" if row["replaced_at_s"] is None else show_time(row["replaced_at_s"])
        grid.add_row(escape(row["content_version"]), show_bytes(row["size"]), show_time(row["modified_at_s"]), replaced)
    out.print(grid)
    return ExitStatus.DONE


@reporting
def restore(
    path: Annotated[str | None, typer.Argument(help="A file, or where something was before it was deleted.")] = None,
    *,
    version: Annotated[str | None, typer.Option(help="Which content, as `versions` tells it.")] = None,
    item: Annotated[str | None, typer.Option(help="What was deleted, by its id, as `trash` tells it.")] = None,
    as_json: Json = False,
) -> int:
    """Bring back what was deleted, or the content that a file had before; what it has now stays a version."""
    if path is None and item is None:
        raise Failure("usage", "restore PATH, or restore --item ID", status=ExitStatus.USAGE)
    if item is None and path is not None and os.path.lexists(path):
        told = ask_about(path, Request(verb=Verb.RESTORE, version=version or ""))
    else:
        told = _from_trash(path, item)
    if as_json:
        print_json(told)
    else:
        restored = told["restored"]
        where = restored["path"] if isinstance(restored, dict) else path
        out.print(f"restored: {escape(str(where))}")
    return ExitStatus.DONE


def _from_trash(path: str | None, item: str | None) -> dict[str, object]:
    where, below = split([] if path is None else [path])
    return ask(where, Request(verb=Verb.RESTORE, item_id=item or "", paths=tuple(each.strip("/") for each in below)))


@reporting
def trash(mountpoint: Mountpoint = None, limit: Limit = 100, as_json: Json = False) -> int:
    """What was deleted and can be restored, the newest first."""
    told = ask(the_mount(mountpoint), Request(verb=Verb.TRASH, limit=limit))
    rows = rows_of(told, "trash")
    if as_json:
        print_json(told)
    elif not rows:
        out.print("the trash is empty")
    else:
        grid = columns("deleted", "what", "size", "until", "item")
        for row in rows:
            name = f"{row['path']}/" if row["kind"] == "folder" else row["path"]
            size = show_bytes(row["size"]) if row["kind"] == "file" else ""
            until = show_time(row["expires_at_s"])
            grid.add_row(show_time(row["deleted_at_s"]), escape(name), size, until, escape(row["item_id"]))
        out.print(grid)
    return ExitStatus.DONE


@reporting
def search(
    text: Annotated[str, typer.Argument(help="What a name holds; letter case does not matter.")],
    mountpoint: Mountpoint = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> int:
    """Find names in the whole drive, also where nothing was ever listed here; the server is asked."""
    where = the_mount(mountpoint)
    told = ask(where, Request(verb=Verb.SEARCH, text=text, limit=limit))
    if as_json:
        print_json(told)
        return ExitStatus.DONE
    for row in rows_of(told, "found"):
        out.print(escape(os.path.join(where, row["path"]) + ("/" if row["kind"] == "folder" else "")))  # noqa: PTH118
    return ExitStatus.DONE
