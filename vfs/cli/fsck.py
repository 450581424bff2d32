"""`anchorfs fsck`: check a drive's folder on this machine against its laws, while no mount uses it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from cache.errors import LocalError
from vfs.cli.printing import Json, out, print_json, reporting
from vfs.config import default_cache_dir, parse_url
from vfs.failure import ExitStatus, describe


@reporting
def fsck(
    drive: Annotated[str, typer.Argument(help="The drive's address, or its folder (what --cache-dir said).")],
    deep: Annotated[bool, typer.Option("--deep", help="Also read and hash every whole file.")] = False,
    as_json: Json = False,
) -> int:
    """Check what is kept of a drive on this machine; it changes nothing."""
    from cache.fsck import check  # noqa: PLC0415 - the catalog is opened by this command only

    folder = default_cache_dir(parse_url(drive), dict(os.environ)) if "://" in drive else Path(drive)
    try:
        findings = check(folder, deep=deep)
    except LocalError as error:
        raise describe(error, about=str(folder)) from error
    if as_json:
        rows = [
            {"law": each.law, "subject": each.subject, "detail": each.detail, "heals": each.heals} for each in findings
        ]
        print_json({"folder": str(folder), "findings": rows})
    for each in () if as_json else findings:
        out.print(f"{escape(str(each))}{'  (the next mount heals it)' if each.heals else ''}")
    if not findings and not as_json:
        out.print(f"{escape(str(folder))} is well")
    return ExitStatus.FAILED if any(not each.heals for each in findings) else ExitStatus.DONE
