"""What the doctor makes of a server's clock."""

from __future__ import annotations

import http.server
import threading
import time
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest

from tests.harness.waiting import DEADLINE_S
from vfs.cli import doctor
from vfs.cli.doctor import clock

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock(http.server.BaseHTTPRequestHandler):
    """Answers with the Date that a test wants."""

    date: str | None = None

    def do_GET(self) -> None:
        self.send_response_only(200)
        if self.date is not None:
            self.send_header("Date", self.date)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """Nothing."""


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(doctor, "ANSWER_S", DEADLINE_S)
    with http.server.HTTPServer(("127.0.0.1", 0), Clock) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("ahead_s", "well"), [(0, True), (-30, True), (3600, False), (-3600, False)])
def test_a_clock_that_is_far_off_is_told(url: str, monkeypatch: pytest.MonkeyPatch, ahead_s: int, well: bool) -> None:
    monkeypatch.setattr(Clock, "date", formatdate(time.time() + ahead_s, usegmt=True))
    (finding,) = clock(url)
    assert finding["ok"] is well
    assert ("set one of them" in str(finding["text"])) is not well


@pytest.mark.parametrize("date", [None, "yesterday"])
def test_a_server_that_does_not_tell_is_not_blamed(url: str, monkeypatch: pytest.MonkeyPatch, date: str | None) -> None:
    monkeypatch.setattr(Clock, "date", date)
    assert clock(url) == []
