"""`python -m tests.posix [--as UID] FOLDER [CASE…]`: do the table in a folder of any file system; the lines as JSON.

One process for one file system, because the cases change who they are. Compare two of these with `diff`. As somebody
else than root a case ends where it would become yet somebody else: also there two file systems must agree.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING

from tests.posix import (
    cases_descriptors,
    cases_folders,
    cases_names,
    cases_open,
    cases_owners,
    cases_paths,
    cases_renames,
    cases_times,
)
from tests.posix.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable

MODULES = (
    cases_names,
    cases_renames,
    cases_owners,
    cases_times,
    cases_open,
    cases_folders,
    cases_paths,
    cases_descriptors,
)


def main() -> None:
    """Each case in a folder of its own; one that breaks tells where, as a line."""
    parser = argparse.ArgumentParser(prog="python -m tests.posix", description=__doc__)
    parser.add_argument("--as", dest="uid", type=int, default=0, help="who does it: 0, or somebody without privileges")
    parser.add_argument("folder", help="where; it must be theirs")
    parser.add_argument("cases", nargs="*", help="only those whose names begin so")
    given = parser.parse_args()
    top = os.open(given.folder, os.O_RDONLY | os.O_DIRECTORY)  # what is above it may be closed to them
    os.umask(0o022)
    if given.uid:
        os.setgroups([])
        os.setresgid(given.uid, given.uid, given.uid)
        os.setresuid(given.uid, given.uid, given.uid)
    cases = {name: case for module in MODULES for name, case in module.CASES.items()}
    wanted = tuple(given.cases) or ("",)
    json.dump({name: _lines(top, name, case) for name, case in cases.items() if name.startswith(wanted)}, sys.stdout)


def _lines(top: int, name: str, case: Callable[[Work], None]) -> list[str]:
    os.fchdir(top)
    os.mkdir(name)
    os.chmod(name, 0o755)
    os.chdir(name)
    work = Work()
    try:
        case(work)
    except OSError as error:
        trace = error.__traceback__
        assert trace is not None
        where = trace.tb_next or trace
        work.tell(
            f"broke in {where.tb_frame.f_code.co_name} ({where.tb_lineno})", f"{type(error).__name__} {error.errno}"
        )
    finally:
        os.umask(0o022)
        if os.getuid() == 0:
            os.seteuid(0)
    return work.lines


if __name__ == "__main__":
    main()
