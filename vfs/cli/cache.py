"""`anchorfs cache inspect` and `anchorfs cache clear`: what a drive takes on this machine, mounted or not."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import trio
import typer
from rich.table import Table

from cache.errors import LocalError
from cache.model import ROOT_INO
from vfs.cli.asking import ask
from vfs.cli.places import WHERE, Place, place_of
from vfs.cli.printing import Json, escape, out, print_json, reporting, show_bytes
from vfs.failure import ExitStatus, describe
from vfs.requests import Request, Verb

if TYPE_CHECKING:
    from pathlib import Path

    from cache.inspection import Inspection

app = typer.Typer(help="What a drive takes on this machine.", no_args_is_help=True, add_completion=False)

Where = Annotated[str | None, WHERE]


@app.command()
@reporting
def inspect(
    where: Where = None,
    verify: Annotated[bool, typer.Option("--verify", help="Also read and hash every whole file.")] = False,
    as_json: Json = False,
) -> int:
    """What is held, what is not sent yet, what is pinned; it changes nothing."""
    from cache.inspection import inspect as look  # noqa: PLC0415 - the catalog is opened by this command only

    place = place_of(where)
    try:
        found = look(place.folder, verify=verify)
    except LocalError as error:
        raise describe(error, about=str(place.folder)) from error
    if as_json:
        print_json({"folder": str(place.folder), "mountpoint": place.mountpoint, **asdict(found)})
    else:
        _show(place, found)
    return ExitStatus.FAILED if found.damaged else ExitStatus.DONE


def _show(place: Place, found: Inspection) -> None:
    out.print(f"[bold]{escape(str(place.folder))}[/]  {escape(found.url)}")
    grid = Table.grid(padding=(0, 2))
    verified = "" if found.verified_files is None else f"{found.verified_files} whole files read, "
    lines = [
        ("mounted", place.mountpoint or "no"),
        ("known", f"{found.entries} entries"),
        ("held", f"{show_bytes(found.held_bytes)}: {found.whole_files} files, and parts of {found.partial_files}"),
        ("not sent", f"{found.unsent_changes} changes, {show_bytes(found.dirty_bytes)}"),
        ("pins", str(found.pins)),
        ("rescued", f"{found.rescued_files} files" if found.rescued_files else "nothing"),
        ("set aside", f"{found.set_aside_files} files" if found.set_aside_files else "nothing"),
    ]  # fmt: skip
    if found.verified_files is not None:
        lines.append(("verified", f"{verified}{len(found.damaged)} of them damaged"))
    for name, text in lines:
        grid.add_row(f"  {name}", escape(text))
    out.print(grid)
    for path in found.damaged:
        out.print(f"  [red]damaged[/] {escape(path)}: not what the server told; evict it, and it is fetched again")
    for large in found.largest:
        out.print(f"  {show_bytes(large.held_bytes):>10}  {escape(large.path)}")


@app.command()
@reporting
def clear(where: Where = None, as_json: Json = False) -> int:
    """Give back what the held files take; what is not sent yet, open or pinned stays."""
    place = place_of(where)
    told = _clear_mounted(place.mountpoint) if place.mountpoint else _clear_folder(place.folder)
    if as_json:
        print_json({"folder": str(place.folder), **told})
        return ExitStatus.DONE
    out.print(f"{escape(str(place.folder))}: {show_bytes(int(str(told['freed_bytes'])))} given back")
    if told["left_files"]:
        out.print(f"{told['left_files']} files ({show_bytes(int(str(told['left_bytes'])))}) stay:")
        for why, count in _reasons(told["left"]).items():
            out.print(f"  {escape(why)}: {count}")
    return ExitStatus.DONE


def _clear_mounted(mountpoint: str) -> dict[str, object]:
    return ask(mountpoint, Request(verb=Verb.EVICT, ino=ROOT_INO, path=mountpoint))


def _clear_folder(folder: Path) -> dict[str, object]:
    from cache.clearing import clear as clear_now  # noqa: PLC0415 - as above

    try:
        return asdict(trio.run(clear_now, folder))
    except LocalError as error:
        raise describe(error, about=str(folder)) from error


def _reasons(left: object) -> dict[str, int]:
    counts: dict[str, int] = {}
    for each in left if isinstance(left, list) else []:
        counts[str(each["why"])] = counts.get(str(each["why"]), 0) + 1
    return counts
