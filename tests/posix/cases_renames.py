"""rename(2) and renameat2(2): what may take whose place, who may, what moves on, and what open files go on seeing."""

from __future__ import annotations

import os

from tests.posix.table import Table
from tests.posix.work import EXCHANGE, NOBODY, NOREPLACE, OTHER, TYPES, WHITEOUT, Work, make, rename

CASES = Table()
TOO_LONG = "n" * 256
FLAGS = {"plain": 0, "noreplace": NOREPLACE, "exchange": EXCHANGE}


@CASES.case(TYPES, FLAGS)
def renaming(work: Work, kind: str, how: str) -> None:
    """To a free name, in one folder and into another."""
    flags = FLAGS[how]
    os.mkdir("one")
    os.mkdir("two")
    make(kind, "one/old")
    with work.moved("renaming", "one", "one/old"):
        work.do("beside", lambda: rename("one/old", "one/new", flags))
    old = "one/new" if os.path.lexists("one/new") else "one/old"
    before = os.lstat(old).st_ino
    with work.moved("moving", "one", "two", old):
        work.do("elsewhere", lambda: rename(old, "two/new", flags))
    work.stat("one", "two", "one/old", "one/new", "two/new")
    if os.path.lexists("two/new"):
        work.tell("still itself", os.lstat("two/new").st_ino == before)
        with work.moved("staying", "two", "two/new"):
            work.do("onto itself", lambda: rename("two/new", "two/new", flags))


@CASES.case(TYPES, TYPES, FLAGS)
def renaming_over(work: Work, kind: str, over: str, how: str) -> None:
    os.mkdir("one")
    os.mkdir("two")
    make(kind, "one/old")
    make(over, "two/taken")
    was = os.open("two/taken", os.O_PATH | os.O_NOFOLLOW)
    moved, taken = os.lstat("one/old").st_ino, os.lstat("two/taken").st_ino
    with work.moved("renaming", "one", "two", was):
        work.do("over", lambda: rename("one/old", "two/taken", FLAGS[how]))
    work.stat("one", "two", "one/old", "two/taken")
    work.fstat(was, "what was there")
    os.close(was)
    work.tell("the new place holds", {moved: "the moved", taken: "what was there"}.get(os.lstat("two/taken").st_ino))
    if os.path.lexists("one/old"):
        work.tell("the old place holds", {moved: "the moved", taken: "what was there"}.get(os.lstat("one/old").st_ino))


@CASES.case()
def flags(work: Work) -> None:
    make("file", "a")
    make("file", "b")
    work.do("whiteout", lambda: rename("b", "d", WHITEOUT))
    make("file", "e")
    for value in (NOREPLACE | EXCHANGE, WHITEOUT | EXCHANGE, 8, 1 << 31):
        work.do(f"flags {value}", lambda value=value: rename("a", "e", value))
        work.do(f"flags {value}, free", lambda value=value: rename("a", "c", value))


@CASES.case(FLAGS)
def strange_renames(work: Work, how: str) -> None:
    os.makedirs("d/sub/deep")
    os.makedirs("full/x")
    os.mkdir("empty")
    make("file", "f")
    os.symlink("d", "link")
    os.symlink("loop", "loop")
    for old, new in (
        ("d", "d/sub/self"), ("d", "d/sub"), ("d/sub", "d"), ("d/sub/deep", "d"), ("d", "d/self"), ("empty", "full"),
        ("none", "x"), ("none", "f"), ("f", "none/x"), ("f/x", "y"), ("f", "f/x"), ("f", "d"), ("d", "f"), ("f", "x/"),
        ("d", "link"), ("link", "d"), ("f", "empty/"), ("loop/x", "y"), ("f", "loop/y"), ("d/.", "x"), ("d/..", "x"),
        ("f", "."), ("f", "d/."), (".", "x"), ("", "x"), ("f", ""), ("f", TOO_LONG), (TOO_LONG, "x"), ("link", "link"),
        ("full", "empty/"), ("f", "/proc/x"), ("full", "full/x"), ("f/", "x"), ("link/", "x"),
    ):  # fmt: skip
        work.do(f"{old[:9]} to {new[:9]}", lambda old=old, new=new: rename(old, new, FLAGS[how]))
    work.tell("left", sorted(each[:9] for each in os.listdir(".")))


