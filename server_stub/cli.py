"""The command `anchorfs-server`: serve, scan, token, doctor. Exit status: 0 done, 1 failed, 2 usage, 75 try
again, 78 configuration.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NoReturn

import typer
import uvloop

from server_stub.auth import TokensUnusable, create_token, load_tokens, revoke_token
from server_stub.doctor import Patient, Verdict, examine
from server_stub.logs import LogFormat, set_up_logs
from server_stub.migrations import StateUnusable
from server_stub.scanning import ScanRequest, scan, summary, tell_progress
from server_stub.serving import TOKENS_NAME, StateInUse, is_loopback, serve
from server_stub.settings import DAY_S, Settings
from server_stub.sqlite_activity import read_activity
from server_stub.watching.status import WatchMode

EX_TRY_AGAIN = 75
EX_CONFIG = 78

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Serves a directory as a cloud drive.")
token_app = typer.Typer(no_args_is_help=True, help="Make, list and revoke access tokens.")
app.add_typer(token_app, name="token")

RootOption = Annotated[Path, typer.Option("--root", help="The directory to serve.")]
StateOption = Annotated[Path | None, typer.Option("--state", help="Where the server keeps its index.")]
TokensOption = Annotated[Path, typer.Option("--tokens", help="The tokens file (mode 0600).")]


def fail(message: str, status: int = 1) -> NoReturn:
    """Say why on stderr and exit."""
    sys.stderr.write(f"anchorfs-server: {message}\n")
    raise typer.Exit(status)


def default_state(root: Path) -> Path:
    """A folder of its own for each root, in the XDG state folder."""
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    key = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return base / "anchorfs-server" / f"{root.name or 'root'}-{key}"


def checked_root(root: Path) -> Path:
    """The root's real path, or a clear end."""
    resolved = root.expanduser().resolve()
    if not resolved.is_dir():
        fail(f"{root} is not a directory", EX_CONFIG)
    return resolved


