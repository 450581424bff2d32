"""`hydrate`, `evict`, `pin`, `unpin`, `pins`: what is wanted of files and of everything below folders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from cache.pinfile import PinState
from vfs.cli.asking import ask, ask_about, the_mount
from vfs.cli.printing import Json, columns, err, escape, number_of, out, print_json, reporting, say_failure, show_bytes
from vfs.failure import ExitStatus, Failure, describe
from vfs.requests import Request, Verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

Paths = Annotated[list[str], typer.Argument(help="Files and folders in a mount.")]
Told = dict[str, object]
_MEANING = {
    PinState.PINNED: "pinned: what is missing is fetched now; `anchorfs status` tells how far it is",
    PinState.EXCLUDED: "not pinned, even below a pinned folder",
    PinState.UNPINNED: "not pinned, and its room is given back",
    PinState.INHERIT: "not pinned; what is here stays until its room is needed",
}


@reporting
def hydrate(paths: Paths, as_json: Json = False) -> int:
    """Fetch files whole, and all below folders, to have them without a network. Ctrl-C stops it."""

    def ask_one(path: str) -> Told:
        if as_json or not err.is_terminal:
            return ask_about(path, Request(verb=Verb.HYDRATE))
        with _bar(err) as bar:
            task = bar.add_task(escape(path), total=None, files="")

            def show(told: Told) -> None:
                files = f"{told['files']}/{told['files_total']} files"
                bar.update(task, total=number_of(told, "bytes_total"), completed=number_of(told, "bytes"), files=files)

            return ask_about(path, Request(verb=Verb.HYDRATE, progress=True), show)

    def say(path: str, told: Told) -> None:
        files, size = number_of(told, "files"), show_bytes(number_of(told, "bytes"))
        out.print(f"{escape(path)}: {_files(files)} fetched ({size})" if files else f"{escape(path)}: all is here")

    return _each(paths, ask_one, say, as_json=as_json)


@reporting
def evict(paths: Paths, as_json: Json = False) -> int:
    """Give back the room that files take here, also of all below folders; they stay in the drive."""

    def say(path: str, told: Told) -> None:
        out.print(f"{escape(path)}: {show_bytes(number_of(told, 'freed_bytes'))} given back")

    return _each(paths, lambda path: ask_about(path, Request(verb=Verb.EVICT)), say, as_json=as_json)


@reporting
def pin(paths: Paths, as_json: Json = False) -> int:
    """Keep files here, and all that is or will be below folders: fetched behind your back, never evicted."""
    return _set(paths, PinState.PINNED, as_json=as_json)


@reporting
def unpin(
    paths: Paths,
    exclude: Annotated[bool, typer.Option("--exclude", help="Not even if a folder above is pinned.")] = False,
    free: Annotated[bool, typer.Option("--free", help="And give the room back whenever nobody uses it.")] = False,
    as_json: Json = False,
) -> int:
    """Take pins away; what is here stays until its room is needed."""
    if exclude and free:
        raise Failure("usage", "--exclude and --free exclude each other", status=ExitStatus.USAGE)
    state = PinState.EXCLUDED if exclude else PinState.UNPINNED if free else PinState.INHERIT
    return _set(paths, state, as_json=as_json)


@reporting
def pins(
    mountpoint: Annotated[str | None, typer.Argument(help="A mount point, or any path in the mount.")] = None,
    as_json: Json = False,
) -> int:
    """What is pinned, unpinned or excluded, and how far the fetching is."""
    where = the_mount(mountpoint)
    rules = ask(where, Request(verb=Verb.PINS))["result"]
    progress = ask(where, Request(verb=Verb.STATUS)).get("pins")
    if as_json:
        print_json({"rules": rules, "progress": progress})
        return ExitStatus.DONE
    grid = columns("pin", "path")
    for rule in rules if isinstance(rules, list) else []:
        grid.add_row(str(rule["pin"]), escape(str(rule["path"]) or "/"))
    out.print(grid if grid.row_count else "nothing is pinned")
    return ExitStatus.DONE


def _set(paths: list[str], state: PinState, *, as_json: bool) -> int:
    def ask_one(path: str) -> Told:
        return ask_about(path, Request(verb=Verb.PIN, pin=state))

    def say(path: str, told: Told) -> None:
        if told.get("pinned") and state is PinState.INHERIT:
            out.print(f"{escape(path)}: a folder above is pinned, so this stays pinned; see --exclude")
        elif out.is_terminal:
            out.print(f"{escape(path)}: {_MEANING[state]}")

    return _each(paths, ask_one, say, as_json=as_json)


def _each(paths: list[str], ask_one: Callable[[str], Told], say: Callable[[str, Told], None], *, as_json: bool) -> int:
    """Ask about each path; one failure does not keep the others from their turn."""
    worst = int(ExitStatus.DONE)
    results: list[Told] = []
    for path in paths:
        try:
            result = {"path": path, **ask_one(path)}
            if not as_json:
                say(path, result)
                _say_left(result)
            worst = max(worst, ExitStatus.FAILED if number_of(result, "left_files") else ExitStatus.DONE)
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


def _say_left(told: Told) -> None:
    """Which files stayed as they were, and why."""
    count, left = number_of(told, "left_files"), told.get("left")
    if not count or not isinstance(left, list):
        return
    err.print(f"{_files(count)} left as they were:" if count > 1 else "1 file left as it was:")
    for each in left:
        err.print(f"  {escape(str(each['path']))}: {escape(str(each['why']))}")
    if count > len(left):
        err.print(f"  … and {count - len(left)} more")


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True),
        TextColumn("{task.fields[files]}"), TransferSpeedColumn(), TimeRemainingColumn(),
        console=console, transient=True,
    )  # fmt: skip
