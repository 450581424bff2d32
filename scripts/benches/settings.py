"""What the command line asks of every bench."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

RUNS = 7
QUICK_RUNS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`folder` is on the disk that is compared with; `only` picks cases by parts of their names,
    "|" between them ("": all)."""

    quick: bool
    runs: int
    folder: Path
    only: str = ""
    begun_s: float = field(default_factory=time.monotonic)

    def say(self, what: str) -> None:
        """Tell on stderr what is being done."""
        print(f"[{time.monotonic() - self.begun_s:6.1f} s] {what}", file=sys.stderr, flush=True)

    def picks(self, case: str) -> bool:
        """Whether a case of this name is to be taken."""
        return any(part in case.casefold() for part in self.only.casefold().split("|"))
