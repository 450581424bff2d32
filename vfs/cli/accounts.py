"""`login` and `logout`: keep the token of a drive, so that no file or variable has to name it."""

from __future__ import annotations

import getpass
import os
import sys
from typing import Annotated

import trio
import typer

from sync.remote import RemoteError
from sync.remotes.address import Provider, parse_address
from vfs.cli import signing_in
from vfs.cli.printing import Json, escape, out, print_json, reporting
from vfs.config import ConfigError, parse_url
from vfs.config_file import read_config
from vfs.credentials import forget_token, store_token, stored_token
from vfs.failure import ExitStatus, Failure, describe

ANSWER_S = 20.0
Drive = Annotated[str, typer.Argument(help="Address of the drive, or a mount's name in config.toml.", metavar="URL")]


@reporting
def login(
    drive: Drive,
    *,
    token_stdin: Annotated[bool, typer.Option("--token-stdin", help="Read the token from standard input.")] = False,
    as_json: Json = False,
) -> int:
    """Check a token or password with the drive, and keep it in the keyring, or in a file of your own.

    A Nextcloud address without a user signs in with the browser. What is kept of a Nextcloud is an app password.
    """
    environment = dict(os.environ)
    url = _address(drive, environment)
    try:
        url, token = _credential(url, from_stdin=token_stdin)
        trio.run(_check, url, token)
        where = store_token(url, token, environment)
    except (RemoteError, ValueError) as error:
        raise describe(ConfigError(str(error)) if isinstance(error, ValueError) else error, about=url) from error
    if as_json:
        print_json({"url": url, "kept_in": where})
    else:
        out.print(f"the token for {escape(url)} is kept in {escape(where)}")
    return ExitStatus.DONE


def _credential(url: str, *, from_stdin: bool) -> tuple[str, str]:
    """The address as it is mounted, and what is to be kept for it; raises RemoteError."""
    address = parse_address(url)
    nextcloud = address.provider is Provider.NEXTCLOUD
    if nextcloud and address.user is None and not from_stdin:
        return trio.run(signing_in.with_browser, url)
    word = "token" if address.user is None else f"password of {address.user}"
    told = sys.stdin.readline().strip("\r\n") if from_stdin else _asked(url, word)
    told = told if address.user is not None else told.strip()
    if not told:
        raise Failure("usage", f"no {word} was given", status=ExitStatus.USAGE)
    return url, trio.run(signing_in.with_password, url, told) if nextcloud else told


@reporting
def logout(drive: Drive, as_json: Json = False) -> int:
    """Forget the token of a drive; running mounts keep theirs until they end, but for an app password of a Nextcloud,
    which the server is told to forget too."""
    environment = dict(os.environ)
    url = _address(drive, environment)
    kept = stored_token(url, environment)
    if kept is not None and parse_address(url).provider is Provider.NEXTCLOUD:
        trio.run(signing_in.take_back, url, kept)
    found = forget_token(url, environment)
    if as_json:
        print_json({"url": url, "forgotten": found})
    else:
        out.print(f"{escape(url)}: {'forgotten' if found else 'no token is kept'}")
    return ExitStatus.DONE


def _asked(url: str, word: str) -> str:
    if not sys.stdin.isatty():
        raise Failure(
            "usage", f"there is no terminal on which to ask for the {word}",
            hint=f"anchorfs login {url} --token-stdin < FILE", status=ExitStatus.USAGE,
        )  # fmt: skip
    return getpass.getpass(f"{word} for {url}: ")


def _address(drive: str, environment: dict[str, str]) -> str:
    return parse_url(drive if "://" in drive else read_config(environment).mount(drive).url)


async def _check(url: str, token: str) -> None:
    from sync.remotes.connecting import connect  # noqa: PLC0415 - an HTTP client is loaded where one is used only

    remote = connect(url, token, None)
    try:
        with trio.fail_after(ANSWER_S):
            await remote.root()
    except trio.TooSlowError:
        raise Failure("unreachable", f"{url} does not answer", status=ExitStatus.TRY_AGAIN) from None
    finally:
        with trio.CancelScope(shield=True):
            await remote.aclose()
