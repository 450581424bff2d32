"""Who asks the clock that people set, or the time zone, and why: no decision about anybody's data hangs on either.

Delays, retries and deadlines go by clocks that nobody sets. A new place fails here: it goes by such a clock, too, or
stands below with the reason why it may not.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sync.remotes.answers import retry_after_of

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).resolve().parents[2]

PLACES = {
    "shown to people: dates in names and lists, lines of logs, how far two clocks are apart": {
        "cache/aside.py fromtimestamp",
        "cache/rescue.py strftime",
        "server_stub/logs.py gmtime",
        "server_stub/logs.py strftime",
        "sync/settle.py astimezone",
        "sync/settle.py fromtimestamp",
        "vfs/cli/diagnose.py strftime",
        "vfs/cli/diagnose.py time",
        "vfs/cli/doctor.py time",
        "vfs/cli/printing.py astimezone",
        "vfs/cli/printing.py fromtimestamp",
        "vfs/cli/state.py time",
        "vfs/logs.py fromtimestamp",
    },
    "times of files and nodes, and of the rows that tell what happened": {
        "cache/store.py time_ns",
        "server_stub/auth.py time",
        "server_stub/drive.py time_ns",
        "server_stub/external/bringing.py time_ns",
        "server_stub/external/reconcile.py time_ns",
        "server_stub/routes/copying.py time_ns",
        "server_stub/routes/items.py time_ns",
        "server_stub/routes/trash.py time_ns",
        "server_stub/routes/webhooks.py time_ns",
        "server_stub/routes/writing.py time_ns",
        "server_stub/sqlite_tx.py time_ns",
        "server_stub/watching/outside.py time_ns",
    },
    "the order of the evictor; `cache.uses` copes with a clock that was set back": {
        "cache/deposits.py time",
        "cache/own_blobs.py time",
    },
    "how long the server keeps what is over: uploads nobody goes on with, the trash, older contents, tombstones": {
        "server_stub/uploads/desk.py time_ns",
        "server_stub/uploads/plan.py time_ns",
        "server_stub/upkeep.py time_ns",
    },
    "a message's date, signed for who receives it; the next attempt, within bounds": {
        "server_stub/webhooks/courier.py time",
        "server_stub/webhooks/courier.py time_ns",
    },
    "a folder that seems to have changed just now, or later, is listed once more": {
        "server_stub/external/walking.py time_ns",
    },
    "ids in the order of their making; what makes one its own is random": {
        "server_stub/values.py time_ns",
    },
}

_DATES = frozenset({"now", "utcnow", "today", "fromtimestamp", "utcfromtimestamp"})
_NAMES = {
    "time": frozenset(
        {"time", "time_ns", "localtime", "gmtime", "ctime", "asctime", "mktime", "strftime", "tzset", "tzname"}
        | {"timezone", "altzone", "daylight", "CLOCK_REALTIME"}
    ),
    "datetime": _DATES,
    "date": _DATES,
}
_IN_TEXT = re.compile(r"^TZ$|'now'|CURRENT_(TIME|DATE)|unixepoch\(", re.IGNORECASE)  # SQLite has a clock, too


def _asked(source: str) -> Iterator[str]:
    """The names by which a module asks; under another one than its own neither module would be found."""
    for each in ast.walk(ast.parse(source)):
        match each:
            case ast.Attribute(value=ast.Name(id=of) | ast.Attribute(attr=of), attr=name) if name in _NAMES.get(of, ()):
                yield name
            case ast.Call(func=ast.Attribute(attr="astimezone"), args=[], keywords=[]):
                yield "astimezone"
            case ast.ImportFrom(module="time", names=names):
                yield from (name.name for name in names)
            case ast.Import(names=names):
                yield from (name.name for name in names if name.name in _NAMES and name.asname)
            case ast.Constant(value=str(text)) if _IN_TEXT.search(text):
                yield text


def _places() -> set[str]:
    found = {
        f"{path.relative_to(CHECKOUT)} {name}"
        for package in ("cache", "server_stub", "sync", "vfs")
        for path in (CHECKOUT / package).rglob("*.py")
        for name in _asked(path.read_text(encoding="utf-8"))
    }
    schemas = (path for path in CHECKOUT.glob("*/*.sql") if _IN_TEXT.search(path.read_text(encoding="utf-8")))
    return found | {f"{path.relative_to(CHECKOUT)} SQL" for path in schemas}


def test_each_place_that_asks_the_wall_clock_is_known_with_its_reason() -> None:
    known = set[str]().union(*PLACES.values())
    assert _places() == known


ASKING = (
    "import time; time.time()",
    "import time as t",
    "from time import time_ns",
    "import datetime; datetime.datetime.now()",
    "from datetime import date; date.today()",
    "moment.astimezone()",
    "os.environ['TZ']",
    "read('SELECT unixepoch()')",
)
NOT_ASKING = ("time.monotonic()", "trio.current_time()", "moment.astimezone(UTC)", "datetime(1970, 1, 1)")


@pytest.mark.parametrize("line", ASKING)
def test_no_way_of_asking_is_overlooked(line: str) -> None:
    assert list(_asked(line))


@pytest.mark.parametrize("line", NOT_ASKING)
def test_a_clock_that_nobody_sets_may_be_asked(line: str) -> None:
    assert not list(_asked(line))


def test_a_server_that_names_a_date_to_come_back_at_is_asked_again_by_our_own_pauses() -> None:
    """Its clock, or ours, may be off by years: it would be asked at once, or never again."""
    assert retry_after_of("Wed, 21 Oct 2065 07:28:00 GMT") is None
    assert retry_after_of("7") == 7.0
