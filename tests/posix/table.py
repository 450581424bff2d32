"""How cases are registered: by the name of their function, and of the variant that they are made for."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.posix.work import Work


class Table(dict[str, "Callable[[Work], None]"]):
    """The cases of a module."""

    def case(self, *variants: Iterable[str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Register a function once, or once for each combination of variants."""

        def register(function: Callable[..., None]) -> Callable[..., None]:
            for chosen in product(*variants):
                name = "-".join((function.__name__, *chosen))
                self[name] = partial(_call, function, chosen)
            return function

        return register


def _call(function: Callable[..., None], chosen: tuple[str, ...], work: Work) -> None:
    function(work, *chosen)
