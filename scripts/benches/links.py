"""Ways from a mount to its server: the loopback itself, or a delay proxy on it that counts what passes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.benches.delay import COUNTS
from scripts.benches.running import Program

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

PREFIX = "http://"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """`url` leads to the server; `counts` is where the bytes that passed are told, by a proxy."""

    url: str
    counts: Path | None = None

    def down_bytes(self) -> int:
        """Bytes from the server so far, heads of answers included; a link without a proxy does not know."""
        return self.passed()[1]

    def passed(self) -> tuple[int, int, int]:
        """Bytes to the server and from it, and requests."""
        if self.counts is None:
            raise ValueError("this link counts nothing")
        up, down, requests = COUNTS.unpack(self.counts.read_bytes())
        return up, down, requests


def lengthened(stack: ExitStack, base: Path, url: str, round_trip_ms: float) -> Link:
    """A way of `round_trip_ms` to a server; without a round trip no proxy is put in between."""
    return counted(stack, base, url, round_trip_ms) if round_trip_ms else Link(url=url)


def counted(stack: ExitStack, base: Path, url: str, round_trip_ms: float) -> Link:
    """The same through a proxy in any case, which counts and, without a round trip, holds nothing back."""
    ready, counts = base / "link.port", base / "link.counts"
    words = [sys.executable, "-m", "scripts.benches.delay", "--upstream", url.removeprefix(PREFIX)]
    words += ["--one-way-ms", str(round_trip_ms / 2), "--ready-file", str(ready), "--counts-file", str(counts)]
    proxy = Program(words, base / "link.log")
    stack.callback(proxy.close)
    proxy.await_true(ready.exists, "delay proxy")
    return Link(url=f"{PREFIX}127.0.0.1:{ready.read_text(encoding='ascii')}", counts=counts)
