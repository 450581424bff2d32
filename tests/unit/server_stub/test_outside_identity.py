"""Who is who after others renamed, copied, replaced and deleted: on a real directory, between two walks."""

from __future__ import annotations

import os
import shutil
import uuid
from typing import TYPE_CHECKING

import pytest

from server_stub.external.sight import MARK, Eyes, Unmarked
from tests.unit.server_stub.outside import Outside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["full", "quick", "doubts"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    made = Outside(tmp_path)
    yield made
    made.close()


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Outside]:
    """On a file system that has no extended attributes."""
    made = Outside(tmp_path, Eyes(Unmarked()))
    yield made
    made.close()


def fill(outside: Outside, **files: str) -> dict[str, str]:
    for path, text in files.items():
        at = outside.root / path.replace("__", "/")
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(text)
    outside.scan()
    return outside.ids()


def look(outside: Outside, way: str, *paths: str) -> None:
    """Find out by a walk, or by being told where to look."""
    if way == "doubts":
        outside.doubt(*paths)
    else:
        outside.scan(quick=way == "quick")
    assert set(outside.ids()) == outside.kinds_on_disk()


def gone(outside: Outside, item_id: str) -> bool:
    return outside.read(lambda view: view.item(item_id) is None and view.tombstone(item_id) is not None)


def test_a_rename_and_a_move_keep_id_and_version(outside: Outside, way: str) -> None:
    before = fill(outside, a="1", b="2", one__c="3", two__d="4")
    items = outside.items()
    (outside.root / "a").rename(outside.root / "renamed")
    (outside.root / "b").rename(outside.root / "two/b")
    (outside.root / "one/c").rename(outside.root / "c")
    look(outside, way, "a", "renamed", "b", "two/b", "one/c", "c")
    after = outside.items()
    for old, new in (("a", "renamed"), ("b", "two/b"), ("one/c", "c")):
        assert after[new].item_id == before[old]
        assert after[new].content_version == items[old].content_version


def test_a_subtree_moves_as_one(outside: Outside, way: str) -> None:
    before = fill(outside, a__b__c__file="1", a__b__other="2", z__keep="3")
    seq = outside.read(lambda view: view.newest_seq())
    (outside.root / "a/b").rename(outside.root / "z/b2")
    look(outside, way, "a/b", "z/b2")
    after = outside.ids()
    assert after["z/b2/c/file"] == before["a/b/c/file"]
    assert after["z/b2"] == before["a/b"]
    assert outside.read(lambda view: view.newest_seq()) == seq + 1  # one change, whatever lies below


def test_a_folder_turned_inside_out(outside: Outside, way: str) -> None:
    before = fill(outside, a__b__file="1")
    (outside.root / "a/b").rename(outside.root / "top")
    (outside.root / "a").rename(outside.root / "top/a")
    look(outside, way, "a/b", "top", "a", "top/a")
    after = outside.ids()
    assert (after["top"], after["top/a"], after["top/file"]) == (before["a/b"], before["a"], before["a/b/file"])


def test_while_the_server_is_down(outside: Outside) -> None:
    before = fill(outside, a__file="1", b__other="2")
    outside.shut()
    (outside.root / "a").rename(outside.root / "b/a")
    (outside.root / "b/other").rename(outside.root / "here")
    outside.open()
    outside.scan()
    after = outside.ids()
    assert (after["b/a"], after["b/a/file"], after["here"]) == (before["a"], before["a/file"], before["b/other"])


def test_two_names_swapped_and_a_circle_of_three(outside: Outside, way: str) -> None:
    before = fill(outside, a="1", b__x="2", c="33", d="44", e="55")
    root = outside.root
    (root / "a").rename(root / "t")
    (root / "b/x").rename(root / "a")
    (root / "t").rename(root / "b/x")
    (root / "c").rename(root / "t")
    (root / "d").rename(root / "c")
    (root / "e").rename(root / "d")
    (root / "t").rename(root / "e")
    look(outside, way, "a", "b/x", "c", "d", "e")
    after = outside.ids()
    moves = {"a": "b/x", "b/x": "a", "c": "d", "d": "e", "e": "c"}
    assert {new: after[new] for new in moves} == {new: before[old] for new, old in moves.items()}


def test_a_change_of_case_alone(outside: Outside, way: str) -> None:
    before = fill(outside, Readme="1")
    (outside.root / "Readme").rename(outside.root / "README")
    look(outside, way, "Readme", "README")
    assert outside.ids() == {"README": before["Readme"]}


