"""The conflict table through a mount, row by row, for every server: `here` the mount, `there` somebody else.

What is done here is sent after all that is done there; at the end both sides hold the same.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.harness.waiting import until

if TYPE_CHECKING:
    from tests.harness.sides import Sides

pytestmark = pytest.mark.fuse


def test_what_is_written_here_is_there_and_the_reverse(sides: Sides) -> None:
    (sides.here / "ours").write_bytes(b"a" * 100_000)
    (sides.here / "a b%20ü?#[1]").write_bytes(b"odd")
    sides.mount.settle()
    assert sides.there.contents() == {"ours": b"a" * 100_000, "a b%20ü?#[1]": b"odd"}
    sides.there.write("theirs", b"foreign")
    sides.there.make_folder("folder")
    sides.there.write("folder/deep", b"deep")
    until(lambda: (sides.here / "folder" / "deep").read_bytes() == b"deep", "the foreign folder")
    assert (sides.here / "theirs").read_bytes() == b"foreign"


def test_a_foreign_rename_keeps_the_inode(sides: Sides) -> None:
    sides.give("file", b"content")
    sides.give("folder/inside", b"inside")
    before = [(sides.here / each).stat().st_ino for each in ("file", "folder", "folder/inside")]
    sides.there.move("file", "renamed")
    sides.there.move("folder", "elsewhere")
    until((sides.here / "elsewhere" / "inside").exists, "the renamed folder")
    until((sides.here / "renamed").exists, "the renamed file")
    assert [(sides.here / each).stat().st_ino for each in ("renamed", "elsewhere", "elsewhere/inside")] == before


@pytest.mark.parametrize("writer", ["apache", "nextcloud"], indirect=True, scope="module")
def test_what_the_server_cannot_keep_is_refused_or_stays_here(sides: Sides) -> None:
    sides.give("file")
    (sides.here / "file").chmod(0o640)
    os.utime(sides.here / "file", ns=(1_600_000_000_123_456_789, 1_600_000_000_123_456_789))
    with pytest.raises(PermissionError):
        (sides.here / "link").symlink_to("file")
    with pytest.raises(OSError, match="not supported"):
        os.setxattr(sides.here / "file", "user.a", b"1")
    sides.mount.settle()
    status = (sides.here / "file").stat()
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o640, 1_600_000_000_123_456_789)


def test_content_against_content(sides: Sides) -> None:
    sides.give("letter.txt")
    with sides.apart() as there:
        (sides.here / "letter.txt").write_bytes(b"ours")
        there.write("letter.txt", b"theirs")
    assert sides.there.contents() == {"letter.txt": b"theirs", sides.copy(): b"ours"}


def test_content_against_the_same_content(sides: Sides) -> None:
    sides.give("file")
    with sides.apart() as there:
        (sides.here / "file").write_bytes(b"agreed")
        there.write("file", b"agreed")
    assert sides.there.contents() == {"file": b"agreed"}


def test_content_against_a_rename(sides: Sides) -> None:
    sides.give("file")
    (sides.here / "folder").mkdir()
    sides.mount.settle()
    assert list((sides.here / "folder").iterdir()) == []
    with sides.apart() as there:
        (sides.here / "file").write_bytes(b"edited")
        there.move("file", "folder/file")
    assert sides.there.contents() == {"folder/file": b"edited"}


def test_content_against_a_removal(sides: Sides) -> None:
    sides.give("file")
    with sides.apart() as there:
        (sides.here / "file").write_bytes(b"edited")
        there.remove("file")
    assert sides.there.contents() == {"file": b"edited"}


def test_content_against_a_folder_in_its_place(sides: Sides) -> None:
    sides.give("thing")
    with sides.apart() as there:
        (sides.here / "thing").write_bytes(b"ours")
        there.remove("thing")
        there.make_folder("thing")
        there.write("thing/inside", b"theirs")
    assert sides.there.contents() == {"thing/inside": b"theirs", sides.copy(): b"ours"}


def test_content_in_a_folder_that_was_renamed(sides: Sides) -> None:
    sides.give("folder/file")
    with sides.apart() as there:
        (sides.here / "folder" / "file").write_bytes(b"edited")
        (sides.here / "folder" / "new").write_bytes(b"new")
        there.move("folder", "renamed")
    assert sides.there.contents() == {"renamed/file": b"edited", "renamed/new": b"new"}


def test_content_in_a_folder_that_was_removed(sides: Sides) -> None:
    sides.give("folder/file")
    sides.give("folder/untouched")
    with sides.apart() as there:
        (sides.here / "folder" / "file").write_bytes(b"edited")
        (sides.here / "folder" / "new").write_bytes(b"new")
        there.remove("folder")
    assert sides.there.contents() == {"folder/file": b"edited", "folder/new": b"new"}


def test_a_removal_against_content(sides: Sides) -> None:
    sides.give("file")
    with sides.apart() as there:
        (sides.here / "file").unlink()
        there.write("file", b"edited there")
    assert sides.there.contents() == {"file": b"edited there"}


def test_a_removal_against_a_removal(sides: Sides) -> None:
    sides.give("file")
    sides.give("folder/inside")
    with sides.apart() as there:
        (sides.here / "file").unlink()
        shutil.rmtree(sides.here / "folder")
        there.remove("file")
        there.remove("folder")
    assert sides.there.held() == {}


def test_a_folder_in_the_place_of_a_file_against_content(sides: Sides) -> None:
    sides.give("thing")
    with sides.apart() as there:
        (sides.here / "thing").unlink()
        (sides.here / "thing").mkdir()
        (sides.here / "thing" / "inside").write_bytes(b"ours")
        there.write("thing", b"theirs")
    assert sides.there.contents() == {"thing": b"theirs", f"{sides.copy()}/inside": b"ours"}


def test_a_rename_against_a_rename(sides: Sides) -> None:
    sides.give("file")
    sides.give("folder/inside")
    with sides.apart() as there:
        (sides.here / "file").rename(sides.here / "ours")
        there.move("file", "theirs")
        (sides.here / "folder").rename(sides.here / "our folder")
        there.move("folder", "their folder")
    assert sides.there.contents() == {"theirs": b"base", "their folder/inside": b"base"}


def test_a_rename_against_content(sides: Sides) -> None:
    sides.give("file")
    sides.give("folder/file")
    with sides.apart() as there:
        (sides.here / "file").rename(sides.here / "renamed")
        there.write("file", b"edited there")
        (sides.here / "folder").rename(sides.here / "other")
        there.write("folder/file", b"edited too")
        there.write("folder/new", b"theirs")
    assert sides.there.contents() == {"renamed": b"edited there", "other/file": b"edited too", "other/new": b"theirs"}


def test_a_rename_against_a_removal(sides: Sides) -> None:
    """A rename is no edit."""
    sides.give("file")
    with sides.apart() as there:
        (sides.here / "file").rename(sides.here / "renamed")
        there.remove("file")
    assert sides.there.contents() == {}


def test_a_rename_onto_a_name_that_was_taken(sides: Sides) -> None:
    sides.give("file")
    with sides.apart() as there:
        (sides.here / "file").rename(sides.here / "new")
        there.write("new", b"theirs")
    assert sides.there.contents() == {"new": b"theirs", sides.copy(): b"base"}


def test_two_renames_to_one_name(sides: Sides) -> None:
    sides.give("a", b"a")
    sides.give("b", b"bb")
    with sides.apart() as there:
        (sides.here / "a").rename(sides.here / "name")
        there.move("b", "name")
    assert sides.there.contents() == {"name": b"bb", sides.copy(): b"a"}


def test_a_move_into_a_removed_folder(sides: Sides) -> None:
    sides.give("file")
    (sides.here / "folder").mkdir()
    sides.mount.settle()
    with sides.apart() as there:
        (sides.here / "file").rename(sides.here / "folder" / "file")
        there.remove("folder")
    assert sorted(sides.there.contents().values()) == [b"base"]


def test_folder_moves_that_form_a_cycle(sides: Sides) -> None:
    sides.give("a/in a", b"a")
    sides.give("b/in b", b"b")
    with sides.apart() as there:
        (sides.here / "a").rename(sides.here / "b" / "a")
        there.move("b", "a/b")
    assert sorted(sides.there.contents().values()) == [b"a", b"b"]


def test_one_name_created_on_both_sides(sides: Sides) -> None:
    with sides.apart() as there:
        (sides.here / "file").write_bytes(b"ours")
        there.write("file", b"theirs!")
        (sides.here / "same").write_bytes(b"same bytes")
        there.write("same", b"same bytes")
        (sides.here / "folder").mkdir()
        (sides.here / "folder" / "ours").write_bytes(b"1")
        there.make_folder("folder")
        there.write("folder/theirs", b"2")
    assert sides.there.contents() == {
        "file": b"theirs!",
        sides.copy(): b"ours",
        "same": b"same bytes",
        "folder/ours": b"1",
        "folder/theirs": b"2",
    }


def test_a_new_file_against_a_new_folder_of_its_name(sides: Sides) -> None:
    with sides.apart() as there:
        (sides.here / "thing").write_bytes(b"ours")
        there.make_folder("thing")
        there.write("thing/inside", b"theirs")
    assert sides.there.contents() == {"thing/inside": b"theirs", sides.copy(): b"ours"}


def test_a_new_folder_against_a_new_file_of_its_name(sides: Sides) -> None:
    with sides.apart() as there:
        (sides.here / "thing").mkdir()
        (sides.here / "thing" / "inside").write_bytes(b"ours")
        there.write("thing", b"theirs")
    assert sides.there.contents() == {"thing": b"theirs", f"{sides.copy()}/inside": b"ours"}


def test_a_folder_is_not_removed_with_an_unseen_child(sides: Sides) -> None:
    sides.give("folder/seen", b"1")
    with sides.apart() as there:
        shutil.rmtree(sides.here / "folder")
        there.write("folder/unseen", b"2")
    assert sides.there.contents() == {"folder/unseen": b"2"}


def test_a_folder_is_not_removed_with_an_edited_child(sides: Sides) -> None:
    sides.give("folder/seen", b"1")
    sides.give("folder/edited", b"2")
    with sides.apart() as there:
        shutil.rmtree(sides.here / "folder")
        there.write("folder/edited", b"edited there")
    assert sides.there.contents() == {"folder/edited": b"edited there"}


def test_attributes_against_content(sides: Sides) -> None:
    sides.give("file")
    with sides.apart() as there:
        (sides.here / "file").chmod(0o600)
        there.write("file", b"longer than before")
    assert (sides.here / "file").read_bytes() == b"longer than before"
    assert (sides.here / "file").stat().st_mode & 0o777 == 0o600


def test_how_editors_save_and_browsers_download(sides: Sides) -> None:
    sides.give("letter.txt", b"one")
    ino = (sides.here / "letter.txt").stat().st_ino
    for text in (b"two", b"three"):
        (sides.here / ".letter.swp").write_bytes(text)
        (sides.here / ".letter.swp").replace(sides.here / "letter.txt")
    (sides.here / "film.part").write_bytes(b"half")
    (sides.here / "film.part").write_bytes(b"whole")
    (sides.here / "film.part").rename(sides.here / "film")
    sides.mount.settle()
    assert sides.there.contents() == {"letter.txt": b"three", "film": b"whole"}
    assert (sides.here / "letter.txt").stat().st_ino != ino
    assert (sides.here / "letter.txt").read_bytes() == b"three"
