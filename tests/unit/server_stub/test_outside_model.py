"""Random outside operations on a real directory, looked at now and then: the ids must be those of an oracle that
knows which file every file is.

The oracle follows objects, not evidence: a file is the object that was made, wherever it was moved. It asks the disk
for one thing only, the inode number of what was made anew, because a reused one is the proof that a file was deleted.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.unit.server_stub.outside import Outside

NAMES = st.sampled_from(["a", "b", "c", "d"])
INDEX = st.integers(0, 40)


@dataclass(eq=False)
class Thing:
    """A file or a folder (then `inside` is a dict), and what the last look told of it."""

    inside: dict[str, Thing] | None = None
    item_id: str | None = None
    version: str | None = None
    edited: bool = False
    ino: int = 0
    text: str = ""
    told_text: str = ""


@dataclass
class Told:
    """What the last look knew: for each folder by identity, who had which name."""

    rows: dict[tuple[int, str], Thing] = field(default_factory=dict)
    at: dict[int, str] = field(default_factory=dict)  # where each thing lay
    keep: list[Thing] = field(default_factory=list)  # so that no identity is used again


class OutsideMachine(RuleBasedStateMachine):
    """Others write, and from time to time somebody looks."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="outside-"))
        self.outside = Outside(self.folder)
        self.top = Thing(inside={})
        self.told = Told()
        self.doubts: set[tuple[Thing, str]] = set()  # a folder and a name, as watches tell it: folders move meanwhile
        self.made = 0

    def teardown(self) -> None:
        self.outside.close()
        shutil.rmtree(self.folder)

    def places(self) -> list[tuple[str, Thing, str, Thing]]:
        """(path, folder, name, thing) of everything."""
        found = []
        pending = [("", self.top)]
        for path, folder in pending:
            for name, thing in sorted((folder.inside or {}).items()):
                found.append((f"{path}{name}", folder, name, thing))
                if thing.inside is not None:
                    pending.append((f"{path}{name}/", thing))
        return found

    def folders(self) -> list[tuple[str, Thing]]:
        return [
            ("", self.top),
            *((f"{path}/", thing) for path, _, _, thing in self.places() if thing.inside is not None),
        ]

    def free(self, index: int, name: str) -> tuple[str, Thing] | None:
        folders = self.folders()
        path, folder = folders[index % len(folders)]
        return None if name in (folder.inside or {}) else (path, folder)

    def touch(self, folder: Thing, name: str) -> None:
        self.doubts.add((folder, name))

    def paths_in_doubt(self) -> set[str]:
        """As they are now; what lay in a folder that is gone is not told of: the folder is."""
        now = {id(folder): path for path, folder in self.folders()}
        return {now[id(folder)] + name for folder, name in self.doubts if id(folder) in now}

    def write(self, path: str) -> str:
        self.made += 1
        (self.outside.root / path).write_text(text := f"{self.made:06}")
        return text

    @rule(index=INDEX, name=NAMES, folder=st.booleans())
    def make(self, index: int, name: str, folder: bool) -> None:
        where = self.free(index, name)
        if where is None:
            return
        path = where[0] + name
        if folder:
            (self.outside.root / path).mkdir()
            thing = Thing(inside={})
        else:
            thing = Thing(text=self.write(path))
        self.put(where[1], name, thing, path)

    def put(self, folder: Thing, name: str, thing: Thing, path: str) -> None:
        assert folder.inside is not None
        folder.inside[name] = thing
        thing.ino = (self.outside.root / path).stat().st_ino
        self.touch(folder, name)

    @rule(which=INDEX, index=INDEX, name=NAMES)
    def move(self, which: int, index: int, name: str) -> None:
        places, where = self.places(), self.free(index, name)
        if not places or where is None:
            return
        old, folder, old_name, thing = places[which % len(places)]
        if f"{where[0]}".startswith(f"{old}/"):
            return
        (self.outside.root / old).rename(self.outside.root / (where[0] + name))
        del (folder.inside or {})[old_name]
        self.put(where[1], name, thing, where[0] + name)
        self.touch(folder, old_name)

    @rule(one=INDEX, two=INDEX)
    def swap(self, one: int, two: int) -> None:
        places = self.places()
        if not places:
            return
        a, b = places[one % len(places)], places[two % len(places)]
        if a[3] is b[3] or a[0].startswith(f"{b[0]}/") or b[0].startswith(f"{a[0]}/"):
            return
        root = self.outside.root
        (root / a[0]).rename(self.folder / "aside")
        (root / b[0]).rename(root / a[0])
        (self.folder / "aside").rename(root / b[0])
        self.put(a[1], a[2], b[3], a[0])
        self.put(b[1], b[2], a[3], b[0])

    @rule(which=INDEX, over=INDEX)
    def replace(self, which: int, over: int) -> None:
        """Save by rename-over: with a file that is there, which a look may or may not have seen."""
        files = [each for each in self.places() if each[3].inside is None]
        if len(files) < 2:
            return
        source, target = files[which % len(files)], files[over % len(files)]
        if source[3] is target[3]:
            return
        (self.outside.root / source[0]).replace(self.outside.root / target[0])
        del (source[1].inside or {})[source[2]]
        self.put(target[1], target[2], source[3], target[0])
        self.touch(source[1], source[2])

    @rule(which=INDEX)
    def edit(self, which: int) -> None:
        files = [each for each in self.places() if each[3].inside is None]
        if files:
            path, folder, name, thing = files[which % len(files)]
            thing.text = self.write(path)
            thing.edited = True
            self.touch(folder, name)

    @rule(which=INDEX)
    def delete(self, which: int) -> None:
        places = self.places()
        if not places:
            return
        path, folder, name, thing = places[which % len(places)]
        at = self.outside.root / path
        if thing.inside is None:
            at.unlink()
        else:
            shutil.rmtree(at)
        del (folder.inside or {})[name]
        self.touch(folder, name)

    @rule(which=INDEX, index=INDEX, name=NAMES)
    def copy(self, which: int, index: int, name: str) -> None:
        """With attributes."""
        files = [each for each in self.places() if each[3].inside is None]
        where = self.free(index, name)
        if files and where is not None:
            path = where[0] + name
            source = files[which % len(files)]
            shutil.copy2(self.outside.root / source[0], self.outside.root / path)
            self.put(where[1], name, Thing(text=source[3].text), path)

    @rule(way=st.sampled_from(["full", "quick", "doubts"]))
    def look(self, way: str) -> None:
        if way == "doubts":
            self.outside.doubt(*self.paths_in_doubt())
        else:
            self.outside.scan(quick=way == "quick")
        self.compare(edits_seen=way != "quick")
        self.doubts.clear() if way != "quick" else None

    def compare(self, *, edits_seen: bool) -> None:
        items = self.outside.items()
        places = self.places()
        assert not set(items).symmetric_difference({"", *(path for path, _, _, _ in places)})
        alive = {id(thing) for _, _, _, thing in places}
        continuing = {id(thing): self.before(folder, name, thing, alive) for _, folder, name, thing in places}
        taken = {before.item_id for before in continuing.values() if before is not None}
        for path, folder, _, thing in places:
            item, before = items[path], continuing[id(thing)]
            if before is not None and item.item_id == thing.item_id and self.has_moved(folder, path):
                # Its folder may have had to end and to come back, to free a name for what it lies in now; then its
                # former entries ended with it, and those whose files are still there came back with it.
                self.check_version(path, thing, item.content_version, edits_seen=edits_seen)
            elif before is not None:
                assert item.item_id == before.item_id, f"{path} was taken over and goes on"
                # A copy of the very bytes with their times, put over them, is no other content.
                assert item.content_version != before.version or thing.text == before.told_text, path
            elif thing.item_id is not None:
                assert item.item_id == thing.item_id, f"{path} was moved or stayed"
                self.check_version(path, thing, item.content_version, edits_seen=edits_seen)
            else:
                assert item.item_id not in self.known() | taken, f"{path} is new"
        self.remember(items, edits_seen=edits_seen)
        self.outside.digest()

    def check_version(self, path: str, thing: Thing, version: str | None, *, edits_seen: bool) -> None:
        if thing.edited and edits_seen:
            assert version != thing.version, f"{path} was edited"
        elif not thing.edited:
            assert version == thing.version, f"{path} was not edited"

    def has_moved(self, folder: Thing, path: str) -> bool:
        return self.told.at.get(id(folder), "") != path.rpartition("/")[0]

    def known(self) -> set[str | None]:
        return {thing.item_id for thing in self.told.keep}

    def before(self, folder: Thing, name: str, thing: Thing, alive: set[int]) -> Thing | None:
        """The item that goes on here with another file: its own file is no more, and this one took its name."""
        row = self.told.rows.get((id(folder), name))
        if row is None or row is thing or id(row) in alive or row.inside is not None or thing.inside is not None:
            return None
        return None if row.ino == thing.ino else row

    def remember(self, items: dict, *, edits_seen: bool) -> None:
        self.told.rows.clear()
        self.told.at = {id(thing): path for path, _, _, thing in self.places()}
        for path, folder, name, thing in self.places():
            item = items[path]
            if edits_seen or item.content_version != thing.version:
                thing.edited = False
            thing.item_id, thing.version, thing.told_text = item.item_id, item.content_version, thing.text
            self.told.rows[id(folder), name] = thing
            self.told.keep.append(thing)

    @invariant()
    def nothing_left_behind(self) -> None:
        assert not (self.folder / "aside").exists()


TestOutside = OutsideMachine.TestCase
TestOutside.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
