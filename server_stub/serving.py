"""Running a server: lock the state, listen, tell that it is ready, stop gracefully on SIGTERM and SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import ipaddress
import logging
import os
import resource
import signal
import socket
import sys
from typing import TYPE_CHECKING

import msgspec
import uvicorn

from server_stub.app import make_app
from server_stub.auth import new_token, save_tokens, write_private
from server_stub.connection import LimitedConfig, LimitedProtocol, Limits
from server_stub.control import control_socket
from server_stub.service import Service, open_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from server_stub.settings import Settings
from server_stub.upkeep import digest_for_ever, expire_for_ever, forget_for_ever

log = logging.getLogger(__name__)

CREDENTIAL_NAME = "token"
_SWITCH_INTERVAL_S = 0.0005
TOKENS_NAME = "tokens.json"


class StateInUse(Exception):
    """Another server owns this state folder."""


class Listener(uvicorn.Server):
    """uvicorn that leaves signals to us, tells when it listens and sends streams home when it stops."""

    def __init__(self, config: uvicorn.Config, service: Service, url: str) -> None:
        super().__init__(config)
        self._service = service
        self._url = url

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ours end the process with status 0."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        self.should_exit = True
        self._service.notifier.close()
        self._service.uploads.turns.end_all()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        settings = self._service.settings
        secret = credential_path(settings)
        sys.stdout.write(f"anchorfs-server serves {settings.root} at {self._url}\n")
        if secret is not None:
            sys.stdout.write(f"the access token is in {secret}\n")
        sys.stdout.flush()
        if settings.ready_file is not None:
            told = {"url": self._url, "token_file": None if secret is None else str(secret)}
            write_private(settings.ready_file, msgspec.json.encode(told))


def credential_path(settings: Settings) -> Path | None:
    """Where the token made at the first start lies; None when tokens are somebody else's business."""
    path = settings.state / CREDENTIAL_NAME
    ours = settings.tokens == settings.state / TOKENS_NAME
    return path if ours and path.exists() else None


def ensure_tokens(settings: Settings) -> None:
    """At the first start without --tokens and --no-auth: one token, its secret in a file of mode 0600."""
    if settings.tokens == settings.state / TOKENS_NAME and not settings.tokens.exists():
        settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        token, secret = new_token("first")
        # The secret first: a crash in between must not leave a token that nobody can ever use.
        write_private(settings.state / CREDENTIAL_NAME, secret.encode() + b"\n")
        save_tokens(settings.tokens, (token,))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextlib.contextmanager
def state_lock(state: Path) -> Iterator[None]:
    """One server per state folder. StateInUse."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateInUse(f"another server uses {state}") from None
        yield
    finally:
        os.close(fd)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 picks a free one. OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    return listening


def allow_many_sockets() -> None:
    """An idle stream is one descriptor: take all that the system grants, not the 1,024 that it begins with."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def serve(settings: Settings) -> None:
    """Run until told to stop. StateInUse, OSError, StateUnusable."""
    allow_many_sockets()
    # Scans and digests compute on threads of their own: a request waits for them this long at most, not for 5 ms.
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    with state_lock(settings.state), bind(settings.host, settings.port) as listening:
        ensure_tokens(settings)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        scheme = "http" if settings.tls_cert is None else "https"
        url = f"{scheme}://{host}:{listening.getsockname()[1]}"
        async with open_service(settings) as service, control_socket(service):
            listener = Listener(_config(service, settings), service, url)
            works = (
                service.outside.run(),
                service.scan_for_ever(),
                forget_for_ever(service),
                digest_for_ever(service),
                expire_for_ever(service),
                service.courier.run(),
            )
            tasks = [asyncio.create_task(work) for work in works]
            for task in tasks:
                task.add_done_callback(_complain)
            try:
                await listener.serve([listening])
            finally:
                service.notifier.close()
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)


def _complain(task: asyncio.Task[None]) -> None:
    """Background work that fails is said so, and the drive goes on being served."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error("background work ended", exc_info=error)


def _config(service: Service, settings: Settings) -> uvicorn.Config:
    config = LimitedConfig(
        make_app(service),
        lifespan="off",
        loop="uvloop",
        http=LimitedProtocol,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        timeout_keep_alive=settings.keep_alive_s,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=settings.concurrency_max,
        timeout_graceful_shutdown=settings.stop_within_s,
    )
    config.limits = Limits(
        head_max_bytes=settings.head_max_bytes,
        fields_max=settings.fields_max,
        head_timeout_s=settings.head_timeout_s,
        stall_timeout_s=settings.stall_timeout_s,
    )
    return config
