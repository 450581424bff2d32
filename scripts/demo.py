"""What AnchorFS does, seen in a terminal: placeholders, hydration, an edit here, an edit there. Then it is
yours.

Each step says what it does, does it, looks whether it came true, and has a deadline. Behind scripts/demo.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from stage import STEP_TIMEOUT_S, Stage, StepFailedError, stage, within

from vfs.cli.printing import show_bytes

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

console = Console(highlight=False, soft_wrap=True)
SHOWN_ROWS = 8
BOOK = "python/pydoc_data/topics.py"  # one of the larger texts of the standard library


def state(path: Path) -> str:
    """What the mount says about a file."""
    return os.getxattr(path, "user.anchorfs.state").decode()


def expect(truth: bool, otherwise: str) -> None:
    """Fail the step unless it is so."""
    if not truth:
        raise StepFailedError(otherwise)


def show_files(paths: list[Path]) -> None:
    """A listing with what each file takes on this machine; only for people."""
    if not console.is_terminal:
        return
    grid = Table(box=None, padding=(0, 2), header_style="dim")
    grid.add_column("file")
    grid.add_column("size", justify="right")
    grid.add_column("on this machine", justify="right")
    grid.add_column("state")
    for path in paths:
        status = path.stat()
        grid.add_row(
            escape(path.name),
            show_bytes(status.st_size),
            show_bytes(status.st_blocks * 512),
            f"[cyan]{state(path)}[/]",
        )
    console.print(grid)


def placeholders(here: Stage) -> str:
    """The whole tree is there, and none of its bytes."""
    folder = here.mount / "python"
    files = sorted(path for path in folder.iterdir() if path.is_file())
    served = {path.name: path.stat().st_size for path in (here.drive / "python").iterdir() if path.is_file()}
    seen = {path.name: path.stat().st_size for path in files}
    expect(seen == served, "the mount lists other files than the server has")
    held = [path.name for path in files if path.stat().st_blocks or state(path) != "online-only"]
    expect(not held, f"these hold bytes before anyone read them: {held}")
    show_files(files[:SHOWN_ROWS])
    return f"{len(files)} files of python/ with their true sizes, 0 bytes on this machine"


def hydration(here: Stage) -> str:
    """A file that is read arrives."""
    path = here.mount / BOOK
    expect(path.stat().st_blocks == 0, f"{BOOK} holds bytes already")
    content = path.read_bytes()
    expect(content == (here.drive / BOOK).read_bytes(), f"{BOOK} reads otherwise than on the server")
    here.await_true(lambda: state(path) == "local" and path.stat().st_blocks > 0, f"{BOOK} to become local")
    show_files([path])
    return f"{BOOK}: {show_bytes(len(content))} read, the same bytes as on the server, now local"


def edit_here(here: Stage) -> str:
    """What is written in the mount arrives on the server."""
    words = "Written in the mount.\n"
    (here.mount / "from-here.txt").write_text(words, encoding="utf-8")
    with (here.mount / "notes.txt").open("a", encoding="utf-8") as file:
        file.write(words)
    here.run("anchorfs", "sync", here.mount, "--wait", "--timeout", 30)
    made = (here.drive / "from-here.txt").read_text(encoding="utf-8")
    changed = (here.drive / "notes.txt").read_text(encoding="utf-8")
    expect(made == words and changed.endswith(words), "the server's folder does not hold what was written")
    return "from-here.txt made and notes.txt changed in the mount: both are in the server's folder"


def edit_there(here: Stage) -> str:
    """What changes on the server shows in the mount, without asking."""
    words = "Written on the server, behind everyone's back.\n"
    (here.mount / "notes.txt").read_bytes()  # the kernel has it cached, so that a stale answer would show
    (here.drive / "from-there.txt").write_text(words, encoding="utf-8")
    (here.drive / "notes.txt").write_text(words, encoding="utf-8")
    here.run("anchorfs-server", "scan", "--root", here.drive, "--state", here.state)

    def arrived() -> bool:
        made = here.mount / "from-there.txt"
        known = "from-there.txt" in os.listdir(here.mount)  # noqa: PTH208 - the listing itself is shown to change
        return known and made.read_text() == words and (here.mount / "notes.txt").read_text() == words

    here.await_true(arrived, "the server's edit to arrive in the mount")
    return "from-there.txt made and notes.txt changed on the server: both show in the mount"


STEPS = (
    ("The whole drive is there as placeholders", placeholders),
    ("A file hydrates when it is read", hydration),
    ("An edit here arrives on the server", edit_here),
    ("An edit on the server arrives here", edit_there),
)


def perform(here: Stage) -> None:
    """Set the stage, then each step with its deadline."""
    files = here.furnish()
    here.serve()
    console.print(f"[bold]server[/]  {here.url} serves {files} files of {here.drive}")
    here.mount_drive()
    console.print(f"[bold]mount[/]   {here.mount}\n")
    for title, step in STEPS:
        console.print(f"[bold]{title}[/]")
        seen = within(STEP_TIMEOUT_S, lambda step=step: step(here))
        console.print(f"  [green]seen[/] {escape(seen)}\n")


def stay(here: Stage) -> None:
    """Leave the mount to the person until a signal comes."""
    console.print(f"It is yours now: try   [bold]ls -l {here.mount}[/]   in another terminal,")
    console.print(f"change files there or in {here.drive}, watch the other side.")
    console.print("[bold]Ctrl-C[/] unmounts and clears everything away.")
    while here.alive():
        signal.sigtimedwait([], 1.0)  # a signal's handler raises, and that ends the wait
    raise StepFailedError("the server or the mount ended by itself")


def _interrupted(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough: the clearing away is not to be interrupted
    raise KeyboardInterrupt(number)


def main() -> int:
    """0 when every step was seen to work."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="do not stay: show the steps, clear away, exit")
    once = parser.parse_args().once
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupted)
    shown = False
    try:
        with stage() as here:
            try:
                perform(here)
            except (StepFailedError, OSError):
                for program in ("anchorfs-server", "anchorfs"):
                    console.print(f"[dim]── log of {program} ──\n{escape(here.log(program)[-4000:])}[/]")
                raise
            shown = True
            if not once:
                stay(here)
    except KeyboardInterrupt:
        console.print("unmounted, stopped, cleared away" if shown else "interrupted; everything is cleared away")
        return 0 if shown and not once else 130
    except (StepFailedError, OSError, subprocess.TimeoutExpired) as error:
        console.print(f"[bold red]not seen to work:[/] {escape(str(error))}")
        return 1
    console.print("[green]each step was seen to work[/]; unmounted, stopped, cleared away")
    return 0


if __name__ == "__main__":
    sys.exit(main())
