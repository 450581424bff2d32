"""Signing in to a Nextcloud: what is kept on this machine is an app password, made for it and revocable by itself.

With a user in the address the person's password is asked for, traded, and forgotten; without one the browser signs in
(login flow, version 2), which also works where a password alone does not.
"""

from __future__ import annotations

import os
import webbrowser
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

import trio

from sync.remote import NotSignedIn, RemoteError
from sync.remotes.address import Address, parse_address
from vfs.cli.printing import err, escape
from vfs.failure import ExitStatus, Failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sync.remotes.nextcloud.door import Door

ANSWER_S = 30.0


async def with_password(url: str, password: str) -> str:
    """The app password for an address with a user; a given app password is kept as it is. Raises RemoteError."""
    address = parse_address(url)
    try:
        with _patience(url):
            async with _door(address, password) as door:
                return await door.app_password() or password
    except NotSignedIn as error:
        raise Failure(
            "not-signed-in",
            f"{url} does not accept the password",
            hint="where a second factor is needed the browser signs in: give the address without a user",
            status=ExitStatus.NOT_PERMITTED,
        ) from error


async def with_browser(url: str) -> tuple[str, str]:
    """The address with the user that signed in, and the app password. Raises RemoteError."""
    async with _door(parse_address(url), None) as door:
        with _patience(url):
            flow = await door.begin()
        err.print(f"Sign in and grant access on this page:\n\n    {escape(flow.page)}\n")
        if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
            await trio.to_thread.run_sync(webbrowser.open, flow.page)
        granted = await door.granted(flow)
    return _named(url, granted.user), granted.app_password


async def take_back(url: str, app_password: str) -> bool:
    """Have the server forget an app password; False when it could not be told."""
    try:
        with trio.fail_after(ANSWER_S):
            async with _door(parse_address(url), app_password) as door:
                await door.revoke()
    except (RemoteError, trio.TooSlowError):
        return False
    return True


def _named(url: str, user: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{quote(user, safe='')}@{parts.netloc}"))


@asynccontextmanager
async def _door(address: Address, password: str | None) -> AsyncIterator[Door]:
    from sync.remotes.dav.signing import Basic  # noqa: PLC0415 - an HTTP client is loaded where one is used only
    from sync.remotes.nextcloud.door import Door  # noqa: PLC0415
    from sync.remotes.nextcloud.exchange import NextcloudExchange  # noqa: PLC0415

    credential = None if password is None else Basic(address.user or "", password)
    exchange = NextcloudExchange(address.url, credential)
    try:
        yield Door(exchange)
    finally:
        with trio.CancelScope(shield=True):
            await exchange.aclose()


@contextmanager
def _patience(url: str) -> Iterator[None]:
    try:
        with trio.fail_after(ANSWER_S):
            yield
    except trio.TooSlowError:
        raise Failure("unreachable", f"{url} does not answer", status=ExitStatus.TRY_AGAIN) from None
