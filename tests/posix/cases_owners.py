"""Modes, owners and permission: chmod, chown, access, and what each person may do."""

from __future__ import annotations

import os

from tests.posix.table import Table
from tests.posix.work import NOBODY, OTHER, SPECIAL, THIRD, TYPES, Work, make

CASES = Table()
SOLID = tuple(kind for kind in TYPES if kind != "symlink")
TOO_LONG = "n" * 256


@CASES.case(SOLID)
def chmod(work: Work, kind: str) -> None:
    make(kind, "x")
    os.symlink("x", "link")
    for mode in (0, 0o111, 0o222, 0o444, 0o755, 0o1777, 0o2755, 0o4755, 0o7777, 0o644):
        with work.moved(f"chmod {mode:o}", "x", "link"):
            work.do(f"chmod {mode:o}", lambda mode=mode: os.chmod("x", mode))
        work.stat("x")
    work.do("through a link", lambda: os.chmod("link", 0o600))
    work.stat("x", "link")
    for path in ("none", "x/y", TOO_LONG, "none/x", ""):
        work.do(f"chmod {path[:8]}", lambda path=path: os.chmod(path, 0o600))


@CASES.case(SOLID)
def chmod_as_somebody(work: Work, kind: str) -> None:
    work.owned(kind, "mine", 0o644, NOBODY, NOBODY)
    work.owned(kind, "group", 0o644, NOBODY, OTHER)
    work.owned(kind, "others", 0o644, OTHER, OTHER)
    work.owned(kind, "roots", 0o666)
    for groups in ((), (OTHER,)):
        with work.person(NOBODY, NOBODY, groups):
            for name in ("mine", "group", "others", "roots"):
                for mode in (0o755, 0o1755, 0o2755, 0o4755):
                    with work.moved("chmod", name):
                        work.do(f"{name} {mode:o}", lambda name=name, mode=mode: os.chmod(name, mode))
                    work.stat(name)


@CASES.case(TYPES)
def chown(work: Work, kind: str) -> None:
    make(kind, "x")
    os.symlink("x", "link")
    for uid, gid in ((NOBODY, OTHER), (-1, THIRD), (OTHER, -1), (-1, -1), (0, 0), (2**31, 2**31 + 5), (0, 0)):
        with work.moved("chown", "x", "link"):
            work.do(f"chown {uid} {gid}", lambda uid=uid, gid=gid: os.chown("x", uid, gid, follow_symlinks=False))
        work.stat("x")
    with work.moved("lchown", "x", "link"):
        work.do("of the link", lambda: os.lchown("link", NOBODY, NOBODY))
    work.stat("x", "link")
    if kind != "symlink":
        with work.moved("chown through", "x", "link"):
            work.do("through the link", lambda: os.chown("link", OTHER, OTHER))
        work.stat("x", "link")
    for path in ("none", "x/y", TOO_LONG, "none/x", ""):
        work.do(f"chown {path[:8]}", lambda path=path: os.lchown(path, 0, 0))


@CASES.case(TYPES)
def chown_as_somebody(work: Work, kind: str) -> None:
    work.owned(kind, "mine", 0o644, NOBODY, NOBODY)
    work.owned(kind, "others", 0o644, OTHER, NOBODY)
    for groups in ((), (OTHER,)):
        with work.person(NOBODY, NOBODY, groups):
            for name in ("mine", "others"):
                for uid, gid in ((-1, -1), (NOBODY, -1), (-1, NOBODY), (-1, OTHER), (-1, THIRD), (OTHER, -1), (0, 0)):
                    with work.moved("chown", name):
                        work.do(f"{name} to {uid}:{gid}", lambda n=name, u=uid, g=gid: os.lchown(n, u, g))
                    work.stat(name)


@CASES.case(SOLID)
def chown_takes_privileges_away(work: Work, kind: str) -> None:
    for mode in (0o6755, 0o6644, 0o2745, 0o4711, 0o1777):
        name = f"{mode:o}"
        work.owned(kind, name, mode, NOBODY, NOBODY)
        os.chmod(name, mode)
        with work.person(NOBODY, NOBODY, (OTHER,)):
            work.do(f"own group of {name}", lambda name=name: os.chown(name, -1, OTHER))
        work.stat(name)
        os.chmod(name, mode)
        work.do(f"root of {name}", lambda name=name: os.chown(name, THIRD, THIRD))
        work.stat(name)
        os.chmod(name, mode)
        work.do(f"nothing of {name}", lambda name=name: os.chown(name, -1, -1))
        work.stat(name)


