"""What happens to requests on their way: now and then a fault, chosen from the seed; and it is counted."""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import TYPE_CHECKING

from tests.faults.faults import (
    CutAnswer,
    CutRequest,
    Drip,
    Fault,
    LoseAnswer,
    Refuse,
    Request,
    Reset,
    Stall,
    Twice,
    mutation,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SHARE = 0.1  # of all requests


class Weather:
    """A rule for the fault proxy."""

    def __init__(self, seed: int, share: float = SHARE) -> None:
        self._chance = random.Random(f"weather {seed}")
        self._share = share
        self._lock = threading.Lock()
        self.faults: Counter[str] = Counter()
        self.requests = 0

    def __call__(self, request: Request) -> Fault | None:
        """The fault that this request meets, if any."""
        with self._lock:
            self.requests += 1
            if self._chance.random() >= self._share:
                return None
            fault = self._chance.choice(self._kinds(request))()
            self.faults[type(fault).__name__] += 1
            return fault

    def _kinds(self, request: Request) -> list[Callable[[], Fault]]:
        chance = self._chance
        kinds: list[Callable[[], Fault]] = [
            Reset,
            lambda: Refuse(chance.choice((500, 502, 503, 429)), chance.choice((None, 0, 1))),
            lambda: CutAnswer(chance.choice((0, 1, 40, 5_000))),
            lambda: Stall(chance.uniform(0.05, 2.0)),
            lambda: Drip(chance.choice((1, 50, 1000)), 0.02, 40),
        ]
        if mutation(request):
            kinds += [LoseAnswer, LoseAnswer, Twice, lambda: CutRequest(chance.choice((0, 10, 20_000)))]
        return kinds
