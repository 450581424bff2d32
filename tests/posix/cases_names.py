"""Making and removing names: every type, every error, who may, and whose times move on."""

from __future__ import annotations

import os
import time

from tests.posix.table import Table
from tests.posix.work import NOBODY, OTHER, THIRD, TYPES, Work, make, remove

CASES = Table()
LONG = "n" * 255
TOO_LONG = "n" * 256


@CASES.case(TYPES)
def making(work: Work, kind: str) -> None:
    os.mkdir("d")
    for umask in (0o022, 0o077, 0):
        os.umask(umask)
        work.do(f"umask {umask:o}", lambda umask=umask: make(kind, f"m{umask:o}", 0o777))
        work.stat(f"m{umask:o}")
    os.umask(0o022)
    with work.moved("making", "d"):
        work.do("make", lambda: make(kind, "d/new"))
    work.stat("d", "d/new")
    with work.moved("making again", "d", "d/new"):
        work.do("again", lambda: make(kind, "d/new"))


@CASES.case(TYPES)
def making_where_it_cannot_be(work: Work, kind: str) -> None:
    make("file", "file")
    os.symlink("loop", "loop")
    os.symlink("none", "dangling")
    os.mkdir("d")
    for path in (
        "none/new", "file/new", "loop/new", "loop", "dangling", "dangling/new", "d", "d/", "", ".", "..", "d/.", "d/..",
        "file", LONG, TOO_LONG, f"{TOO_LONG}/new", "/".join(["d" * 200] * 21), "/",
    ):  # fmt: skip
        work.do(f"make {path[:20]!r} {len(path)}", lambda path=path: make(kind, path))
    work.do("with a slash", lambda: make(kind, "new/"))
    work.stat(LONG, "new", "none")


@CASES.case(TYPES)
def making_without_permission(work: Work, kind: str) -> None:
    work.owned("folder", "mine", 0o755, NOBODY, NOBODY)
    work.owned("folder", "blind", 0o644, NOBODY, NOBODY)
    work.owned("folder", "shut", 0o555, NOBODY, NOBODY)
    work.owned("folder", "groups", 0o770, 0, OTHER)
    work.owned("folder", "sticky", 0o1777, 0, 0)
    for uid, gid, groups in ((NOBODY, NOBODY, ()), (OTHER, OTHER, ()), (THIRD, THIRD, (OTHER,))):
        with work.person(uid, gid, groups):
            for folder in ("mine", "blind", "shut", "groups", "sticky", "."):
                with work.moved(f"{uid} makes", folder):
                    work.do(f"{uid} makes in {folder}", lambda folder=folder, uid=uid: make(kind, f"{folder}/{uid}"))
                work.stat(f"{folder}/{uid}")


@CASES.case(TYPES)
def owner_of_what_is_made(work: Work, kind: str) -> None:
    os.mkdir("all")
    os.chmod("all", 0o777)
    work.owned("folder", "groups", 0o2777, 0, OTHER)
    with work.person(NOBODY, THIRD):
        for folder in ("all", "groups"):
            work.do(f"make in {folder}", lambda folder=folder: make(kind, f"{folder}/new", 0o777))
            work.stat(f"{folder}/new")
    work.do("root makes", lambda: make(kind, "groups/roots"))
    work.stat("groups/roots")


@CASES.case(TYPES)
def removing(work: Work, kind: str) -> None:
    os.mkdir("d")
    make(kind, "d/old")
    make(kind, "d/other")
    with work.moved("the wrong call", "d", "d/old"):
        work.do("the wrong call", lambda: (os.unlink if kind == "folder" else os.rmdir)("d/old"))
    with work.moved("the right call", "d", "d/other"):
        work.do("the right call", lambda: remove(kind, "d/old"))
    work.stat("d", "d/old")
    with work.moved("the second time", "d"):
        work.do("the second time", lambda: remove(kind, "d/old"))
    for path in ("none/x", "d/other/x", "d/other/", TOO_LONG, "/".join(["d" * 200] * 21), "", ".", "..", "d/.", "d/.."):
        work.do(f"unlink {path[:12]!r}", lambda path=path: os.unlink(path))
        work.do(f"rmdir {path[:12]!r}", lambda path=path: os.rmdir(path))


@CASES.case(TYPES)
def removing_an_open_one(work: Work, kind: str) -> None:
    make(kind, "old")
    descriptor = os.open("old", os.O_PATH | os.O_NOFOLLOW)
    with work.moved("removal", descriptor):
        remove(kind, "old")
    work.fstat(descriptor)
    time.sleep(0.2)  # whatever cleans up behind has had its turn
    work.fstat(descriptor, "later")
    os.close(descriptor)


