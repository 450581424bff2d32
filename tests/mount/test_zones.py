"""Three machines that agree on neither the time nor the zone, and whose clocks are set meanwhile: nobody notices."""

from __future__ import annotations

import os
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest

from tests.harness.drives import QUICK, converge
from tests.harness.mount import CHECKOUT, Mount
from tests.harness.server import ServerProcess
from tests.harness.trees import tree_of
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.fuse

# Instants that a clock on a wall shows twice, or that follow one which it never shows.
INSTANTS_NS = {
    "London, 1:30 in summer time": 1_729_989_000_123_456_789,
    "London, 1:30 an hour later": 1_729_992_600_987_654_321,
    "St. John's, 23:40 a second time": 1_162_091_400_000_000_001,
    "Apia, after the day that was left out": 1_325_239_200_999_999_999,
    "before 1970": -1_000_000_007,
}
YEAR_S = 31_556_952
_SET = """
import time
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + {by_s}
time.time_ns = lambda: _time_ns() + {by_s} * 10**9
"""


def elsewhere(folder: Path, zone: str, years: int) -> dict[str, str]:
    """The environment of a Python process whose clock is off by so much; it is imported before anything else."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(_SET.format(by_s=years * YEAR_S))
    return {"TZ": zone, "PYTHONPATH": f"{folder}{os.pathsep}{CHECKOUT}", "PYTHONDONTWRITEBYTECODE": "1"}


class Machines:
    """A server in Newfoundland that lives twenty years ago; `one` in Samoa thirty years ahead; `two` in London."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.server = folder, ServerProcess(folder / "server")
        self.server.start(env=elsewhere(folder / "past", "America/St_Johns", -20))
        self.one = self._mount("one", "Pacific/Apia", 30)
        self.two = self._mount("two", "Europe/London", 0)

    def _mount(self, name: str, zone: str, years: int) -> Mount:
        environment = elsewhere(self.folder / f"clock-{name}", zone, years)
        return Mount(
            self.server.url,
            self.folder,
            token=self.server.token,
            name=name,
            arguments=("-o", QUICK),
            environment=environment,
        )

    def alike(self) -> dict[str, object]:
        """Once everything has arrived everywhere: what is there."""
        converge(self.one, self.two)
        until(lambda: tree_of(self.one.path) == tree_of(self.two.path) == tree_of(self.server.root), "all to be alike")
        return dict(tree_of(self.server.root))


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """All of them at work."""
    made = Machines(tmp_path_factory.mktemp("machines"))
    try:
        with made.one, made.two:
            yield made
    finally:
        if made.server.process is not None:
            made.server.kill()


def test_times_of_files_are_the_same_everywhere_whatever_the_walls_show(machines: Machines) -> None:
    for name, at_ns in INSTANTS_NS.items():
        (machines.one.path / name).write_bytes(name.encode())
        os.utime(machines.one.path / name, ns=(at_ns, at_ns))
    machines.alike()
    for place in (machines.one.path, machines.two.path, machines.server.root):
        assert {each.name: each.stat().st_mtime_ns for each in place.iterdir()} == INSTANTS_NS


def test_clocks_that_are_set_while_a_drive_is_used_change_nothing(machines: Machines) -> None:
    one, two, server = machines.one, machines.two, machines.server
    (one.path / "gone").mkdir()
    assert (one.path / "gone").stat().st_mtime > time.time() + 29 * YEAR_S
    with server.client() as client:
        assert parsedate_to_datetime(client.get("/healthz").headers["date"]).timestamp() < time.time() - 19 * YEAR_S
    (one.path / "kept").write_bytes(b"from the future")
    (one.path / "edited").write_bytes(b"first")
    machines.alike()
    (two.path / "edited").write_bytes(b"second, which is earlier by its date")
    machines.alike()
    assert one.stop() == 0
    elsewhere(machines.folder / "clock-one", "Pacific/Apia", -50)
    one.start()
    server.restart(env=elsewhere(machines.folder / "ahead", "America/St_Johns", 60))  # all that it keeps is old by now
    (one.path / "edited").write_bytes(b"third, earlier again")
    (one.path / "late").write_bytes(b"long ago")
    (two.path / "gone").rmdir()
    told = machines.alike()
    assert set(told) - set(INSTANTS_NS) == {"edited", "kept", "late"}
    assert (server.root / "edited").read_bytes() == b"third, earlier again"
    assert {mount.status()["connection"] for mount in (one, two)} == {"online"}
