"""Whatever happens in whatever order, nothing accepted is lost, and in the end everybody sees the same.

`--model-examples N --model-seed S` makes it longer; scripts/model tells thousands of histories, one per seed.
"""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.model.history import PICKS, STEPS, Step, Theme, drawn, told
from tests.model.world import World

STEP_COUNT = 30


def _step(rule_name: str) -> st.SearchStrategy[Step]:
    picks = st.tuples(*[st.integers(0, 11)] * 4)
    arguments = {
        name: picks if choices == PICKS else st.sampled_from(choices) for name, choices in STEPS[rule_name][1].items()
    }
    return st.builds(Step, st.just(rule_name), st.fixed_dictionaries(arguments))  # type: ignore[arg-type]


class Convergence(RuleBasedStateMachine):
    """The steps of a World, chosen by hypothesis."""

    world: World

    @initialize(machines=st.integers(1, 3))
    def begin(self, machines: int) -> None:
        """Everybody meets the server."""
        self.world = World(machines=machines).__enter__()

    @rule(step=st.sampled_from([name for name, (weight, _) in STEPS.items() for _ in range(weight)]).flatmap(_step))
    def take(self, step: Step) -> None:
        """Anything."""
        getattr(self.world, step.rule)(**step.arguments)
        self.world.examine()

    def teardown(self) -> None:
        """Everything comes to rest."""
        try:
            self.world.rest()
        finally:
            self.world.__exit__()


def test_nothing_is_lost_and_everybody_sees_the_same_in_the_end(pytestconfig: pytest.Config) -> None:
    chosen = settings(
        max_examples=pytestconfig.getoption("--model-examples"),
        stateful_step_count=STEP_COUNT,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(pytestconfig.getoption("--model-seed"))(Convergence), settings=chosen)


@pytest.mark.parametrize(("theme", "count"), [(Theme.WIDE, 8), (Theme.NAMES, 100)])
def test_histories_of_other_themes_end_well(theme: Theme, count: int) -> None:
    for number in range(count):
        ending = told(drawn(number, 15, theme))
        assert ending.fingerprint, (
            f"scripts/model --theme {theme} --steps 15 --examples 1 --seed {number}: {ending.trace}"
        )


@pytest.mark.parametrize("theme", Theme)
def test_a_seed_tells_one_history(theme: Theme) -> None:
    for number in (3, 4, 5):
        history = drawn(number, 30, theme)
        first, second = told(history), told(history)
        assert first.fingerprint, first.trace
        assert second == first
