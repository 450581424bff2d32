"""Whose changes are still asked for, and for how long."""

from __future__ import annotations

from server_stub.watching.unsigned import SIGN_WITHIN_S, Unsigned


def test_a_change_is_asked_for_until_a_line_told() -> None:
    unsigned = Unsigned()
    unsigned.add([("a",), ("b",)], 0.0)
    unsigned.answered(unsigned.asked(), {("a",)}, 1.0)
    assert unsigned.asked() == {("b",): 0.0}


def test_a_change_stays_unsigned_when_no_line_came() -> None:
    unsigned = Unsigned()
    unsigned.add([("a",)], 0.0)
    unsigned.answered(unsigned.asked(), (), SIGN_WITHIN_S - 1)
    assert unsigned.asked() == {("a",): 0.0}
    unsigned.answered(unsigned.asked(), (), SIGN_WITHIN_S)
    assert unsigned.asked() == {}


def test_what_is_noted_while_an_answer_is_on_its_way_is_asked_for_again() -> None:
    """The removal of a file whose creation is being signed has its own line."""
    unsigned = Unsigned()
    unsigned.add([("a",)], 0.0)
    asked = unsigned.asked()
    unsigned.add([("a",), ("b",)], 1.0)
    unsigned.answered(asked, {("a",)}, 2.0)
    assert unsigned.asked() == {("a",): 1.0, ("b",): 1.0}