def test_saving_by_rename_over_keeps_the_item(outside: Outside, way: str) -> None:
    before = fill(outside, doc="one", other="two", seen_temp="three")
    items = outside.items()
    (outside.root / "t").write_text("new")
    (outside.root / "t").replace(outside.root / "doc")
    (outside.root / "seen_temp").replace(outside.root / "other")  # a temporary file that a walk happened to see
    look(outside, way, "doc", "other", "seen_temp")
    after = outside.items()
    for name in ("doc", "other"):
        assert after[name].item_id == before[name]
        assert after[name].content_version != items[name].content_version
    assert gone(outside, before["seen_temp"])


def test_a_backup_that_is_renamed_away_first_takes_the_id_along(outside: Outside, way: str) -> None:
    before = fill(outside, doc="one", keep__x="")
    (outside.root / "doc").rename(outside.root / "keep/doc~")
    (outside.root / "doc").write_text("two")
    look(outside, way, "doc", "keep/doc~")
    after = outside.ids()
    assert after["keep/doc~"] == before["doc"]
    assert after["doc"] != before["doc"]


def test_logs_that_rotate_move(outside: Outside, way: str) -> None:
    before = fill(outside, log="3", log1="2", log2="1")
    (outside.root / "log1").replace(outside.root / "log2")
    (outside.root / "log").rename(outside.root / "log1")
    (outside.root / "log").write_text("4")
    look(outside, way, "log", "log1", "log2")
    after = outside.ids()
    assert after["log1"] == before["log"]
    assert after["log2"] == before["log2"]  # taken over by rename: the item goes on
    assert after["log"] not in before.values()


def test_copies_with_attributes_are_new(outside: Outside, way: str) -> None:
    before = fill(outside, a="one", tree__f="two")
    shutil.copy2(outside.root / "a", outside.root / "copy")
    shutil.copytree(outside.root / "tree", outside.root / "tree2")
    mark = os.getxattr(outside.root / "tree2/f", MARK)
    assert mark == before["tree/f"].encode()  # the copy carried it along
    look(outside, way, "copy", "tree2")
    after = outside.ids()
    assert {path: after[path] for path in before} == before
    assert not {after["copy"], after["tree2"], after["tree2/f"]} & set(before.values())
    assert os.getxattr(outside.root / "copy", MARK) == after["copy"].encode()


def test_a_copy_whose_original_is_gone_is_new_too(outside: Outside, way: str) -> None:
    before = fill(outside, a="one", keep="")
    shutil.copy2(outside.root / "a", outside.root / "b")
    (outside.root / "a").unlink()
    look(outside, way, "a", "b")
    assert outside.ids()["b"] != before["a"]
    assert gone(outside, before["a"])


def test_every_link_is_an_item_and_the_first_keeps_its_id(outside: Outside, way: str) -> None:
    before = fill(outside, a="one", sub__x="")
    os.link(outside.root / "a", outside.root / "sub/b")
    look(outside, way, "sub/b")
    linked = outside.ids()
    assert linked["a"] == before["a"]
    assert linked["sub/b"] != before["a"]
    (outside.root / "a").rename(outside.root / "c")
    look(outside, way, "a", "c")
    assert outside.ids() == {**{path: linked[path] for path in ("sub", "sub/x", "sub/b")}, "c": before["a"]}
    (outside.root / "c").unlink()
    look(outside, way, "c")
    assert outside.ids()["sub/b"] == linked["sub/b"]


def reuse(folder: Path, name: str) -> None:
    """Delete a file and make another with its inode number; the file system decides, so this may take some."""
    ino = (folder / name).stat().st_ino
    (folder / name).unlink()
    strays = []
    for number in range(200):
        stray = folder / f"stray{number}"
        stray.write_text("another")
        if stray.stat().st_ino == ino:
            stray.rename(folder / "reborn")
            break
        strays.append(stray)
    for stray in strays:
        stray.unlink()
    if not (folder / "reborn").exists():
        pytest.skip("this file system does not reuse inode numbers at once")


@pytest.mark.parametrize("kind", ["marked", "bare"])
def test_a_reused_inode_is_another_item(request: pytest.FixtureRequest, kind: str, way: str) -> None:
    outside = request.getfixturevalue("outside" if kind == "marked" else "bare")
    before = fill(outside, a="one", keep="")
    reuse(outside.root, "a")
    look(outside, way, "a", "reborn")
    assert outside.ids()["reborn"] != before["a"]
    assert gone(outside, before["a"])