@CASES.case(TYPES, ("0", "1777"))
def removing_as_somebody(work: Work, kind: str, mode: str) -> None:
    """Who may remove from whose folder, sticky or not."""
    for folder_owner in (0, NOBODY, OTHER):
        for owner in (0, NOBODY, OTHER):
            folder = f"{folder_owner}-{owner}"
            work.owned("folder", folder, int(mode, 8) or 0o777, folder_owner, folder_owner)
            work.owned(kind, f"{folder}/old", 0o644, owner, owner)
            with work.moved("trying", folder, f"{folder}/old"), work.person(NOBODY):
                work.do(f"in {folder}", lambda folder=folder: remove(kind, f"{folder}/old"))
    work.owned("folder", "shut", 0o555, NOBODY, NOBODY)
    work.owned(kind, "shut/old", 0o644, NOBODY, NOBODY)
    with work.person(NOBODY):
        work.do("in a folder without w", lambda: remove(kind, "shut/old"))
    os.chmod("shut", 0o666)
    with work.person(NOBODY):
        work.do("in a folder without x", lambda: remove(kind, "shut/old"))


@CASES.case()
def removing_folders(work: Work) -> None:
    os.makedirs("full/sub/deep")
    make("file", "full/file")
    os.symlink("full", "link")
    for path in ("full", "full/sub", "link", "link/", "link/sub", "full/sub/..", "/proc", "/"):
        work.do(f"rmdir {path}", lambda path=path: os.rmdir(path))
        work.do(f"unlink {path}", lambda path=path: os.unlink(path))
    work.do("rmdir with a slash", lambda: os.rmdir("full/sub/deep/"))
    work.do("rmdir through the link", lambda: os.rmdir("link/sub"))
    work.stat("full", "full/sub")


@CASES.case(TYPES)
def links(work: Work, kind: str) -> None:
    """link(2)."""
    os.mkdir("d")
    make(kind, "d/one")
    make("file", "d/taken")
    with work.moved("linking", "d", "d/one"):
        work.do("link", lambda: os.link("d/one", "d/two", follow_symlinks=False))
    work.stat("d/one", "d/two")
    for old, new in (
        ("none", "x"),
        ("d/taken", "d/one"),
        ("d/taken", "none/x"),
        ("d/taken/x", "x"),
        ("d/taken", TOO_LONG),
    ):
        work.do(f"link {old} {new[:8]}", lambda old=old, new=new: os.link(old, new))
    with work.moved("unlinking one", "d", "d/two"):
        work.do("unlink one", lambda: remove(kind, "d/one"))


TARGETS = (
    "x", ".", "..", "/", "/etc/passwd", "../../../..", "a/../b", "with space", "new\nline", "ä ö ü", "t" * 255,
    "t" * 256, "t" * 4000, "t" * 4095, "t" * 4096, "", "//", "a/" * 1000,
)  # fmt: skip


@CASES.case()
def symlinks(work: Work) -> None:
    for number, target in enumerate(TARGETS):
        what = f"{target[:12]!r} {len(target)}"
        work.do(f"symlink {what}", lambda target=target, number=number: os.symlink(target, f"l{number}"))
        work.stat(f"l{number}")
        work.do(f"readlink {what}", lambda target=target, number=number: os.readlink(f"l{number}") == target)
    for path in ("none", "none/x", ".", "l0/x"):
        work.do(f"readlink {path}", lambda path=path: os.readlink(path))
    os.mkdir("d")
    make("file", "d/f")
    os.symlink("d", "to-d")
    os.symlink("to-d/f", "to-f")
    os.symlink("chain0", "chain0x")
    for number in range(45):
        os.symlink(f"chain{number + 1}" if number < 44 else "d", f"chain{number}")
    for path in ("to-d/f", "to-f", "chain10/f", "chain4/f", "chain5/f", "to-f/x", "to-d/../d/f"):
        work.do(f"open {path}", lambda path=path: os.close(os.open(path, os.O_RDONLY)))
    with work.moved("making through a link", "d", "to-d"):
        work.do("make through a link", lambda: make("file", "to-d/new"))
    work.stat("to-d", "d/new")


@CASES.case()
def paths(work: Work) -> None:
    """As deep as a path can be named."""
    depth = 0
    folder = "d" * 99
    top = os.open(".", os.O_RDONLY)
    while depth < 45:
        os.mkdir(folder)
        os.chdir(folder)
        depth += 1
    make("file", "f")
    os.fchdir(top)
    for count in (39, 40, 41, 45):
        path = "/".join([folder] * count)
        for tail in ("", "/", "/" + "x" * (4095 - len(path) - 1), "/" + "x" * (4096 - len(path) - 1)):
            what = f"{count} deep, {len(tail)} more"
            work.do(f"stat {what}", lambda path=path, tail=tail: os.stat(path + tail).st_size >= 0)
            work.do(f"make {what}", lambda path=path, tail=tail: make("file", path + tail))
            work.do(f"symlink {what}", lambda path=path, tail=tail: os.symlink("x", path + tail))
    os.close(top)
