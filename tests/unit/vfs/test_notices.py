"""What a person is told on the desktop, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import trio

from cache.errors import StateUnusable
from tests.harness.waiting import DEADLINE_S, until
from vfs import notices
from vfs.notices import Standing, news, watch

if TYPE_CHECKING:
    from pathlib import Path

WELL = Standing(0, 0, signed_out=False)


@dataclass
class Numbers:
    connection: str = "online"
    conflicts: int = 0
    queue_parked: int = 0


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (WELL, WELL, []),
        (WELL, Standing(2, 0, signed_out=False), ["2 files"]),
        (Standing(2, 0, signed_out=False), Standing(1, 3, signed_out=False), ["3 changes"]),
        (WELL, Standing(0, 0, signed_out=True), ["then mount again"]),
        (Standing(0, 0, signed_out=True), Standing(0, 0, signed_out=True), []),
        (WELL, Standing(1, 1, signed_out=True), ["1 files", "1 changes", "token"]),
    ],
)
def test_only_what_is_new_is_told(before: Standing, now: Standing, told: list[str]) -> None:
    texts = news(before, now)
    assert len(texts) == len(told)
    assert all(part in text for part, text in zip(told, texts, strict=True))


async def test_a_program_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "LOOK_INTERVAL_S", 0.01)
    monkeypatch.setattr(notices, "SHOW_S", DEADLINE_S)
    shown, program, numbers = tmp_path / "shown", tmp_path / "show", Numbers()
    program.write_text(f'#!/bin/sh\nprintf "%s|" "$@" > {shown}.new && mv {shown}.new {shown}\n')
    program.chmod(0o700)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch, "/m", lambda: numbers, str(program))
        await trio.testing.wait_all_tasks_blocked()
        numbers.conflicts = 1
        await trio.to_thread.run_sync(until, shown.exists, "the notice")
        nursery.cancel_scope.cancel()
    words = shown.read_text().split("|")
    assert words[:4] == ["--app-name=AnchorFS", "--", "/m", "1 files were changed on two sides: anchorfs conflicts"]


async def test_where_nothing_can_be_shown_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "LOOK_INTERVAL_S", 0.0)
    states = iter([Numbers(), Numbers(conflicts=1)])
    with trio.fail_after(DEADLINE_S):
        await watch("/m", lambda: next(states), "/nowhere/at/all")


async def test_a_catalog_that_cannot_be_read_is_told_and_ends_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "LOOK_INTERVAL_S", 0.0)
    monkeypatch.setattr(notices, "SHOW_S", DEADLINE_S)
    shown, program, looks = tmp_path / "shown", tmp_path / "show", iter([Numbers()])

    def look() -> Numbers:
        for numbers in looks:
            return numbers
        raise StateUnusable("the catalog is damaged")

    program.write_text(f'#!/bin/sh\nprintf "%s" "$4" > {shown}\n')
    program.chmod(0o700)
    with trio.fail_after(DEADLINE_S):
        await watch("/m", look, str(program))
    assert shown.read_text() == "the catalog is damaged"
