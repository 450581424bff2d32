"""A webhook receiver for tests: answers as it is told to, and remembers what it was sent."""

from __future__ import annotations

import json
import queue
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from types import TracebackType

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> Json:
        document: Json = json.loads(self.body)
        return document


class Receiver:
    """`with Receiver() as receiver:` listens on loopback; `statuses` are given to hints in order, then 204."""

    def __init__(self) -> None:
        self.calls: queue.Queue[Call] = queue.Queue()
        self.statuses: list[int] = []
        self.always: int | None = None  # for every hint, instead
        self.echo: str | None = ""  # "": the challenge as text; None: as JSON; otherwise this text
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook?for=me"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def next(self, kind: str = "changes.available", within_s: float = DEADLINE_S) -> Call:
        """The next call of this type; queue.Empty when none comes."""
        while True:
            call = self.calls.get(timeout=within_s)
            if call.told["type"] == kind:
                return call

    def answer(self, call: Call) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        if call.told["type"] == "webhook.challenge":
            challenge = call.told["data"]["challenge"]
            as_json = json.dumps({"challenge": challenge})
            return 200, {}, (as_json if self.echo is None else self.echo or challenge).encode()
        status = self.always or (self.statuses.pop(0) if self.statuses else 204)
        return status, {"location": self.url + "&redirected"} if 300 <= status < 400 else {}, b""

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                call = Call(path=self.path, headers={k.lower(): v for k, v in self.headers.items()}, body=body)
                status, headers, answer = receiver.answer(call)
                self.send_response(status)
                for name, value in ({"content-length": str(len(answer))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)
                receiver.calls.put(call)

            def log_message(self, *_arguments: object) -> None:
                """Quiet."""

        return Handler
