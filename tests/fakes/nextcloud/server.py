"""The listener: signs people in, lets faults happen, and passes requests on.

A request is carried out whole or not at all, one at a time; what happens in between two of them is what a test queues
as a `Fault`.
"""

from __future__ import annotations

import base64
import re
import secrets
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.fakes.nextcloud.account import Account, Refusal
from tests.fakes.nextcloud.accounts import Ocs, SignIn
from tests.fakes.nextcloud.archive import Trashbin, Versions
from tests.fakes.nextcloud.files import Files
from tests.fakes.nextcloud.push import serve_push
from tests.fakes.nextcloud.transfers import Uploads, bulk
from tests.fakes.nextcloud.wire import Call, Reply
from tests.fakes.nextcloud.xml import problem

if TYPE_CHECKING:
    from collections.abc import Callable

COOKIE = "ocfakeinstan"
PASSWORD = "the person's own"


@dataclass(slots=True, kw_only=True)
class Fault:
    """What happens to the first request that fits: `before` runs ahead of it; then `status` refuses it, or it is
    carried out and `lose_answer` breaks the connection."""

    method: str
    path: str = ""  # a regular expression, found anywhere in the path
    before: Callable[[], object] | None = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    lose_answer: bool = False
    times: int = 1
    met: threading.Event = field(default_factory=threading.Event)


