"""The adapter's stored tree: what is news, what is kept, what survives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cache.model import Anchor, Kind
from sync.remote import AnchorExpired
from sync.remotes.dav.facts import Facts
from sync.remotes.dav.mirror import Mirror, Ours, told_of

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = Facts(kind=Kind.FOLDER)


def file(tag: str, size: int = 3, mtime_ns: int = 10**9) -> Facts:
    return Facts(kind=Kind.FILE, size=size, tag=tag, mtime_ns=mtime_ns)


def test_the_tree_and_the_feed_survive_a_restart(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path / "m.db")
    root = mirror.add(None, "", FOLDER)
    anchor = mirror.newest()
    made = mirror.add(root.item_id, "f", file('"1"'))
    mirror.close()
    again = Mirror(tmp_path / "m.db")
    assert again.entries("seq > ?", again.position(anchor)) == [made]
    assert (again.root(), again.names(made.item_id)) == (root, ("f",))
    again.close()


def test_a_foreign_anchor_is_expired() -> None:
    mirror = Mirror(None)
    for anchor in ("nonsense", f"{mirror.epoch}.9", "other.0"):
        with pytest.raises(AnchorExpired):
            mirror.position(Anchor(anchor))


def test_what_this_machine_set_stands_while_the_content_does() -> None:
    mirror = Mirror(None)
    root = mirror.add(None, "", FOLDER)
    mine = mirror.add(root.item_id, "f", file('W/"1"'), ours=Ours(mode=0o600, mtime_ns=7, digest="sha-256:x"))
    seen = mirror.refresh(mine, file('"1"'))
    assert (seen.item, seen.tag) == (mine.item, '"1"')
    other = mirror.refresh(seen, file('"2"', mtime_ns=2 * 10**9))
    assert (other.mode, other.mtime_ns, other.digest) == (0o600, 2 * 10**9, None)
    assert other.content_version != seen.content_version


def test_a_folder_goes_with_what_it_holds() -> None:
    mirror = Mirror(None)
    root = mirror.add(None, "", FOLDER)
    folder = mirror.add(root.item_id, "d", FOLDER)
    child = mirror.add(folder.item_id, "c", file('"1"'))
    anchor = mirror.newest()
    mirror.bury(folder)
    told = [told_of(entry) for entry in mirror.since(mirror.position(anchor), 10)]
    assert {each.item_id for each in told} == {folder.item_id, child.item_id}
    assert mirror.names(child.item_id) is None


def test_a_failed_transaction_changes_nothing() -> None:
    mirror = Mirror(None)
    root = mirror.add(None, "", FOLDER)
    before = mirror.newest()

    def fail() -> None:
        with mirror.writing():
            mirror.add(root.item_id, "f", file('"1"'))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (mirror.newest(), mirror.children(root.item_id)) == (before, [])
