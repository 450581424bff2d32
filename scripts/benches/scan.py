"""What a scan costs by the size of the tree: bringing a new one in, a quick and a full walk of one that did not change,
and ending all of it at once, while others read and write.

One server by size, over empty files, a thousand to a folder (a hundred in the smallest tree). Time is the server's own
figure; memory is the largest resident size of its process in each phase.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

from scripts.benches import facts
from scripts.benches.report import table
from scripts.benches.running import CHECKOUT, Program, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.benches.settings import Settings

SIZES, QUICK_SIZES = (1_000, 10_000, 100_000, 1_000_000), (1_000, 10_000)
_IN_FOLDER = {1_000: 100}
_IN_FOLDER_ELSE = 1_000
_IMPORT_WITHIN_S = 600.0
_ANSWER_WITHIN_S = 120.0
_ASK_EVERY_S = 0.02
_MIB = 1 << 20
_LEGEND = (
    "Empty files, a thousand to a folder; time by the server's own clock, the largest resident size of its process. "
    "While everything ends, one client reads an item and another one writes a file all the time: the longest wait."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One walk: how long, and how large the process was at most."""

    seconds: float
    peak_mib: float

    def __str__(self) -> str:
        return f"{self.seconds:.3g} s, {self.peak_mib:.0f} MiB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One size of tree."""

    files: int
    folders: int
    imported: Phase
    quick: Phase
    full: Phase
    ended: Phase
    read_waited_s: float
    write_waited_s: float

    def cells(self) -> list[str]:
        """As the table shows them."""
        phases = [str(phase) for phase in (self.imported, self.quick, self.full, self.ended)]
        waits = [f"{1e3 * seconds:.0f} ms" for seconds in (self.read_waited_s, self.write_waited_s)]
        return [f"{self.files:,}", f"{self.folders:,}", *phases, *waits]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanReport:
    """All that the bench has to say."""

    facts: dict[str, str]
    rows: list[Row] = field(default_factory=list)

    def markdown(self) -> str:
        """The facts and the table."""
        heads = ["files", "folders", "import", "quick walk, unchanged", "full walk, unchanged", "all of it ends"]
        heads += ["a reader waited", "a writer waited"]
        lines = table([heads, *(row.cells() for row in self.rows)])
        told = [f"- {key}: {value}" for key, value in self.facts.items()]
        return "\n".join(["# scripts/bench scan", "", *told, "", _LEGEND, "", *lines, ""])

    def write_json(self, path: Path) -> None:
        """Every figure, in seconds and MiB."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def run(settings: Settings) -> ScanReport:
    """Measure every size that `--only` picks, written without separators."""
    sizes = [size for size in (QUICK_SIZES if settings.quick else SIZES) if settings.picks(str(size))]
    rows = []
    for size in sizes:
        with scratch(settings.folder) as base:
            rows.append(_row(base, size, settings))
    return ScanReport(facts=facts.of_machine(), rows=rows)


def _row(base: Path, size: int, settings: Settings) -> Row:
    settings.say(f"{size:,} files")
    root = base / "root"
    folders = _plant(root / "all", size)
    settings.say("import")
    with _served(base) as server:
        imported = server.phase(time.monotonic() - server.begun_s)
        settings.say("walks")
        quick, full = (server.scan(*words) for words in (("--quick",), ()))
        shutil.rmtree(root / "all")
        settings.say("the end of all of it")
        with server.disturbed() as waited:
            ended = server.scan("--confirm-deletions")
    return Row(
        files=size, folders=folders, imported=imported, quick=quick, full=full, ended=ended,
        read_waited_s=max(waited["read"]), write_waited_s=max(waited["write"]),
    )  # fmt: skip


def _plant(top: Path, size: int) -> int:
    in_folder = _IN_FOLDER.get(size, _IN_FOLDER_ELSE)
    folders = size // in_folder
    for number in range(folders):
        folder = top / f"folder-{number:04}"
        folder.mkdir(parents=True)
        fd = os.open(folder, os.O_RDONLY)
        for each in range(in_folder):
            os.close(os.open(f"file-{each:04}", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        os.close(fd)
    return folders


class _Server:
    """A server that does nothing of itself."""

    def __init__(self, base: Path) -> None:
        self._base, ready = base, base / "ready.json"
        words = [sys.executable, "-m", "server_stub", "serve", *self._places(), "--no-auth", "--listen", "127.0.0.1:0"]
        words += ["--watch", "off", "--scan-interval", "0", "--ready-file", ready, "--no-access-log"]
        self.begun_s = time.monotonic()
        self._program = Program(words, base / "server.log")
        while not ready.exists() and time.monotonic() - self.begun_s < _IMPORT_WITHIN_S:
            time.sleep(0.01)
        self._url = str(json.loads(ready.read_text(encoding="utf-8"))["url"])

    def close(self) -> None:
        self._program.close()

    def scan(self, *words: str) -> Phase:
        """One walk. It may end with the word that everything is gone: that is asked for."""
        Path(f"/proc/{self._program.pid}/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
        scan = [sys.executable, "-m", "server_stub", "scan", *self._places(), "--json", *words]
        done = subprocess.run(scan, cwd=CHECKOUT, check=True, capture_output=True, text=True)
        return self.phase(float(json.loads(done.stdout)["seconds"]))

    def phase(self, seconds: float) -> Phase:
        """With the peak since the last one."""
        status = Path(f"/proc/{self._program.pid}/status").read_text(encoding="ascii")
        peak_kib = int(status.partition("VmHWM:")[2].split()[0])
        return Phase(seconds=seconds, peak_mib=peak_kib * 1024 / _MIB)

    @contextmanager
    def disturbed(self) -> Iterator[dict[str, list[float]]]:
        """Others ask meanwhile; what they waited, in seconds."""
        root_id = json.loads(self._ask("GET", "/v1/root"))["item_id"]
        waited: dict[str, list[float]] = {"read": [], "write": []}
        over = threading.Event()

        def keep_asking(what: str, method: str) -> None:
            number = 0
            while not over.wait(_ASK_EVERY_S):
                number += 1
                target = f"/v1/items/{root_id}"
                target += f"/children/{what}-{number}/content" if method == "PUT" else ""
                begun_s = time.perf_counter()
                self._ask(method, target)
                waited[what].append(time.perf_counter() - begun_s)

        threads = [threading.Thread(target=keep_asking, args=pair) for pair in (("read", "GET"), ("write", "PUT"))]
        for thread in threads:
            thread.start()
        try:
            yield waited
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def _ask(self, method: str, target: str) -> bytes:
        headers = {"if-none-match": "*", "idempotency-key": f'"{target}"'} if method == "PUT" else {}
        request = Request(self._url + target, method=method, headers=headers, data=b"x" if headers else None)  # noqa: S310
        with urlopen(request, timeout=_ANSWER_WITHIN_S) as answer:  # noqa: S310 - our own server
            body: bytes = answer.read()
        return body

    def _places(self) -> list[object]:
        return ["--root", self._base / "root", "--state", self._base / "state"]


@contextmanager
def _served(base: Path) -> Iterator[_Server]:
    server = _Server(base)
    try:
        yield server
    finally:
        server.close()
