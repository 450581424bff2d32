"""Names that come, change and go: one after another, and each waits for the one before it.

A client may answer for a file that it has not sent yet without asking anybody. So changes of such files, and of files
that are on the server, as those of people are, have rows of their own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scripts.benches import places, work
from scripts.benches.measure import Measure
from scripts.benches.samples import Unit

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.benches.places import Place


def naming(names: int, where: str = "", bar: float | None = None) -> list[Measure]:
    """Rows of `names` changes each; `where` ends their names, `bar` is our time divided by rclone's."""

    def paths(place: Place, kind: str, number: int) -> list[Path]:
        return [place.path / "work" / f"{kind}-{number}-{each}" for each in range(names)]

    def row(name: str, change: Callable[[Path], object], kind: str) -> Measure:
        return Measure(
            name=name + where, unit=Unit.MICROSECONDS, at_most=None if bar is None else (places.RCLONE, bar),
            take=lambda place, number: work.each(change, paths(place, kind, number)),
        )  # fmt: skip

    return [
        row("mkdir", lambda path: path.mkdir(), "folder"),
        _of_new(f"create and close{where}", names, "created", bar=bar),
        *(
            _of_new(f"{name} of a file just made{where}", names, name, change)
            for name, change in (("rename", _rename), ("unlink", Path.unlink))
        ),
        *(
            _of_known(f"{name} of a file on the server{where}", change, slice(start, start + names), bar)
            for name, change, start in (("rename", _rename, 0), ("unlink", Path.unlink, names))
        ),
        row("rmdir", lambda path: path.rmdir(), "folder"),
    ]


def _of_new(
    name: str, names: int, kind: str, change: Callable[[Path], object] | None = None, *, bar: float | None = None
) -> Measure:
    """Files made an instant ago, which nobody can have sent yet: making them, or a change of them. Gone afterwards."""

    def make_and_change(place: Place, number: int) -> float:
        paths = [place.path / "work" / f"{kind}-{number}-{each}" for each in range(names)]
        seconds = work.each(_create, paths)
        if change is not None:
            seconds = work.each(change, paths)
        for left in (place.path / "work").iterdir():
            if left.is_file():
                left.unlink()
        return seconds

    at_most = None if bar is None else (places.RCLONE, bar)
    return Measure(name=name, unit=Unit.MICROSECONDS, take=make_and_change, at_most=at_most)


def _of_known(name: str, change: Callable[[Path], object], part: slice, bar: float | None) -> Measure:
    """Files that lie at the server, in a folder that was listed: what people have."""

    def list_and_change(place: Place, number: int) -> float:
        folder = place.path / f"there-{number}"
        work.scan(folder)
        return work.each(change, sorted(folder.iterdir())[part])

    at_most = None if bar is None else (places.RCLONE, bar)
    return Measure(name=name, unit=Unit.MICROSECONDS, take=list_and_change, at_most=at_most)


def _create(path: Path) -> None:
    path.open("xb", buffering=0).close()


def _rename(path: Path) -> None:
    path.rename(path.with_name("zz-renamed-" + path.name))  # sorted behind all others