def test_a_reused_inode_under_the_same_name_too(outside: Outside, way: str) -> None:
    before = fill(outside, a="one", keep="")
    reuse(outside.root, "a")
    (outside.root / "reborn").rename(outside.root / "a")
    look(outside, way, "a")
    assert outside.ids()["a"] != before["a"]
    assert gone(outside, before["a"])


def test_a_file_that_left_the_drive_and_came_back(outside: Outside, tmp_path: Path, way: str) -> None:
    before = fill(outside, a="one", keep="")
    (outside.root / "a").rename(tmp_path / "away")
    look(outside, way, "a")
    assert gone(outside, before["a"])
    (tmp_path / "away").rename(outside.root / "back")
    look(outside, way, "back")
    assert outside.ids()["back"] == before["a"]


def test_edits_keep_the_id_and_change_the_version(outside: Outside) -> None:
    before = fill(outside, same="one", cut="one", back="one", mode="one")
    items = outside.items()
    (outside.root / "same").write_text("two")  # as long as before, in the same second
    os.truncate(outside.root / "cut", 1)
    stamp = (outside.root / "back").stat()
    (outside.root / "back").write_text("two")
    os.utime(outside.root / "back", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    (outside.root / "mode").chmod(0o600)
    outside.scan()
    after = outside.items()
    assert {path: item.item_id for path, item in after.items() if path} == before
    for name in ("same", "cut", "back"):
        assert after[name].content_version != items[name].content_version, name
    assert after["mode"].content_version == items["mode"].content_version
    assert after["mode"].mode == 0o600


def test_without_marks_renames_and_moves_keep_their_ids(bare: Outside, way: str) -> None:
    before = fill(bare, a="1", sub__b="2")
    (bare.root / "a").rename(bare.root / "sub/a")
    (bare.root / "sub").rename(bare.root / "sub2")
    look(bare, way, "a", "sub", "sub2", "sub2/a")
    assert bare.ids() == {"sub2": before["sub"], "sub2/a": before["a"], "sub2/b": before["sub/b"]}


def test_a_tree_restored_to_another_disk_keeps_everything(outside: Outside, tmp_path: Path) -> None:
    before = fill(outside, a="1", sub__b="2", sub__deep__c="3")
    items = outside.items()
    outside.shut()
    outside.root.rename(tmp_path / "old")
    shutil.copytree(tmp_path / "old", outside.root)  # with attributes and times, to other inodes
    (outside.root / "sub/b").rename(outside.root / "moved")
    outside.open()
    outside.scan()
    after = outside.items()
    assert {path: item.item_id for path, item in after.items() if path} == {
        "a": before["a"],
        "sub": before["sub"],
        "moved": before["sub/b"],
        "sub/deep": before["sub/deep"],
        "sub/deep/c": before["sub/deep/c"],
    }
    assert after["sub/deep/c"].content_version == items["sub/deep/c"].content_version
    report = outside.scan()
    assert not report.is_news


def test_a_lost_state_finds_the_ids_again(outside: Outside, tmp_path: Path) -> None:
    before = fill(outside, a="1", sub__b="2")
    outside.shut()
    for path in tmp_path.glob("drive.db*"):
        path.unlink()
    outside.open()
    outside.run(outside.scanner.import_tree())
    assert outside.ids() == before


def test_the_servers_own_room_is_no_part_of_the_drive_whoever_tells_of_it(outside: Outside) -> None:
    room = outside.root / ".anchorfs"
    room.mkdir()
    (room / "staged").write_text("x")
    (outside.root / "seen").write_text("x")
    outside.doubt(".anchorfs", ".anchorfs/staged", "seen")
    assert set(outside.ids()) == {"seen"}


def test_a_name_that_is_no_text_stops_nobody(outside: Outside) -> None:
    (outside.root / "d\udcff").mkdir()
    for path in ("\udcff", "d\udcff/file", "seen"):
        (outside.root / path).write_text("x")
    outside.doubt("\udcff", "d\udcff", "d\udcff/file", "seen")
    assert set(outside.ids()) == {"seen"}
    (outside.root / "seen").rename(outside.root / "seen\udcff")
    outside.doubt("seen", "seen\udcff")
    assert outside.ids() == {}


def test_a_mark_that_is_no_id_is_none(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    for name, mark in (("path", b"../../../../../../../../etc/passwd.."), ("bytes", b"\xff" * 36)):
        (tmp_path / "root" / name).write_text("x")
        os.setxattr(tmp_path / "root" / name, "user.anchorfs.item", mark)
    outside = Outside(tmp_path)
    try:
        assert {str(uuid.UUID(item_id)) for item_id in outside.ids().values()} == set(outside.ids().values())
        assert len(outside.ids()) == 2
    finally:
        outside.close()


def test_a_doubt_under_a_path_that_was_renamed_since_is_followed(outside: Outside) -> None:
    """Who tells of `b/a/new` told it before `b` became `c`."""
    (outside.root / "b" / "a").mkdir(parents=True)
    outside.scan()
    (outside.root / "b" / "a" / "new").write_text("new")
    (outside.root / "b").rename(outside.root / "c")
    outside.doubt("b/a/new", "b", "c")
    assert set(outside.ids()) == {"c", "c/a", "c/a/new"}


def test_a_doubt_is_followed_into_a_folder_that_took_the_name_of_what_went_into_it(outside: Outside) -> None:
    (outside.root / "b").mkdir()
    before = fill(outside, b__a__a="one", c="another")
    version = outside.items()["b/a/a"].content_version
    (outside.root / "c").replace(outside.root / "b" / "a" / "a")
    (outside.root / "b" / "a").rename(outside.root / "c")
    outside.doubt("c", "b/a/a", "b/a")
    after = outside.items()
    assert after["c"].item_id == before["b/a"]
    assert after["c/a"].item_id == before["b/a/a"]
    assert after["c/a"].content_version != version


def test_a_folder_with_a_reused_inode_takes_nothing_in_for_the_one_that_is_gone(outside: Outside) -> None:
    """What lies in it is told in the same breath, and must not be put below an item that ends."""
    (outside.root / "d").mkdir()
    outside.scan()
    gone_id, ino = outside.ids()["d"], (outside.root / "d").stat().st_ino
    for _ in range(200):
        (outside.root / "d").rmdir()
        (outside.root / "d").mkdir()
        if (outside.root / "d").stat().st_ino == ino:
            break
    else:
        pytest.skip("this disk gives no inode number again")
    (outside.root / "d" / "b").mkdir()
    outside.doubt("d", "d/b")
    assert set(outside.ids()) == {"d", "d/b"}
    assert gone(outside, gone_id)
    assert outside.items()["d/b"].parent_id == outside.ids()["d"] != gone_id


@pytest.mark.parametrize("way", ["full", "quick"])
def test_a_file_in_a_folder_that_took_the_name_of_another_is_found_there(outside: Outside, way: str) -> None:
    """The folder cannot be listed while `d` has its name, `d` cannot leave while `c` has the name that it went to, and
    where `c` went is known only when the folder is listed.
    """
    before = fill(outside, c="one", d="two")
    (outside.root / "b").mkdir()
    (outside.root / "c").rename(outside.root / "b" / "c")
    (outside.root / "d").rename(outside.root / "c")
    (outside.root / "b").rename(outside.root / "d")
    look(outside, way)
    assert outside.ids() == {"c": before["d"], "d": outside.ids()["d"], "d/c": before["c"]}


@pytest.mark.parametrize("way", ["full", "quick"])
def test_a_known_folder_that_took_the_name_of_a_file_is_looked_into_as_well(outside: Outside, way: str) -> None:
    """`d` lies in `c`, over a file that is no more; `c` is `a` now, and `a` is `d`."""
    before = fill(outside, a="one", d="two", c__a="three")
    (outside.root / "d").replace(outside.root / "c" / "a")
    (outside.root / "a").rename(outside.root / "d")
    (outside.root / "c").rename(outside.root / "a")
    look(outside, way)
    assert outside.ids() == {"a": before["c"], "a/a": before["c/a"], "d": before["a"]}
    assert gone(outside, before["d"])


def test_what_is_gone_is_told_along_with_what_was_moved(outside: Outside) -> None:
    """Settling a swap below a folder that took a file's name is not the end of it: `b` and `a/c` went, too."""
    (outside.root / "b" / "a").mkdir(parents=True)
    before = fill(outside, a="one", d="two", c__c="three", c__d="four")
    root, aside = outside.root, outside.root.parent / "aside"
    (root / "d").rename(aside)
    (root / "c" / "d").rename(root / "d")
    aside.rename(root / "c" / "d")
    (root / "c" / "c").unlink()
    (root / "c" / "b").write_text("new")
    shutil.rmtree(root / "b")
    (root / "a").rename(aside)
    (root / "c").rename(root / "a")
    aside.rename(root / "c")
    outside.doubt("a", "a/b", "a/c", "a/d", "b", "c", "d")
    after = outside.ids()
    assert set(after) == {"a", "a/b", "a/d", "c", "d"}
    assert (after["a"], after["a/d"], after["c"], after["d"]) == (
        before["c"], before["d"], before["a"], before["c/d"]
    )  # fmt: skip