@CASES.case(("file", "folder", "symlink", "fifo"), ("777", "1777"))
def renaming_as_somebody(work: Work, kind: str, mode: str) -> None:
    """From and to whose folder, sticky or not, over whose file."""
    people = (0, NOBODY, OTHER)
    for source, owner, over in ((a, b, c) for a in people for b in people for c in (None, *people)):
        place = f"{source}-{owner}-{over}"
        os.mkdir(place)
        work.owned("folder", f"{place}/from", int(mode, 8), source, source)
        work.owned("folder", f"{place}/to", int(mode, 8), NOBODY if over is None else OTHER, 0)
        work.owned(kind, f"{place}/from/x", 0o644, owner, owner)
        if over is not None:
            work.owned(kind, f"{place}/to/y", 0o644, over, over)
        with work.person(NOBODY):
            work.do(place, lambda place=place: rename(f"{place}/from/x", f"{place}/to/y", 0))
            work.do(f"{place} beside", lambda place=place: rename(f"{place}/from/x", f"{place}/from/z", 0))


@CASES.case(TYPES)
def renaming_without_permission(work: Work, kind: str) -> None:
    for name, first, second in (
        ("from", 0o555, 0o755),
        ("to", 0o755, 0o555),
        ("blind", 0o644, 0o755),
        ("deaf", 0o755, 0o644),
    ):
        work.owned("folder", name, 0o755, NOBODY, NOBODY)
        work.owned("folder", f"{name}/a", first, NOBODY, NOBODY)
        work.owned("folder", f"{name}/b", second, NOBODY, NOBODY)
        work.owned(kind, f"{name}/a/x", 0o644, NOBODY, NOBODY)
        with work.moved("trying", f"{name}/a", f"{name}/b"), work.person(NOBODY):
            work.do(name, lambda name=name: os.rename(f"{name}/a/x", f"{name}/b/x"))


@CASES.case()
def a_folder_of_others(work: Work) -> None:
    """A folder that one may not write cannot go to another folder: its `..` would change."""
    for owner in (NOBODY, OTHER):
        os.mkdir(f"{owner}")
        work.owned("folder", f"{owner}/a", 0o777)
        work.owned("folder", f"{owner}/b", 0o777)
        work.owned("folder", f"{owner}/a/x", 0o755, owner, owner)
        with work.person(NOBODY):
            work.do(f"beside {owner}", lambda owner=owner: os.rename(f"{owner}/a/x", f"{owner}/a/y"))
            work.do(f"elsewhere {owner}", lambda owner=owner: os.rename(f"{owner}/a/y", f"{owner}/b/y"))


@CASES.case()
def deep_trees(work: Work) -> None:
    os.makedirs("a/b/c/d/e")
    os.makedirs("x/y")
    make("file", "a/b/c/d/e/f")
    up = os.open("a/b/c/d/..", os.O_RDONLY)
    os.rename("a/b", "x/y/b")
    work.tell("the same folder", os.path.sameopenfile(up, os.open("x/y/b/c", os.O_RDONLY)))
    work.tell("its ..", os.stat("x/y/b/..").st_ino == os.stat("x/y").st_ino)
    work.stat("a", "x", "x/y", "x/y/b", "x/y/b/c/d/e/f")
    work.do("over an ancestor", lambda: os.rename("x/y/b/c", "x"))
    os.close(up)
    here = os.open("x/y/b", os.O_RDONLY)
    os.rename("x", "a/x")
    os.fchdir(here)
    work.do("from within", lambda: os.listdir("."))
    work.do("above", lambda: sorted(os.listdir("../../..")))
    os.close(here)


@CASES.case()
def open_files(work: Work) -> None:
    for name in ("moved", "over", "one", "two"):
        with open(name, "w", encoding="utf-8") as file:
            file.write(name)
    with work.opened("moved", os.O_RDWR) as moved, work.opened("over", os.O_RDWR) as over:
        os.rename("moved", "over")
        work.do("write to the moved", lambda: os.pwrite(moved, b"MO", 0))
        work.do("write to the replaced", lambda: os.pwrite(over, b"OV", 0))
        work.do("read the moved", lambda: os.pread(moved, 9, 0))
        work.do("read the replaced", lambda: os.pread(over, 9, 0))
        work.do("read the name", lambda: open("over", "rb").read())
        work.fstat(moved, "the moved")
        work.fstat(over, "the replaced")
        work.do("cut the replaced", lambda: os.ftruncate(over, 1))
        work.fstat(over, "the replaced")
    with work.opened("one", os.O_RDWR) as one, work.opened("two", os.O_RDWR) as two:
        rename("one", "two", EXCHANGE)
        os.write(one, b"1")
        os.write(two, b"2")
        work.do("one", lambda: open("one", "rb").read())
        work.do("two", lambda: open("two", "rb").read())
