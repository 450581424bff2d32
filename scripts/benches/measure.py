"""One row of a bench of programs: what is timed at each place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.benches.places import Place

if TYPE_CHECKING:
    from scripts.benches.samples import Unit

Take = Callable[[Place, int], float]
Look = Callable[[Path], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One row: what to do at a place in a run, and what to do there once before."""

    name: str
    unit: Unit
    take: Take
    prepare: Callable[[Place], object] = field(default=lambda _place: None)
    at_most: tuple[str, float] | None = None  # our time, divided by that of the place named ("" is the disk)
    at_most_s: float | None = None  # our time
