"""`anchorfs ui` as a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def page(environment: dict[str, str]) -> Iterator[str]:
    """The address that lets one visitor in; the server ends with the block."""
    words = [sys.executable, "-m", "vfs.cli", "ui", "--json"]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            text = ""
            while not text.endswith("}\n"):
                line = process.stdout.readline()
                assert line, "the page's server ended"
                text += line
            yield json.loads(text)["url"]
            process.send_signal(signal.SIGINT)
            assert process.wait(DEADLINE_S) in {0, 130}
        finally:
            process.kill()


@contextmanager
def visitor(address: str) -> Iterator[httpx.Client]:
    """A client that was let in; it sends what the page's own script sends."""
    base, _, _ = address.partition("/?")
    with httpx.Client(base_url=base, headers={"origin": base, "x-anchorfs": "1"}, timeout=DEADLINE_S) as client:
        assert client.get(address).status_code == 303
        yield client
