"""`diagnose`: one file to send to whoever helps. Without tokens, and without names of files unless they are asked for.

What is left out stands in the bundle's own README. Names are left out rather than replaced: a log line without its text
still tells when what part of the program spoke.
"""

from __future__ import annotations

import importlib.metadata
import io
import os
import platform
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from vfs.cli.asking import ask, records
from vfs.cli.doctor import findings
from vfs.cli.printing import Json, escape, out, print_json, reporting
from vfs.failure import ExitStatus, Failure
from vfs.requests import Request, Verb

if TYPE_CHECKING:
    from vfs.registry import Record

LOG_LINES = 2000
_PACKAGES = ("anchorfs", "pyfuse3", "trio", "httpx", "httpcore", "msgspec", "typer", "rich")
_LINE = re.compile(r"(\S+ \S+) ([A-Z]+) ([\w.]+): ")
_NAMED = frozenset(("mountpoint", "cache_dir", "log_file", "last_error", "url", "refused"))
_README = """\
Made by `anchorfs diagnose`{how}.
machine.json   versions of the kernel, Python and packages
doctor.json    what `anchorfs doctor` found{findings}
mounts.json    numbers of the running mounts{mounts}
mount-N.log    the last {lines} lines of its log{log}
No token is in here.
"""


@reporting
def diagnose(
    output: Annotated[str | None, typer.Option("--output", "-o", help="The bundle to write.", metavar="FILE")] = None,
    *,
    names: Annotated[bool, typer.Option("--names", help="With names of files, paths and addresses.")] = False,
    as_json: Json = False,
) -> int:
    """Write a bundle for a report: how things stand here, without tokens and, unless asked for, without names."""
    import tarfile  # noqa: PLC0415 - large, and every other command does without

    path = Path(output or time.strftime("anchorfs-diagnosis-%Y%m%d-%H%M%S.tar.gz"))
    parts = _parts(names=names)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as bundle:
        for name, data in parts.items():
            facts = tarfile.TarInfo(f"anchorfs-diagnosis/{name}")
            facts.size, facts.mtime, facts.mode = len(data), int(time.time()), 0o600
            bundle.addfile(facts, io.BytesIO(data))
    if as_json:
        print_json({"path": str(path), "names": names, "parts": list(parts)})
    else:
        out.print(f"{escape(str(path))}: {', '.join(parts)}")
    return ExitStatus.DONE


def _parts(*, names: bool) -> dict[str, bytes]:
    running = records()
    parts = {
        "README": _readme(names=names),
        "machine.json": _json(_machine()),
        "doctor.json": _json([_finding(each, names=names) for each in findings()]),
        "mounts.json": _json([_numbers(record, names=names) for record in running]),
    }
    for number, record in enumerate(running):
        if record.log_file is not None:
            parts[f"mount-{number}.log"] = _log(Path(record.log_file), names=names)
    return parts


def _readme(*, names: bool) -> bytes:
    left_out = (
        ("", "", "", "")
        if names
        else (" without --names", ": how many", ", without where they are", ", without its texts")
    )
    how, found, mounts, log = left_out
    return _README.format(how=how, findings=found, mounts=mounts, log=log, lines=LOG_LINES).encode()


def _machine() -> dict[str, object]:
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            packages[name] = "not installed"
    return {
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "") if Path("/etc/os-release").exists() else "",
        "user_is_root": os.geteuid() == 0,
        "packages": packages,
    }


def _finding(found: dict[str, object], *, names: bool) -> dict[str, object]:
    return found if names else {"ok": found["ok"]}


def _numbers(record: Record, *, names: bool) -> dict[str, Any]:
    try:
        status = ask(record.mountpoint, Request(verb=Verb.STATUS))
    except Failure as failure:
        return {"error": failure.told.kind}
    return status if names else {key: value for key, value in status.items() if key not in _NAMED}


def _log(path: Path, *, names: bool) -> bytes:
    """The end of a log; without its texts, time, level and part of the program are left."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
    except OSError as error:
        return f"{error.strerror}\n".encode()
    if not names:
        lines = [" ".join(found.groups()) for line in lines if (found := _LINE.match(line))]
    return "".join(f"{line}\n" for line in lines).encode()


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
