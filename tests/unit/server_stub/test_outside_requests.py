"""A request that runs into what others did, while a look at the same names is under way: both together know it all."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import pytest

from tests.unit.server_stub.outside import Outside

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from server_stub.store import Ledger, View

T = TypeVar("T")


def refresh_before(outside: Outside, step: int, names: tuple[str, ...]) -> Callable[[], bool]:
    """Have a request look at a folder before the look's step of this number; tells whether it came to that."""
    read, write = outside.store.read, outside.store.write
    steps = itertools.count()
    done: list[bool] = []

    async def request() -> None:
        if next(steps) == step:
            done.append(await write(partial(outside.scanner.refresh, names=names)))

    async def read_after(work: Callable[[View], T]) -> T:
        await request()
        return await read(work)

    async def write_after(work: Callable[[Ledger], T]) -> T:
        await request()
        return await write(work)

    outside.store.read, outside.store.write = read_after, write_after  # type: ignore[method-assign]
    return lambda: bool(done)


def folder_over_a_file(outside: Outside) -> None:
    (outside.root / "thing").unlink()
    (outside.root / "thing").mkdir()
    (outside.root / "thing" / "inside").write_bytes(b"theirs")


def new_folders(outside: Outside) -> None:
    (outside.root / "new" / "deep").mkdir(parents=True)
    (outside.root / "new" / "deep" / "inside").write_bytes(b"theirs")


def folder_over_a_folder(outside: Outside) -> None:
    (outside.root / "folder").rename(outside.root / "moved")
    new = outside.root / "folder" / "other"
    new.parent.mkdir()
    new.write_bytes(b"theirs")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (folder_over_a_file, ("thing", "thing/inside")),
        (folder_over_a_file, ("thing/inside",)),
        (new_folders, ("new", "new/deep", "new/deep/inside")),
        (folder_over_a_folder, ("folder", "moved", "folder/other")),
    ],
)
def test_nothing_is_missed_between_two_steps(
    tmp_path: Path, change: Callable[[Outside], None], told: tuple[str, ...]
) -> None:
    for step in itertools.count():
        (tmp_path / str(step)).mkdir()
        outside = Outside(tmp_path / str(step))
        (outside.root / "thing").write_bytes(b"base")
        (outside.root / "folder").mkdir()
        (outside.root / "folder" / "inner").write_bytes(b"inner")
        outside.scan()
        change(outside)
        came_to_it = refresh_before(outside, step, ())
        outside.doubt(*told)
        found = set(outside.ids())
        outside.close()
        assert found == outside.kinds_on_disk(), f"with a request before step {step}"
        if not came_to_it():
            break
    assert step > 3
