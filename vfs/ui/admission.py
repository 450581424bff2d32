"""Who may use the page: whoever opens the address that was printed in the terminal, once, from this machine.

The address holds a token that works once; it is exchanged for a cookie that no script can read and no other site can
send. A request has to name our own address as its host, so that a name which somebody points at 127.0.0.1 leads
nowhere, and whatever changes something has to come from our own page.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "anchorfs-ui"
_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; form-action 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)


class Admission:
    """One page's secrets."""

    def __init__(self, hosts: frozenset[str]) -> None:
        self.ticket: str | None = secrets.token_urlsafe(24)
        self._hosts = hosts
        self._session = secrets.token_urlsafe(32)

    def enter(self, request: Request) -> Response | None:
        """The answer to a visitor with a ticket, or without the right to come in; None: go on."""
        if request.headers.get("host") not in self._hosts:
            return PlainTextResponse("another host was asked for", 421)
        told = request.query_params.get("token")
        if told is not None and request.url.path == "/":
            return self._redeem(told)
        if not hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self._session.encode()):
            return PlainTextResponse("open the address that `anchorfs ui` printed; it works once", 403)
        if request.method != "GET" and not self._is_own(request):
            return PlainTextResponse("only from the page itself", 403)
        return None

    def _redeem(self, told: str) -> Response:
        if self.ticket is None or not hmac.compare_digest(told.encode(), self.ticket.encode()):
            return PlainTextResponse("this address was used already; run `anchorfs ui` again", 403)
        self.ticket = None
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, self._session, httponly=True, samesite="strict")
        return answer

    def _is_own(self, request: Request) -> bool:
        origin = request.headers.get("origin", "")
        return origin.removeprefix("http://") in self._hosts and request.headers.get("x-anchorfs") == "1"


class Guarded:
    """An application behind an Admission."""

    def __init__(self, app: ASGIApp, admission: Admission) -> None:
        self._app = app
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._admission.enter(Request(scope))
        await (refusal or self._app)(scope, receive, send_with_headers)
