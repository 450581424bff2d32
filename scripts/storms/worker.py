"""Works on one mount: in a folder of its own, where it knows every byte, and in one that it shares with the others."""

from __future__ import annotations

import os
import random
import threading
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from scripts.storms.claims import ABSENT, Content, View, look
from scripts.storms.jobs import Job, Jobs
from scripts.storms.storm import Place, Storm, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")
SHARED = "shared"
SHARED_NAMES = ("letter.txt", "table.csv", "notes", "plan.md", "list")
PAUSE_S = 0.03
LOOK_WITHIN_S = 120.0


class Worker(threading.Thread):
    """See the module; `root` is the mount point."""

    def __init__(self, name: str, root: Path, place: Place, storm: Storm, seed: int) -> None:
        super().__init__(name=name, daemon=True)
        self.root, self.place, self.storm = root, place, storm
        self._diary = root.with_name(f"{name}.diary").open("a", encoding="utf-8", buffering=1)
        self._chance = random.Random(f"{name} {seed}")
        self.view = View()
        self.top = root / name
        self._jobs = Jobs(self.top, self.view, self._chance)
        self._number = 0
        self.claims: dict[str, bytes] = {}  # in the shared folder: name → digest of what was accepted there last
        self._unsure: Job | None = None
        self.calling_since: float | None = None

    def run(self) -> None:
        """Until the storm is over."""
        try:
            while not self.storm.over.wait(self._chance.uniform(0, PAUSE_S)):
                self._once()
        except BaseException:  # noqa: BLE001 - a mistake of the tool itself must be told, too
            self.storm.broken.append(f"worker {self.name}: {traceback.format_exc()}")
            self.storm.over.set()

    def settle(self) -> None:
        """After the storm: what is unsure is looked at."""
        self._recover()
        self._diary.close()

    def _once(self) -> None:
        if not self.place.up.wait(0.2):
            return
        if self._unsure is not None:
            self._recover()
            return
        doing = self._chance.choices((self._work, self._share, self._check, self._list, self._visit), (60, 20, 8, 4, 8))
        self.calling_since = time.monotonic()
        try:
            doing[0]()
        finally:
            self.calling_since = None

    def _write_down(self, what: str, came: Mapping[str, Content]) -> None:
        """For whoever reads the evidence: beside the mount, which may be gone."""
        told = ", ".join(f"{path} = {_brief(content)}" for path, content in came.items())
        self._diary.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {what}; {told}\n")

    # Alone -------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        job = self._jobs.choose()
        if job is None:
            return
        for content in (*job.change.after.values(), *(job.change.between or {}).values()):
            if isinstance(content, bytes):
                self.storm.knows(content)
        try:
            job.act()
        except OSError as error:
            self._write_down(f"{job.name}: {error}", job.change.after)
            self.storm.count(self.storm.interrupted, job.name)
            self._unsure = job
            return
        self._write_down(job.name, job.change.after)
        self.storm.count(self.storm.operations, job.name)
        self.view.take(job.change.after)
        if job.adopts is not None:
            self._unsure = job

    def _recover(self) -> None:
        """Look at what an interrupted job left: it must be explained by the job, and is the truth from here on."""
        job = self._unsure
        if job is None:
            return
        found = self._looked(lambda: self._found(job))
        if found is None:
            return
        self._write_down(f"found after {job.name}", found)
        if not job.change.explains({path: found[path] for path in job.change.before}):
            told = {path: (_brief(job.change.before[path]), _brief(found[path])) for path in job.change.before}
            self.storm.lost.append(f"{self.name}: after an interrupted {job.name}: {told}")
        for content in found.values():
            if isinstance(content, bytes):
                self.storm.knows(content)
        self.view.take(found)
        self._unsure = None

    def _found(self, job: Job) -> dict[str, Content]:
        found = {path: look(self.top / path) for path in job.change.before}
        if job.adopts is not None and look(self.top / job.adopts) is None:
            for folder, folders, files in os.walk(self.top / job.adopts, onerror=_raise):
                for each in (Path(folder), *(Path(folder, name) for name in (*folders, *files))):
                    found[str(each.relative_to(self.top))] = look(each)
        return found

    def _check(self) -> None:
        """Read one of my own files."""
        paths = list(self.view.tree)
        if not paths:
            return
        path = self._chance.choice(paths)
        found = self._looked(lambda: look(self.top / path), once=True)
        if found is not None and found != self.view.get(path):
            self.storm.lost.append(f"{self.name}: {path} is {_brief(found)}, not {_brief(self.view.get(path))}")

    def _list(self) -> None:
        """Look into one of my own folders."""
        folder = self._chance.choice(self.view.folders())
        names = self._looked(lambda: sorted(each.name for each in (self.top / folder).iterdir()), once=True)
        depth = folder.count("/") + 1 if folder else 0
        expected = sorted(
            path.rpartition("/")[2] for path in self.view.tree
            if path.count("/") == depth and (not folder or path.startswith(f"{folder}/"))
        )  # fmt: skip
        if names is not None and names != expected:
            self.storm.lost.append(f"{self.name}: {folder or 'my folder'} shows {names}, not {expected}")

    # Among others ------------------------------------------------------------------------------------------------

    def _share(self) -> None:
        """Write, rename or delete where others do."""
        name, other = self._chance.sample(SHARED_NAMES, 2)
        doing = self._chance.choices((self._put, self._save, self._swap, self._drop), (5, 5, 2, 1))[0]
        try:
            doing(self.root / SHARED, name, other)
        except OSError as error:
            self._write_down(f"shared {doing.__name__} {name} {other}: {error}", {})
            self.storm.count(self.storm.interrupted, "shared")
            for each in (name, other):
                self.claims.pop(each, None)  # it may have been replaced
            return
        self._write_down(f"shared {doing.__name__} {name} {other}", {})
        self.storm.count(self.storm.operations, f"shared {doing.__name__.strip('_')}")

    def _put(self, folder: Path, name: str, _other: str) -> None:
        data = self._letter()
        fd = os.open(folder / name, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o644)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)
        self.claims[name] = digest(data)

    def _save(self, folder: Path, name: str, _other: str) -> None:
        data, beside = self._letter(), folder / f"{name}.{self.name}"
        beside.write_bytes(data)
        beside.rename(folder / name)
        self.claims[name] = digest(data)

    def _swap(self, folder: Path, name: str, other: str) -> None:
        try:
            (folder / name).rename(folder / other)
        except FileNotFoundError:
            return
        held = self.claims.pop(name, None)
        self.claims.pop(other, None)
        if held is not None:
            self.claims[other] = held

    def _drop(self, folder: Path, name: str, _other: str) -> None:
        (folder / name).unlink(missing_ok=True)
        self.claims.pop(name, None)

    def _letter(self) -> bytes:
        """Small enough for one write: whoever reads it reads all of it, or nothing."""
        self._number += 1
        data = f"{self.name} writes {self._number}\n".encode() + self._chance.randbytes(self._chance.randint(0, 50_000))
        self.storm.knows(data)
        return data

    def _visit(self) -> None:
        """Read something of the shared folder: bytes that somebody wrote."""
        name = self._chance.choice(SHARED_NAMES)
        found = self._looked(lambda: look(self.root / SHARED / name), once=True)
        if isinstance(found, bytes) and digest(found) not in self.storm.known:
            self.storm.wrong.append(
                f"{self.name}: {SHARED}/{name} holds {len(found)} bytes that nobody wrote: {found[:60]!r}"
            )

    # Looking -----------------------------------------------------------------------------------------------------

    def _looked(self, question: Callable[[], T], *, once: bool = False) -> T | None:
        """The answer of one and the same mount; None when it died meanwhile, or when `once` and it cannot tell."""
        generation, deadline = self.place.generation, time.monotonic() + LOOK_WITHIN_S
        while True:
            try:
                answer = question()
            except OSError as error:
                if once or self.place.generation != generation or not self.place.up.is_set():
                    return None
                if time.monotonic() > deadline:
                    self.storm.lost.append(f"{self.name}: cannot be looked at for {LOOK_WITHIN_S} s: {error}")
                    self._unsure = None
                    return None
                time.sleep(0.1)
            else:
                return answer if self.place.generation == generation and self.place.up.is_set() else None


def _brief(content: object) -> str:
    if content is ABSENT:
        return "nothing"
    if isinstance(content, bytes):
        return f"{len(content)} bytes beginning {content[:24]!r}"
    return "a folder" if content is None else f"a link to {content}"


def _raise(error: OSError) -> None:
    raise error
