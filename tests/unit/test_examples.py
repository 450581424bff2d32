"""What hypothesis tries is the same in every run, whatever else was run in the same process."""

from __future__ import annotations

import importlib.util
import random
import sys
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def drawn() -> list[int]:
    """Some numbers, as any property is given them."""
    numbers: list[int] = []

    @settings(derandomize=True, database=None, max_examples=200)
    @given(st.integers())
    def note(number: int) -> None:
        numbers.append(number)

    note()
    return numbers


def test_a_module_that_is_imported_meanwhile_adds_no_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(1)
    path = tmp_path / "numerous.py"
    path.write_text(f"NUMBERS = {[dice.randrange(1 << 40) for _ in range(100)]}\n")
    before = drawn()
    spec = importlib.util.spec_from_file_location("numerous", path)
    assert spec is not None
    monkeypatch.setitem(sys.modules, "numerous", importlib.util.module_from_spec(spec))
    assert drawn() == before
