"""`python -m tests.posix FOLDER [CASE…]`: do the table in a folder of any file system; the lines as JSON on stdout.

One process for one file system, because the cases change who they are. Compare two of these with `diff`.
"""

from __future__ import annotations

import json
import os
import sys
import traceback

from tests.posix import cases_folders, cases_names, cases_open, cases_owners, cases_renames, cases_times
from tests.posix.work import Work

MODULES = (cases_names, cases_renames, cases_owners, cases_times, cases_open, cases_folders)


def main(folder: str, wanted: list[str]) -> None:
    """Each case in a folder of its own; one that breaks tells where, as a line."""
    told = {}
    os.umask(0o022)
    os.chdir(folder)
    for module in MODULES:
        for name, case in module.CASES.items():
            if wanted and not any(name.startswith(each) for each in wanted):
                continue
            os.chdir(folder)
            os.mkdir(name)
            os.chmod(name, 0o755)
            os.chdir(name)
            work = Work()
            try:
                case(work)
            except OSError as error:
                where = traceback.extract_tb(error.__traceback__)[1]
                work.tell(f"broke in {where.name} ({where.line})", f"{type(error).__name__} {error.errno}")
            finally:
                os.seteuid(0)
            told[name] = work.lines
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]), sys.argv[2:])