def address(listen: str) -> tuple[str, int]:
    """HOST:PORT, or a clear end."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65_535:
        fail(f"--listen wants HOST:PORT, not {listen!r}", 2)
    return host.strip("[]") or "127.0.0.1", int(port)


def safe_address(listen: str, tokens: Path | None, *, no_auth: bool) -> tuple[str, int]:
    """Where to listen, when whoever can reach it needs a token or is on this machine; or a clear end."""
    host, port = address(listen)
    if no_auth and tokens is not None:
        fail("--tokens and --no-auth exclude each other", 2)
    if not is_loopback(host) and tokens is None:
        fail(f"{host} can be reached from other machines: give --tokens FILE (see 'token create')", EX_CONFIG)
    return host, port


@app.command("serve")
def serve_command(
    root: RootOption,
    state: StateOption = None,
    *,
    listen: Annotated[str, typer.Option(help="HOST:PORT; port 0 picks a free one.")] = "127.0.0.1:8420",
    tokens: Annotated[Path | None, typer.Option(help="The tokens file (mode 0600).")] = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Ask for no token; on loopback only.")] = False,
    watch: Annotated[
        WatchMode, typer.Option(help="How to learn at once of changes that others make in the directory.")
    ] = WatchMode.AUTO,
    samba_log: Annotated[Path | None, typer.Option(help="Where Samba's full_audit writes who did what.")] = None,
    scan_interval: Annotated[float, typer.Option(help="Seconds between scans; 0: none by timer.", min=0)] = 60.0,
    fold_names: Annotated[
        bool, typer.Option("--fold-names", help="Refuse names that differ from another's in case or Unicode form only.")
    ] = False,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain (PEM): serve HTTPS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    upload_max_size: Annotated[int, typer.Option(help="Bytes of one upload.", min=1)] = 1 << 43,
    upload_ttl: Annotated[int, typer.Option(help="Seconds until an untouched upload expires.", min=1)] = 7 * DAY_S,
    uploads_max: Annotated[int, typer.Option(help="Uploads that one token has at a time.", min=1)] = 10_000,
    retention: Annotated[int, typer.Option(help="Seconds that deletions and older contents are kept.", min=1)] = 30
    * DAY_S,
    feed_max_rows: Annotated[int, typer.Option(help="Deletions that the feed tells at most.", min=1)] = 1_000_000,
    keepalive: Annotated[float, typer.Option(help="Seconds between comment lines of a stream.", min=0.05)] = 15.0,
    webhook_allow_private: Annotated[
        bool, typer.Option("--webhook-allow-private", help="Call webhooks on private and loopback addresses too.")
    ] = False,
    webhook_backoff: Annotated[float, typer.Option(help="Seconds after a first failed call.", min=0.01)] = 1.0,
    webhook_give_up: Annotated[
        float, typer.Option(help="Seconds of failed calls after which a webhook is disabled.", min=0)
    ] = 3.0 * DAY_S,
    ready_file: Annotated[Path | None, typer.Option(help="Written when listening, as JSON.")] = None,
    head_timeout: Annotated[float, typer.Option(help="Seconds for a request head to arrive.", min=0.1)] = 30.0,
    stall_timeout: Annotated[
        float, typer.Option(help="Seconds that a body or a reader may stand still.", min=0.1)
    ] = 60.0,
    log_format: Annotated[LogFormat, typer.Option(help="Lines for people, or JSON.")] = LogFormat.TEXT,
    access_log: Annotated[bool, typer.Option(help="A line for each request.")] = True,
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
) -> None:
    """Serve a directory until SIGTERM or Ctrl-C."""
    if (tls_cert is None) != (tls_key is None):
        fail("--tls-cert and --tls-key belong together", 2)
    host, port = safe_address(listen, tokens, no_auth=no_auth)
    real_root = checked_root(root)
    real_state = (state or default_state(real_root)).expanduser().absolute()
    settings = Settings(
        root=real_root,
        state=real_state,
        tokens=None if no_auth else (tokens or real_state / TOKENS_NAME),
        no_auth=no_auth,
        host=host,
        port=port,
        fold_names=fold_names,
        tls_cert=tls_cert,
        tls_key=tls_key,
        upload_max_bytes=upload_max_size,
        upload_ttl_s=upload_ttl,
        uploads_max=uploads_max,
        retention_s=retention,
        feed_max_rows=feed_max_rows,
        keepalive_s=keepalive,
        webhook_allow_private=webhook_allow_private,
        webhook_backoff_s=webhook_backoff,
        webhook_give_up_s=webhook_give_up,
        log_requests=access_log,
        head_timeout_s=head_timeout,
        stall_timeout_s=stall_timeout,
        ready_file=ready_file,
        scan_interval_s=scan_interval,
        watch=watch,
        samba_log=samba_log,
    )
    set_up_logs(log_format, verbose=verbose)
    run_server(settings)


def run_server(settings: Settings) -> None:
    """Run to the end, with a clear word for what prevents it."""
    try:
        uvloop.run(serve(settings))
    except StateInUse as error:
        fail(str(error), EX_TRY_AGAIN)
    except (TokensUnusable, StateUnusable, sqlite3.DatabaseError) as error:
        fail(str(error), EX_CONFIG)
    except OSError as error:
        fail(f"cannot serve: {error}")


@app.command("scan")
def scan_command(
    root: RootOption,
    state: StateOption = None,
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Ask folders only; edits in place are not found.")] = False,
    duty: Annotated[float, typer.Option(help="Share of the time that it works.", min=0.01, max=1.0)] = 1.0,
    confirm_deletions: Annotated[
        bool, typer.Option("--confirm-deletions", help="Yes, most of the drive was deleted on purpose.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as one line of JSON.")] = False,
) -> None:
    """Find what others changed in the directory; through the running server, or alone when none runs. Exit status 1
    when deletions wait for --confirm-deletions.
    """
    real_root = checked_root(root)
    real_state = (state or default_state(real_root)).expanduser().absolute()
    request = ScanRequest(quick=quick, duty=duty, confirmed=confirm_deletions)
    answer = scan(Settings(root=real_root, state=real_state, no_auth=True), request, tell_progress)
    if "error" in answer:
        fail(str(answer["error"]))
    report = dict(answer["report"])  # type: ignore[call-overload]
    typer.echo(json.dumps(report) if as_json else summary(report))
    if report["held"]:
        fail(f"{report['held']} items are gone: most of the drive; if that is meant: --confirm-deletions")


@token_app.command("create")
def token_create(
    tokens: TokensOption,
    name: Annotated[str, typer.Option(help="Whose it is.")],
    root: Annotated[str, typer.Option(help="The folder that it sees as its root.")] = "/",
    read_only: Annotated[bool, typer.Option("--read-only")] = False,
) -> None:
    """Make a token; its secret is printed once and kept nowhere."""
    try:
        typer.echo(create_token(tokens, name=name, root=root, read_only=read_only))
    except (TokensUnusable, OSError) as error:
        fail(str(error), EX_CONFIG)


@token_app.command("list")
def token_list(tokens: TokensOption) -> None:
    """Show the tokens, without their secrets."""
    try:
        for token in load_tokens(tokens):
            rights = "read-only" if token.read_only else "read-write"
            typer.echo(f"{token.token_id}\t{token.name}\t{token.root}\t{rights}")
    except TokensUnusable as error:
        fail(str(error), EX_CONFIG)


@token_app.command("revoke")
def token_revoke(tokens: TokensOption, token_id: Annotated[str, typer.Argument(help="Its id or name.")]) -> None:
    """Take a token back; a running server notices at its next request."""
    try:
        if not revoke_token(tokens, token_id):
            fail(f"no token {token_id!r} in {tokens}")
    except TokensUnusable as error:
        fail(str(error), EX_CONFIG)


@app.command("doctor")
def doctor_command(
    root: RootOption,
    state: StateOption = None,
    *,
    tokens: Annotated[Path | None, typer.Option(help="The tokens file, when it is not the state's own.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Findings as JSON.")] = False,
) -> None:
    """Check root, state, index and vault, and say what is wrong. Exit status 1 when anything is."""
    real_root = checked_root(root)
    real_state = (state or default_state(real_root)).expanduser().absolute()
    database = real_state / "drive.db"
    if not database.exists():
        fail(f"{real_state} holds no state yet; it is made by the first 'serve'", EX_CONFIG)
    patient = Patient(root=real_root, state=real_state, database=database, tokens=tokens or real_state / TOKENS_NAME)
    findings = examine(patient)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        typer.echo("\n".join(finding.line() for finding in findings))
    if any(finding.verdict is Verdict.WRONG for finding in findings):
        raise typer.Exit(1)


@app.command("activity")
def activity_command(
    root: RootOption,
    state: StateOption = None,
    *,
    item: Annotated[str | None, typer.Option(help="Only of the item with this id.")] = None,
    limit: Annotated[int, typer.Option(help="Lines at most.", min=1)] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object per line.")] = False,
) -> None:
    """Tell what others changed in the directory, the newest first, and who it was, as far as known."""
    database = (state or default_state(checked_root(root))).expanduser().absolute() / "drive.db"
    if not database.exists():
        fail(f"{database.parent} holds no state yet; it is made by the first 'serve'", EX_CONFIG)
    try:
        entries = read_activity(database, item_id=item, limit=limit)
    except sqlite3.Error as error:
        fail(str(error))
    for entry in entries:
        typer.echo(entry.json() if as_json else entry.line())


def main() -> None:
    """Entry point of `anchorfs-server`."""
    app()
