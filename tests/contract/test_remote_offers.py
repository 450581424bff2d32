"""What a remote offers is what the suite goes by: else a test would be missing, and nobody would see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.contract.offers import FLAGS, OFFERED

if TYPE_CHECKING:
    from tests.contract.homes import Home


async def test_a_remote_offers_what_its_tests_are_chosen_by(home: Home, kind: str) -> None:
    told, known = home.remote.capabilities, OFFERED[kind]
    assert told.features == known.features
    assert {flag: getattr(told, flag) for flag in FLAGS} == {flag: getattr(known, flag) for flag in FLAGS}
