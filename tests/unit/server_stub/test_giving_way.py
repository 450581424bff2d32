"""Digests of what others brought are computed in the pauses that requests leave."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from server_stub import upkeep
from server_stub.values import Evidence

if TYPE_CHECKING:
    from pathlib import Path

CHUNKS = 5


@pytest.mark.parametrize("asked_s_ago", [0.0, 60.0])
def test_hashing_gives_way_to_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked_s_ago: float) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(CHUNKS << 20))
    slept: list[float] = []
    now_s = time.monotonic()
    monkeypatch.setattr(upkeep.time, "monotonic", lambda: now_s)
    monkeypatch.setattr(upkeep.time, "sleep", slept.append)
    service: Any = SimpleNamespace(
        blobs=SimpleNamespace(open_current=lambda _names: os.open(path, os.O_RDONLY)),
        notifier=SimpleNamespace(closed=False),
        asked_s=now_s - asked_s_ago,
    )
    item: Any = SimpleNamespace(evidence=Evidence.of(path.stat()))
    assert upkeep._digest(service, item, ("file",)) is not None
    assert len(slept) == (0 if asked_s_ago else CHUNKS)
