"""`anchorfs fsck`: check a drive's folder on this machine against its laws, while no mount uses it."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Annotated

import trio
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
    mend: Annotated[bool, typer.Option("--repair", help="Put right what is wrong; nothing unsent is lost.")] = False,
    as_json: Json = False,
) -> int:
    """Check what is kept of a drive on this machine; without --repair it changes nothing."""
    from cache.fsck import check  # noqa: PLC0415 - the catalog is opened by this command only
    from cache.repair import repair  # noqa: PLC0415

    folder = default_cache_dir(parse_url(drive), dict(os.environ)) if "://" in drive else Path(drive)
    try:
        findings = trio.run(partial(repair, folder, deep=deep)) if mend else check(folder, deep=deep)
        left = check(folder, deep=deep) if mend else findings
    except LocalError as error:
        raise describe(error, about=str(folder)) from error
    if as_json:
        rows = [
            {"law": each.law, "subject": each.subject, "detail": each.detail, "heals": each.heals} for each in findings
        ]
        print_json({"folder": str(folder), "findings": rows, "repaired": mend and not left})
    for each in () if as_json else findings:
        out.print(f"{escape(str(each))}{'  (the next mount heals it)' if each.heals and not mend else ''}")
    if mend and not as_json and findings:
        _say_repaired(folder)
    if not findings and not as_json:
        out.print(f"{escape(str(folder))} is well")
    return ExitStatus.FAILED if any(not each.heals for each in left) else ExitStatus.DONE


def _say_repaired(folder: Path) -> None:
    out.print("repaired")
    for name, what in (("quarantine", "damaged catalogs"), ("rescued", "files that may hold unsent changes")):
        if (folder / name).is_dir():
            out.print(f"{what} are in {escape(str(folder / name))}")
