"""The application and its server: one process, loopback only, until Ctrl-C."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from vfs.ui import answers
from vfs.ui.admission import Admission, Guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

_STATIC = Path(__file__).with_name("static")
BODY_BYTES_MAX = 64 << 10


async def _index(_request: Request) -> Response:
    return FileResponse(_STATIC / "index.html")


async def _act(request: Request) -> Response:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            break
    return await run_in_threadpool(answers.act, body)


def application(admission: Admission) -> Guarded:
    """The page and what it asks, behind its admission."""
    routes = [
        Route("/", _index),
        Route("/api/mounts", answers.mounts),
        Route("/api/activity", answers.activity),
        Route("/api/folder", answers.folder),
        Route("/api/preview", answers.preview),
        Route("/api/act", _act, methods=["POST"]),
        Mount("/static", StaticFiles(directory=_STATIC)),
    ]
    return Guarded(Starlette(routes=routes), admission)


def serve(port: int, ready: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM; `ready` is told the address that lets one visitor in. OSError: a taken port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen(64)
        chosen = listening.getsockname()[1]
        admission = Admission(frozenset((f"127.0.0.1:{chosen}", f"localhost:{chosen}")))
        ready(f"http://127.0.0.1:{chosen}/?token={admission.ticket}")
        config = uvicorn.Config(application(admission), log_config=None, access_log=False, lifespan="off", ws="none")
        uvicorn.Server(config).run(sockets=[listening])