class FakeNextcloud:
    """One server with one account; `with` it to have it listen."""

    def __init__(self, *, user: str = "ada", password: str = PASSWORD, chunk_min_bytes: int = 0) -> None:
        self.account = Account()
        self.user = user
        self.sign_in = SignIn(user, password)
        self.ocs = Ocs(self.account, self.sign_in)
        self.maintenance = False
        self.rewrites_etags = False  # as a proxy that compresses
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self._parts: dict[str, Callable[[Call, str], Reply]] = {
            "files": Files(self.account, user).answer,
            "uploads": Uploads(self.account, user, chunk_min_bytes).answer,
            "trashbin": Trashbin(self.account, user).answer,
            "versions": Versions(self.account, user).answer,
        }
        self._search = Files(self.account, user).search
        self.sockets: set[socket.socket] = set()
        self._server = _Listener(("127.0.0.1", 0), _Handler)
        self._server.fake = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it, with every connection."""
        self._server.shutdown()
        self._server.server_close()
        for each in list(self.sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """As it is mounted."""
        return f"nextcloud+http://{self.user}@127.0.0.1:{self._server.server_address[1]}"

    def fault(self, method: str, path: str = "", **facts: Any) -> Fault:  # noqa: ANN401 - the facts of a Fault
        """Queue one."""
        self.faults.append(Fault(method=method, path=path, **facts))
        return self.faults[-1]

    # --- a request

    def fault_of(self, call: Call) -> Fault | None:
        for fault in self.faults:
            if fault.method in {call.method, "*"} and re.search(fault.path, call.path):
                fault.times -= 1
                if not fault.times:
                    self.faults.remove(fault)
                fault.met.set()
                return fault
        return None

    def answer(self, call: Call, fault: Fault | None) -> Reply:
        """What this request is answered with."""
        try:
            if fault is not None and fault.status is not None:
                return self._refused(Refusal(fault.status, "a fault"), fault.headers)
            with self.account.lock:
                return self._answered(call)
        except Refusal as refusal:
            return self._refused(refusal)

    @staticmethod
    def _refused(refusal: Refusal, headers: dict[str, str] | None = None) -> Reply:
        body = problem(refusal.status, refusal.message)
        return Reply(status=refusal.status, headers={"content-type": "application/xml"} | (headers or {}), body=body)

    def _answered(self, call: Call) -> Reply:
        if call.path == "/status.php":
            return self.ocs.status()
        if self.maintenance:
            return self._refused(Refusal(503, "System in maintenance mode."), {"retry-after": "1"})
        if call.path.startswith("/index.php/login/v2"):
            return self.sign_in.flow(call)
        signed_in, cookie = self._signed_in(call)
        if not signed_in:
            return self._refused(Refusal(401, "No public access to this resource."), {"www-authenticate": "Basic"})
        reply = self._routed(call)
        if cookie is not None:
            reply.headers["set-cookie"] = f"{COOKIE}={cookie}; path=/; HttpOnly; SameSite=Lax"
        return reply

    def _signed_in(self, call: Call) -> tuple[bool, str | None]:
        scheme, _, told = call.headers.get("authorization", "").partition(" ")
        user, _, password = base64.b64decode(told).decode().partition(":") if scheme == "Basic" else ("", "", "")
        if not self.sign_in.knows(user, password):
            return False, None
        if any(f"{COOKIE}={each}" in call.headers.get("cookie", "") for each in self.sign_in.sessions):
            return True, None
        self.sign_in.sessions.add(fresh := secrets.token_hex(8))
        return True, fresh

    def _routed(self, call: Call) -> Reply:
        if call.path.startswith("/ocs/"):
            return self.ocs.answer(call)
        if call.path == "/remote.php/dav/bulk" and self.ocs.has_bulk:
            return bulk(self.account, call)
        if call.method == "SEARCH" and call.path.rstrip("/") == "/remote.php/dav":
            return self._search(call)
        found = re.fullmatch(r"/remote\.php/dav/(\w+)/([^/]+)(/.*)?", call.path)
        if found is None or found[2] != self.user or found[1] not in self._parts:
            raise Refusal(404)
        return self._parts[found[1]](call, (found[3] or "").strip("/"))


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    fake: FakeNextcloud

    def handle_error(self, *_: object) -> None:
        """A client that went away is none of ours to report."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    def setup(self) -> None:
        super().setup()
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self.server.fake.sockets.add(self.request)

    def finish(self) -> None:
        self.server.fake.sockets.discard(self.request)
        super().finish()

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self._handle
        raise AttributeError(name)

    def _handle(self) -> None:
        fake = self.server.fake
        if self.headers.get("upgrade", "").lower() == "websocket":
            serve_push(self.request, self.headers, fake.account, fake.sign_in)
            self.close_connection = True
            return
        call = self._call()
        if call is None:
            self.close_connection = True
            return
        fake.requests.append(f"{call.method} {call.path}")
        fault = fake.fault_of(call)
        if fault is not None and fault.before is not None:
            fault.before()
        reply = fake.answer(call, fault)
        if fault is not None and fault.lose_answer:
            self.close_connection = True
            return
        self._send(call, reply)

    def _call(self) -> Call | None:
        """The request with its whole body; None when it broke off."""
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self._body(headers)
        if body is None:
            return None
        told = headers.get("authorization", "").partition(" ")[2]
        password = base64.b64decode(told).decode().partition(":")[2] if told else None
        return Call(
            method=self.command, path=unquote(parts.path), query=dict(parse_qsl(parts.query)), headers=headers,
            body=body, base_url=f"http://{headers.get('host', '')}", password=password,
        )  # fmt: skip

    def _body(self, headers: dict[str, str]) -> bytes | None:
        if headers.get("transfer-encoding", "") == "chunked":
            pieces = []
            while size := int(self.rfile.readline() or b"0", 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)
        size = int(headers.get("content-length", 0))
        body = self.rfile.read(size)
        return body if len(body) == size else None

    def _send(self, call: Call, reply: Reply) -> None:
        self.send_response_only(reply.status)
        self.send_header("Date", formatdate(self.server.fake.account.clock.now_s(), usegmt=True))
        for name, value in reply.headers.items():
            told = f'{value[:-1]}-gzip"' if name == "etag" and self.server.fake.rewrites_etags else value
            self.send_header(name, told)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if call.method != "HEAD" and reply.status != 204:
            self.wfile.write(reply.body)