@CASES.case(("root", "somebody"))
def writing_takes_privileges_away(work: Work, who: str) -> None:
    for call in ("write", "truncate", "ftruncate", "append", "O_TRUNC"):
        for mode in (0o6777, 0o2767, 0o4777):
            name = f"{call}-{mode:o}"
            work.owned("file", name, 0o777, OTHER, OTHER)
            with open(name, "wb") as file:
                file.write(b"some bytes")
            os.chmod(name, mode)
            with work.person(NOBODY if who == "somebody" else 0):
                work.do(f"{call} of {mode:o}", lambda call=call, name=name: _change(call, name))
            work.stat(name)


def _change(call: str, name: str) -> None:
    flags = {"append": os.O_APPEND, "O_TRUNC": os.O_TRUNC}.get(call, 0)
    if call == "truncate":
        os.truncate(name, 3)
        return
    descriptor = os.open(name, os.O_WRONLY | flags)
    try:
        if call == "ftruncate":
            os.ftruncate(descriptor, 3)
        elif call != "O_TRUNC":
            os.write(descriptor, b"x")
    finally:
        os.close(descriptor)


@CASES.case(("file", "folder"))
def permission(work: Work, kind: str) -> None:
    """Each class of people against each bit: open, access, and for folders looking, listing and making."""
    os.umask(0)
    os.mkdir("places")
    for mode in (
        0o000,
        0o100,
        0o200,
        0o400,
        0o070,
        0o010,
        0o020,
        0o040,
        0o007,
        0o001,
        0o002,
        0o004,
        0o755,
        0o644,
        0o055,
    ):
        name = f"places/{mode:03o}"
        work.owned(kind, name, mode, NOBODY, OTHER)
        if kind == "folder":
            make("file", f"{name}/inside")
        for uid, gid, groups in (
            (NOBODY, NOBODY, ()),
            (THIRD, OTHER, ()),
            (THIRD, THIRD, (OTHER,)),
            (THIRD, THIRD, ()),
        ):
            with work.person(uid, gid, groups):
                what = f"{uid}:{gid}{groups} on {mode:03o}"
                work.tell(
                    f"access {what}",
                    "".join(
                        each
                        for each, bit in zip("rwx", (4, 2, 1), strict=True)
                        if os.access(name, bit, effective_ids=True)
                    ),
                )
                if kind == "file":
                    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC):
                        work.do(f"open {flags:o} {what}", lambda name=name, flags=flags: os.close(os.open(name, flags)))
                else:
                    work.do(f"list {what}", lambda name=name: sorted(os.listdir(name)))
                    work.do(f"look {what}", lambda name=name: os.stat(f"{name}/inside").st_size)
                    work.do(f"make {what}", lambda name=name: os.rmdir(os.mkdir(f"{name}/new") or f"{name}/new"))
                    work.do(f"enter {what}", lambda name=name: os.close(os.open(name, os.O_PATH)))
    os.umask(0o022)


@CASES.case()
def root_and_permission(work: Work) -> None:
    work.owned("file", "nothing", 0, NOBODY, NOBODY)
    work.owned("folder", "folder", 0, NOBODY, NOBODY)
    for bit in (os.R_OK, os.W_OK, os.X_OK):
        work.tell(f"access {bit}", (os.access("nothing", bit), os.access("folder", bit)))
    work.do("open", lambda: os.close(os.open("nothing", os.O_RDWR)))
    work.do("list", lambda: os.listdir("folder"))
    work.do("make", lambda: make("file", "folder/x"))


@CASES.case()
def executing(work: Work) -> None:
    for mode in (0o755, 0o644, 0o700):
        name = f"run-{mode:o}"
        with open(name, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\nexit 7\n")
        os.chmod(name, mode)
        for uid in (0, NOBODY):
            work.do(f"{uid} runs {mode:o}", lambda name=name, uid=uid: _run(name, uid))


def _run(name: str, uid: int) -> int:
    child = os.fork()
    if child == 0:
        try:
            if uid:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            os.execv(f"./{name}", [name])
        except OSError as error:
            os._exit(100 + (error.errno or 0))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@CASES.case(SPECIAL)
def devices_as_somebody(work: Work, kind: str) -> None:
    os.chmod(".", 0o777)
    with work.person(NOBODY):
        work.do("make", lambda: make(kind, "x"))
    work.stat("x")
