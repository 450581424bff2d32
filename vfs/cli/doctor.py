"""`anchorfs doctor`: what keeps this machine and its mounts from working, and the way out; mounts that dead processes
left behind are taken away.
"""

from __future__ import annotations

import email.utils
import os
import shutil
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from vfs import mountpoint as table
from vfs.cli.asking import ask, records, registry
from vfs.cli.preflight import FUSE_DEVICE, is_dead
from vfs.cli.printing import Json, escape, out, print_json, reporting, show_bytes
from vfs.config import ConfigError, state_home
from vfs.config_file import read_config
from vfs.failure import ExitStatus, Failure
from vfs.mount_options import parse_words, words_of
from vfs.requests import Request, Verb

if TYPE_CHECKING:
    from vfs.registry import Record

ROOM_MIN_BYTES = 256 << 20
CLOCK_S = 60.0  # file times and expiry are told in wall time
ANSWER_S = 5.0

Finding = dict[str, object]


@reporting
def doctor(as_json: Json = False) -> int:
    """Check this machine and its mounts, say what to do, and clean up mounts whose process died."""
    found = findings()
    well = all(finding["ok"] for finding in found)
    if as_json:
        print_json({"ok": well, "findings": found})
    else:
        for finding in found:
            mark = "[green]ok[/]  " if finding["ok"] else "[red]fail[/]"
            out.print(f"{mark} {escape(str(finding['text']))}")
    return ExitStatus.DONE if well else ExitStatus.FAILED


def findings() -> list[Finding]:
    """All of them; what is wrong says the way out."""
    found = [*_machine(), *_settings(), *_mounts()]
    for record in records():
        found += _mount(record)
    return found


def _finding(text: str, *, ok: bool) -> Finding:
    return {"ok": ok, "text": text}


def _machine() -> list[Finding]:
    usable = FUSE_DEVICE.exists() and os.access(FUSE_DEVICE, os.R_OK | os.W_OK)
    tool = shutil.which("fusermount3")
    kernel = Path("/proc/sys/kernel/osrelease").read_text(encoding="ascii").strip()
    return [
        _finding(f"{FUSE_DEVICE} {'can be opened' if usable else 'is missing or closed to this user'}", ok=usable),
        _finding(f"fusermount3: {tool or 'not installed (apt-get install fuse3)'}", ok=tool is not None),
        _finding(f"kernel {kernel}", ok=True),
    ]


def _settings() -> list[Finding]:
    """The configuration file, and that nobody else can read what is kept."""
    environment = dict(os.environ)
    try:
        file = read_config(environment)
        for name, mount in file.mounts.items():
            parse_words(words_of(mount.options, f"{file.path}: mounts.{name}"))
        parse_words(words_of(file.defaults, f"{file.path}: defaults"))
        found = [_finding(f"{file.path}: {len(file.mounts)} mounts by name", ok=True)]
    except ConfigError as error:
        found = [_finding(str(error), ok=False)]
    home = state_home(environment)
    if home.exists() and home.stat().st_mode & 0o077:
        found.append(_finding(f"{home} is open to others; run: chmod 700 {home}", ok=False))
    return found


def _mounts() -> list[Finding]:
    ours = registry()
    found = []
    for entry in table.mounts():
        record = ours.find(entry.path)
        if record is not None:
            health = table.probe(entry.path)
            text = f"{entry.path} (process {record.pid}): {health}"
            found.append(_finding(text, ok=health is table.Health.ALIVE))
        elif is_dead(entry.path, ours):
            reason = table.clear_dead(entry)
            text = f"{entry.path}: its process died; {reason or 'the dead mount is taken away'}"
            found.append(_finding(text, ok=reason is None))
    return found


def _mount(record: Record) -> list[Finding]:
    """How a mount stands against its server and its disk."""
    where = record.mountpoint
    try:
        status = ask(where, Request(verb=Verb.STATUS))
    except Failure as failure:
        return [_finding(f"{where}: {failure.told.message}; {failure.told.hint}", ok=False)]
    free = shutil.disk_usage(record.cache_dir).free
    return [
        _connection(where, record.url, str(status["connection"])),
        *clock(record.url),
        _finding(f"{where}: {show_bytes(free)} free for its cache in {record.cache_dir}", ok=free >= ROOM_MIN_BYTES),
        _finding(
            f"{where}: {status['queue_parked']} changes cannot be sent as things are"
            + ("; see `anchorfs queue`, then `anchorfs retry`" if status["queue_parked"] else ""),
            ok=not status["queue_parked"],
        ),
    ]


def _connection(where: str, url: str, connection: str) -> Finding:
    way_out = {
        "online": "",
        "offline": ": files that are here work, changes are sent later; is the server running, is there a network?",
        "signed-out": f": the token is not accepted; `anchorfs login {url}`, then mount again",
    }
    return _finding(f"{where}: {connection}{way_out.get(connection, '')}", ok=connection == "online")


def clock(url: str) -> list[Finding]:
    """How far the server's clock is from ours, where it tells."""
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=ANSWER_S) as answer:  # noqa: S310 - a checked http(s) address
            told = email.utils.parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (OSError, TypeError, ValueError):
        return []
    apart_s = abs(time.time() - told)
    text = f"{url}: its clock is {apart_s:.0f} s from ours" + ("; set one of them" if apart_s > CLOCK_S else "")
    return [_finding(text, ok=apart_s <= CLOCK_S)]
