"""Event streams over raw sockets: resume, coalescing, keep-alive, idle readers by the thousand."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from server_stub.auth import create_token, revoke_token
from tests.harness.waiting import DEADLINE_S, until

from .conftest import Api

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.server import ServerProcess

SELDOM = ("--keepalive", "600")  # no event comes behind a line that keeps the stream alive


class Stream:
    """One open stream, read line by line."""

    def __init__(self, server: ServerProcess, *, token: str | None = None, query: str = "", fields: str = "") -> None:
        self.socket = socket.create_connection(server.address, timeout=DEADLINE_S)
        request = f"GET /v1/changes/stream{query} HTTP/1.1\r\nHost: localhost\r\n{fields}"
        self.socket.sendall(f"{request}Authorization: Bearer {token or server.token}\r\n\r\n".encode())
        self.lines = self.socket.makefile("rb")

    def close(self) -> None:
        self.lines.close()
        self.socket.close()

    def until(self, start: bytes) -> str:
        """The rest of the next line that begins so; EOFError when the stream ends before."""
        while (line := self.lines.readline()) not in {b"", b"0\r\n"}:  # the last chunk
            if line.startswith(start):
                return line.removeprefix(start).decode().strip()
        raise EOFError

    def anchor(self) -> str:
        told: dict[str, str] = json.loads(self.until(b"data: "))
        return told["anchor"]

    def ends(self) -> bool:
        """Whether nothing but comments comes before the end."""
        with pytest.raises(EOFError):
            self.until(b"data: ")
        return True


@contextmanager
def streaming(
    server: ServerProcess, *, token: str | None = None, query: str = "", fields: str = ""
) -> Iterator[Stream]:
    stream = Stream(server, token=token, query=query, fields=fields)
    try:
        stream.until(b": hello")
        yield stream
    finally:
        stream.close()


def test_resumes_where_the_last_event_was(api: Api, home: dict[str, str], shared_server: ServerProcess) -> None:
    with streaming(shared_server) as first:
        api.create(home["item_id"], "one")
        seen = first.anchor()
    api.create(home["item_id"], "two")
    with streaming(shared_server, fields=f"Last-Event-ID: {seen}\r\n") as again:
        assert again.anchor() == api.anchor() != seen
    with streaming(shared_server, query="?anchor=nonsense", fields=f"Last-Event-ID: {seen}\r\n") as stronger:
        assert stronger.anchor() == api.anchor()


def test_an_anchor_that_cannot_be_served_is_refused_before_the_stream(api: Api) -> None:
    answer = api.http.get("/v1/changes/stream", params={"anchor": "nonsense"})
    assert (answer.status_code, answer.json()["anchor"]) == (410, api.anchor())


def test_many_commits_are_few_events(server: ServerProcess) -> None:
    server.options = SELDOM
    server.start()
    with server.client() as client, streaming(server) as stream:
        api = Api(client)
        root_id = api.root()["item_id"]
        for number in range(40):
            api.create(root_id, f"{number}")
        last, events = api.anchor(), 1
        while stream.anchor() != last:
            events += 1
    assert events <= 40


def test_a_reader_that_takes_nothing_holds_up_nobody(
    api: Api, home: dict[str, str], shared_server: ServerProcess
) -> None:
    with streaming(shared_server) as idle:
        with streaming(shared_server) as awake:
            for number in range(30):
                api.create(home["item_id"], f"{number}")
            last = api.anchor()
            until(lambda: awake.anchor() == last, "the newest event")
        events = [idle.anchor()]
        while events[-1] != last:
            events.append(idle.anchor())
        assert len(events) <= 30


def test_a_head_request_is_no_stream(api: Api) -> None:
    assert api.http.head("/v1/changes/stream").headers["content-type"].startswith("text/event-stream")


def test_a_revoked_token_ends_its_stream(server: ServerProcess) -> None:
    server.options = ("--keepalive", "0.2")
    server.start()
    tokens = server.state / "tokens.json"
    with streaming(server, token=create_token(tokens, name="short")) as stream:
        stream.until(b": nothing new")
        revoke_token(tokens, "short")
        assert stream.ends()


def resident_bytes(pid: int) -> int:
    """What the process holds in memory now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


# 150 MB for a thousand is the promise; smaller numbers are held to the same share, with room for the first page faults.
@pytest.mark.parametrize("clients", [200, pytest.param(1_000, marks=pytest.mark.soak)])
def test_idle_clients_are_cheap_and_all_are_rung(server: ServerProcess, clients: int) -> None:
    server.options = SELDOM
    server.start()
    with server.client() as client, ExitStack() as open_streams:
        api = Api(client)
        root_id = api.root()["item_id"]
        with streaming(server):
            before = resident_bytes(server.pid)
        streams = [open_streams.enter_context(streaming(server)) for _ in range(clients)]
        cost = resident_bytes(server.pid) - before
        assert cost < clients * 150_000, f"{cost / clients:.0f} bytes for each"
        made = api.create(root_id, "news").status_code
        assert made == 201
        assert {stream.anchor() for stream in streams} == {api.anchor()}
