"""The ASGI application: routes by resource over one service, and problem documents for what no route
answers.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from server_stub.gate import Gate
from server_stub.metrics import Metrics
from server_stub.problems import Problem
from server_stub.routes import (
    batch,
    blocks,
    changes,
    committing,
    content,
    copying,
    items,
    openness,
    system,
    trash,
    uploads,
    walks,
    webhooks,
    writing,
)
from server_stub.routes.http import problem_response

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route
    from starlette.types import ASGIApp

    from server_stub.service import Service

log = logging.getLogger(__name__)


def all_routes() -> list[Route]:
    """Every route; more specific ones stand before the catch-all of a name."""
    return [
        *system.routes,
        *openness.routes,
        *changes.routes,
        *webhooks.routes,
        *items.routes,
        *walks.routes,
        *copying.routes,
        *trash.routes,
        *batch.routes,
        *writing.routes,
        *content.routes,
        *blocks.routes,
        *committing.routes,
        *uploads.routes,
    ]


def make_app(service: Service) -> ASGIApp:
    """The application over a running service, behind the gate that every request passes."""
    routes = all_routes()
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refuse, Exception: _surprise})
    app.state.service = service
    app.state.metrics = metrics = Metrics()
    names = {route.endpoint: route.path for route in routes}
    settings = service.settings
    return Gate(
        app,
        metrics=metrics,
        route_names=names,
        any_host=not settings.no_auth,
        log_requests=settings.log_requests,
    )


async def _refuse(_request: Request, error: Exception) -> Response:
    """404 and 405 of the router as problem documents."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = {404: "not_found", 405: "method_not_allowed"}.get(status, "invalid_request")
    headers = getattr(error, "headers", None)
    return problem_response(Problem(code, status=status, headers=headers))


async def _surprise(request: Request, error: Exception) -> Response:
    """A fault of ours: one request fails, with its trace in the log, and no other."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem_response(Problem("internal", "the server failed on this request; its log says why"))
