"""`anchorfs fsck`: check a drive's folder on this machine against its laws, while no mount uses it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import trio
import typer

from cache.errors import LocalError
from vfs.cli.places import WHERE, place_of
from vfs.cli.printing import Json, escape, out, print_json, reporting
from vfs.failure import ExitStatus, describe

if TYPE_CHECKING:
    from pathlib import Path


@reporting
def fsck(
    drive: Annotated[str, WHERE],
    deep: Annotated[bool, typer.Option("--deep", help="Also read and hash every whole file.")] = False,
    mend: Annotated[bool, typer.Option("--repair", help="Put right what is wrong; nothing unsent is lost.")] = False,
    as_json: Json = False,
) -> int:
    """Check what is kept of a drive on this machine; without --repair it changes nothing."""
    from cache.fsck import check  # noqa: PLC0415 - the catalog is opened by this command only
    from cache.repair import repair  # noqa: PLC0415

    folder = place_of(drive).folder
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
