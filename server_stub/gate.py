"""What every request passes: its id, its log line, its figures, and with --no-auth the check that it was meant for us.

Without tokens only loopback is listened on, but a web page can make a browser send requests there (DNS rebinding). So
Host must be a name of this machine and Origin, when there is one, too.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import secrets
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders

from server_stub.logs import request_id
from server_stub.problems import Problem
from server_stub.routes.http import problem_response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from server_stub.metrics import Metrics

log = logging.getLogger(__name__)

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_STREAM_TYPES: Final = (b"text/event-stream",)
_NO_ROUTE: Final = "none"


class Gate:
    """An ASGI application around the routes; `route_names` tells the template of a route by its endpoint."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        route_names: Mapping[Any, str],
        any_host: bool,
        log_requests: bool,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._route_names = route_names
        self._any_host = any_host
        self._log_level = logging.INFO if log_requests else logging.DEBUG

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        passage = _Passage(send, _request_id(scope))
        token = request_id.set(passage.request_id)
        self._metrics.running.inc()
        try:
            await self._pass(scope, receive, passage)
        finally:
            self._metrics.running.dec()
            self._tell(scope, passage)
            request_id.reset(token)

    async def _pass(self, scope: Scope, receive: Receive, passage: _Passage) -> None:
        if not self._any_host and not is_meant_for_us(Headers(scope=scope)):
            problem = Problem(
                "host_not_allowed", "without tokens only requests to this machine's own names are answered"
            )
            await problem_response(problem)(scope, receive, passage.send)
            return
        try:
            await self._app(scope, receive, passage.send)
        except Exception:
            if passage.status == 0:
                raise
            # Told in the log where it happened; the answer, or its cut end, is on its way.
            log.debug("an answer ended early", exc_info=True)

    def _tell(self, scope: Scope, passage: _Passage) -> None:
        seconds = time.perf_counter() - passage.begun_s
        route = self._route_names.get(scope.get("endpoint"), _NO_ROUTE)
        self._metrics.count(
            method=scope["method"],
            route=route,
            status=passage.status,
            seconds=None if passage.is_stream else seconds,
            sent_bytes=passage.sent_bytes,
        )
        if log.isEnabledFor(self._log_level):
            facts = {
                "method": scope["method"],
                "route": route,
                "status": passage.status,
                "duration_ms": round(seconds * 1e3, 2),
                "sent_bytes": passage.sent_bytes,
                "token_id": scope.get("anchorfs.token_id"),
            }
            path = scope.get("raw_path", b"").decode("ascii", "replace")
            text = "%s %s %d %.1f ms %d bytes"
            log.log(
                self._log_level,
                text,
                scope["method"],
                path,
                passage.status,
                seconds * 1e3,
                passage.sent_bytes,
                extra=facts,
            )


class _Passage:
    """One answer on its way out."""

    def __init__(self, send: Send, own_id: str) -> None:
        self._send = send
        self.request_id = own_id
        self.begun_s = time.perf_counter()
        self.status = 0  # 0: nobody was there to be answered any more
        self.sent_bytes = 0
        self.is_stream = False

    async def send(self, message: Message) -> None:
        """Pass a message on, with our id on its head."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message.setdefault("headers", [])
            MutableHeaders(raw=headers).setdefault("x-request-id", self.request_id)
            self.is_stream = any(name == b"content-type" and value.startswith(_STREAM_TYPES) for name, value in headers)
        else:
            self.sent_bytes += len(message.get("body", b""))
        await self._send(message)


def is_meant_for_us(headers: Headers) -> bool:
    """Whether Host is a name of this machine, and Origin (a browser's word on who asks) too."""
    origin = headers.get("origin")
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not _is_local(f"//{hosts[0]}"):
        return False
    return origin is None or _is_local(origin)


def _is_local(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _request_id(scope: Scope) -> str:
    """What the client or a proxy named it, when that is harmless; else one of our own."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            if _REQUEST_ID.fullmatch(text):
                return str(text)
    return secrets.token_hex(8)
