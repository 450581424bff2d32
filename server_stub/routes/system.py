"""The drive's room, and whether the server is well."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.routing import Route

from server_stub.routes.http import endpoint, json_response, service_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from server_stub.service import Service
    from server_stub.values import Principal


@endpoint
async def space(_request: Request, service: Service, _principal: Principal) -> Response:
    """statfs of the drive."""
    return json_response(await asyncio.to_thread(service.space))


async def healthz(request: Request) -> Response:
    """Answers when the index answers, and says how current it is with what others do; needs no token."""
    service = service_of(request)
    await service.read(lambda view: view.newest_seq())
    return json_response({"status": "ok", "watch": service.outside.status.state})


routes = [Route("/v1/space", space, methods=["GET"]), Route("/healthz", healthz, methods=["GET"])]
