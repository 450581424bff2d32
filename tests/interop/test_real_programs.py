"""Programs as their makers built them, at work in a mount; each where it is installed.

What they did is on the server afterwards, and nothing else is: see `tests.interop.rest`. scripts/setup installs the
small ones; the big ones (emacs, LibreOffice, KeePassXC) are run where they are.
"""

from __future__ import annotations

import os
import pty
import select
import shutil
import sqlite3
import subprocess
import sys
import time
import zipfile
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.faults.faults import Gate, HoldAnswer, Times, content
from tests.faults.proxy import FaultProxy
from tests.harness.trees import pattern, succeed, tree_of
from tests.harness.waiting import DEADLINE_S, until
from tests.interop.rest import at_rest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness.mount import Mount

pytestmark = pytest.mark.fuse

TYPED_WITHIN_S = 60.0


def needs(*programs: str, big: bool = False) -> pytest.MarkDecorator:
    """Skipped where one of them is missing, with the word which."""
    missing = [program for program in programs if shutil.which(program) is None]
    how = "too big for scripts/setup: install it to have it tested" if big else "scripts/setup installs it"
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)} ({how})")


def _typed(words: list[str], folder: Path, keys: list[tuple[bytes, bytes]]) -> None:
    """Run a program on a terminal: after each text that it shows, the keys that belong to it. It ends by itself."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.environ.update(TERM="xterm", HOME=str(folder.parent))
        os.execvp(words[0], words)  # noqa: S606 - a program of this test
    shown, deadline = b"", time.monotonic() + TYPED_WITHIN_S
    try:
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 0.1)[0]:
                continue
            try:
                shown += os.read(terminal, 4096)
            except OSError:  # it has ended
                break
            if keys and keys[0][0] in shown:
                os.write(terminal, keys.pop(0)[1])
                shown = b""
    finally:
        os.close(terminal)
        _, status = os.waitpid(child, 0)  # its terminal is gone: it ends, if it has not yet
    assert not keys, f"{words[0]} never showed {keys}: {shown!r}"
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("way", ["no", "yes", "auto"])
@needs("vim.tiny")
def test_vim(first: Mount, one: Path, served: Path, way: str) -> None:
    (one / "notes.txt").write_text("one\n")
    settings = f"set swapfile directory=. backupskip= backup writebackup backupcopy={way}"
    for word in ("two", "three"):
        command = ["-u", "NONE", "-N", "-es", "-c", settings, "-c", f"normal Go{word}", "-c", "w", "-c", "q"]
        succeed("vim.tiny", *command, "notes.txt", cwd=one)
    found = at_rest(first, one, served)
    assert (served / "notes.txt").read_text() == "one\ntwo\nthree\n"
    assert (served / "notes.txt~").read_text() == "one\ntwo\n"
    assert set(found) == {"notes.txt", "notes.txt~"}


@needs("vim.tiny")
def test_vim_recovers_what_was_not_saved(one: Path) -> None:
    """Its swap file lives in the mount; vim is killed, and takes the text out of it again."""
    (one / "draft.txt").write_text("saved\n")
    swap = one / ".draft.txt.swp"
    words = ["vim.tiny", "-u", "NONE", "-N", "-es", "-c", "set swapfile directory=.", "draft.txt"]
    with subprocess.Popen(words, cwd=one, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as editor:
        try:
            assert editor.stdin is not None
            editor.stdin.write(b"normal Gounsaved\npreserve\n")
            editor.stdin.flush()
            until(lambda: b"unsaved" in swap.read_bytes(), "the swap file to hold the text")
        finally:
            editor.kill()
    succeed("vim.tiny", "-u", "NONE", "-N", "-es", "-r", "draft.txt", "-c", "w! rescued.txt", "-c", "q!", cwd=one)
    assert (one / "rescued.txt").read_text() == "saved\nunsaved\n"


@needs("nano")
def test_nano(first: Mount, one: Path, served: Path) -> None:
    (one / "notes.txt").write_text("first line\n")
    keys = [(b"first line", b"typed \x0f"), (b"Write", b"\r"), (b"Wrote", b"\x18")]
    _typed(["nano", "--ignorercfiles", "--backup", "--locking", "notes.txt"], one, keys)
    found = at_rest(first, one, served)
    assert (served / "notes.txt").read_text() == "typed first line\n"
    assert (served / "notes.txt~").read_text() == "first line\n"
    assert set(found) == {"notes.txt", "notes.txt~"}


@needs("emacs", big=True)
def test_emacs(first: Mount, one: Path, served: Path) -> None:
    for name in ("renamed", "copied", "precious"):
        (one / name).write_text("old\n")
    work = """(let ((backup-enable-predicate (lambda (_) t)) (create-lockfiles t))
      (dolist (way '(("renamed" nil nil) ("copied" t nil) ("precious" nil t)))
        (find-file (car way))
        (setq backup-by-copying (nth 1 way) file-precious-flag (nth 2 way))
        (insert "new\\n") (save-buffer) (insert "newer\\n") (save-buffer)))"""
    succeed("emacs", "-Q", "--batch", "--eval", work, cwd=one)
    found = at_rest(first, one, served)
    assert set(found) == {name + end for name in ("renamed", "copied", "precious") for end in ("", "~")}
    for name in ("renamed", "copied", "precious"):
        assert (served / name).read_text() == "new\nnewer\nold\n"
        assert (served / f"{name}~").read_text() == "old\n"


@needs("soffice", big=True)
def test_libreoffice_converts(first: Mount, one: Path, served: Path, tmp_path: Path) -> None:
    (one / "page.html").write_text("<p>Seen by an office suite.</p>")
    profile = f"-env:UserInstallation=file://{tmp_path}/profile"
    for target in ("odt:writer8", "txt:Text"):
        source = "page.html" if target.startswith("odt") else "page.odt"
        succeed("soffice", "--headless", profile, "--convert-to", target, source, cwd=one, HOME=str(tmp_path))
    found = at_rest(first, one, served)
    assert set(found) == {"page.html", "page.odt", "page.txt"}
    assert "Seen by an office suite." in (served / "page.txt").read_text(encoding="utf-8-sig")


@needs("keepassxc-cli", big=True)
def test_keepassxc(first: Mount, one: Path, served: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(pattern(64))
    with_key = ("-q", "--no-password", "--key-file", str(key))
    succeed("keepassxc-cli", "db-create", "-q", "--set-key-file", str(key), "safe.kdbx", cwd=one)
    for number in range(3):
        succeed("keepassxc-cli", "add", *with_key, "--username", f"me{number}", "safe.kdbx", f"entry{number}", cwd=one)
        at_rest(first, one, served)
    listed = succeed("keepassxc-cli", "ls", *with_key, served / "safe.kdbx", cwd=tmp_path)
    assert listed.split() == ["entry0", "entry1", "entry2"]
    assert [each.name for each in served.iterdir()] == ["safe.kdbx"]


@pytest.mark.parametrize("journal", ["delete", "persist", "wal"])
def test_sqlite_between_processes(first: Mount, one: Path, served: Path, journal: str) -> None:
    """[S10.3] Several processes write one database at once, by the kernel's locks; WAL shares memory by mmap."""
    path = one / "shared.db"
    with sqlite3.connect(path, timeout=60) as setup:
        assert setup.execute(f"PRAGMA journal_mode = {journal}").fetchone() == (journal,)
        setup.execute("CREATE TABLE t (who INTEGER, n INTEGER)")
    setup.close()
    work = (
        "import sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)\n"
        "for n in range(8):\n"
        "    c.execute('BEGIN IMMEDIATE'); c.execute('INSERT INTO t VALUES (?, ?)', (int(sys.argv[2]), n))\n"
        "    c.execute('COMMIT')\n"
        "c.close()\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", work, str(path), str(who)]) for who in range(3)]
    assert [writer.wait(90) for writer in writers] == [0, 0, 0]
    at_rest(first, one, served)
    for database in (path, served / "shared.db"):
        opened = sqlite3.connect(database)
        assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert opened.execute("SELECT who, count(*), sum(n) FROM t GROUP BY who ORDER BY who").fetchall() == [
            (who, 8, sum(range(8))) for who in range(3)
        ]
        opened.close()


@needs("rsync")
@pytest.mark.parametrize("way", [(), ("--inplace", "--no-whole-file"), ("--append-verify",)], ids=str)
def test_rsync_of_changed_files(first: Mount, one: Path, served: Path, tmp_path: Path, way: tuple[str, ...]) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(6):
        (source / f"f{number}").write_bytes(pattern(100_000 * number, number))
    succeed("rsync", "-a", *way, f"{source}/", one / "copy")
    at_rest(first, one, served)
    first.evict(one / "copy")
    for number in range(6):
        with (source / f"f{number}").open("ab") as file:
            file.write(b"more at the end" * 1000)
    if "--append-verify" not in way:
        (source / "f5").write_bytes(b"shorter" + pattern(300_000, 5)[7:])
    succeed("rsync", "-a", *way, f"{source}/", one / "copy")
    at_rest(first, one, served)
    assert tree_of(served / "copy") == tree_of(source)


@needs("cp", "tar")
def test_cp_and_tar(first: Mount, one: Path, served: Path, tmp_path: Path) -> None:
    source = one / "source"
    source.mkdir()
    (source / "data").write_bytes(pattern(3_000_000))
    with (source / "sparse").open("wb") as sparse:
        sparse.truncate(20 << 20)
        sparse.seek(10 << 20)
        sparse.write(b"in the middle")
    for number, way in enumerate((["--reflink=auto"], ["--sparse=always"], ["-a"])):
        succeed("cp", "-r", *way, source, one / f"copy{number}")
    succeed("tar", "-C", one, "-cSf", one / "all.tar", "source")
    (one / "unpacked").mkdir()
    succeed("tar", "-C", one / "unpacked", "-xpSf", one / "all.tar")
    at_rest(first, one, served)
    for copy in ("copy0", "copy1", "copy2", "unpacked/source"):
        assert tree_of(one / copy, times=False) == tree_of(source, times=False)
    assert succeed("cp", "--reflink=always", source / "data", tmp_path / "never", expect=1) == ""


def _download(program: str, url: str, target: Path) -> list[str]:
    how = ["curl", "-sS", "-C", "-", "-o"] if program == "curl" else ["wget", "-q", "-c", "-O"]
    return [*how, str(target), url]


@pytest.mark.parametrize(
    "program", [pytest.param("curl", marks=needs("curl")), pytest.param("wget", marks=needs("wget"))]
)
def test_a_download_that_was_cut_goes_on(
    first: Mount, one: Path, served: Path, offer: Callable[[bytes], str], program: str
) -> None:
    """Killed in the middle, its part sent and evicted, then continued."""
    data = pattern(6 << 20, 9)
    url, target = offer(data), one / "big.bin"
    origin, gate = urlsplit(url), Gate()
    link = FaultProxy((origin.hostname or "", origin.port or 0))
    link.rule = Times(HoldAnswer(gate, 3 << 20), content)
    running = subprocess.Popen(_download(program, url.replace(origin.netloc, urlsplit(link.url).netloc), target))
    try:
        until(lambda: target.stat().st_size > 1 << 20, "the download to have begun")
    finally:
        running.kill()
        running.wait(DEADLINE_S)
        gate.go.set()
        link.close()
    at_rest(first, one, served)
    assert 1 << 20 < target.stat().st_size < len(data)
    first.evict(target)
    succeed(*_download(program, url, target))
    at_rest(first, one, served)
    assert (served / "big.bin").read_bytes() == data


C_PROGRAM = {
    "main.c": '#include <stdio.h>\n#include "part.h"\nint main(void) { printf("%d\\n", a() + b()); return 0; }\n',
    "part.h": "int a(void);\nint b(void);\n",
    "a.c": '#include "part.h"\nint a(void) { return 40; }\n',
    "b.c": '#include "part.h"\nint b(void) { return 2; }\n',
    "Makefile": "OBJECTS = main.o a.o b.o\nanswer: $(OBJECTS)\n\tgcc -o $@ $^\n%.o: %.c part.h\n\t$(CC) -c -o $@ $<\n",
}


@needs("make", "gcc")
@pytest.mark.parametrize("compiler", ["gcc", pytest.param("ccache gcc", marks=needs("ccache"))])
def test_a_c_program_is_built(first: Mount, one: Path, served: Path, compiler: str) -> None:
    """make finds out of date what is, by times; ccache's cache lives in the mount as well."""
    for name, text in C_PROGRAM.items():
        (one / name).write_text(text)
    variables = {"CC": compiler, "CCACHE_DIR": str(one / ".ccache"), "TMPDIR": str(one)}
    build = ("make", "-e", "-j2", "-C", one)
    succeed(*build, **variables)
    assert succeed(one / "answer") == "42\n"
    assert "up to date" in succeed(*build, **variables)
    (one / "b.c").write_text('#include "part.h"\nint b(void) { return 3; }\n')
    assert "a.c" not in succeed(*build, **variables)
    for each in one.glob("*.o"):
        each.unlink()
    succeed(*build, **variables)
    assert succeed(one / "answer") == "43\n"
    at_rest(first, one, served)
    assert succeed(served / "answer") == "43\n"


def test_a_python_environment(first: Mount, one: Path, served: Path) -> None:
    """venv makes symlinks and scripts, pip unpacks a wheel and compiles it; what came of it runs from the mount."""
    succeed(sys.executable, "-m", "venv", "--without-pip", "env", cwd=one)
    wheel, told = one / "thing-1.0-py3-none-any.whl", "thing-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("thing/__init__.py", "def main():\n    print(42)\n")
        archive.writestr(f"{told}/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        archive.writestr(f"{told}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{told}/entry_points.txt", "[console_scripts]\nthing = thing:main\n")
        archive.writestr(f"{told}/RECORD", "")
    python = one / "env" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "-q")
    succeed(*pip, "install", "--no-index", wheel)
    assert succeed(one / "env" / "bin" / "thing") == "42\n"
    succeed(*pip, "uninstall", "--yes", "thing")
    found = at_rest(first, one, served)
    assert not [path for path in found if "thing" in path and not path.endswith(".whl")]


@needs("npm")
def test_npm_install(first: Mount, one: Path, served: Path) -> None:
    """From a folder of the drive, so without a registry; its cache lives in the mount as well."""
    (one / "thing").mkdir()
    (one / "thing" / "package.json").write_text('{"name": "thing", "version": "1.0.0", "bin": "run.js"}')
    (one / "thing" / "run.js").write_text("#!/usr/bin/env node\nconsole.log(42)\n")
    (one / "app").mkdir()
    (one / "app" / "package.json").write_text('{"name": "app", "version": "1.0.0"}')
    settings = {"npm_config_cache": str(one / ".npm"), "npm_config_offline": "true", "HOME": str(one)}
    packed = succeed("npm", "pack", "--silent", cwd=one / "thing", **settings).strip()
    options = ("--no-audit", "--no-fund", "--offline")
    succeed("npm", "install", *options, one / "thing" / packed, cwd=one / "app", **settings)
    assert succeed(one / "app" / "node_modules" / ".bin" / "thing") == "42\n"
    at_rest(first, one, served)


@needs("du", "df")
def test_du_and_df(first: Mount, one: Path, served: Path) -> None:
    """du tells the room that is taken here, df the server's."""
    (one / "data").write_bytes(pattern(4 << 20))
    at_rest(first, one, served)
    assert int(succeed("du", "-s", "-B1", one / "data").split()[0]) >= 4 << 20
    assert int(succeed("du", "-s", "-B1", "--apparent-size", one / "data").split()[0]) == 4 << 20
    first.evict(one / "data")
    until(lambda: int(succeed("du", "-s", "-B1", one / "data").split()[0]) == 0, "the kernel to hear of it")
    told = os.statvfs(served)

    def room() -> tuple[int, ...]:
        return tuple(int(each) for each in succeed("df", "-B1", "--output=size,used,avail", one).split()[-3:])

    # A server that does not answer within 2 s is asked again after a while.
    until(lambda: room()[0] == told.f_blocks * told.f_frsize, "the server's room")
    total, used, free = room()
    assert 0 < free <= total
    assert 0 < used <= total


@needs("inotifywait")
def test_inotifywait_sees_what_happens_here(first: Mount, second: Mount, one: Path, two: Path, tmp_path: Path) -> None:
    """[S10.5] Linux raises no inotify event for what changes behind a FUSE file system."""
    (one / "file").write_text("old")
    (one / "going").write_text("old")
    first.settle()
    until((two / "going").exists, "the files to be there")
    events = tmp_path / "events"
    with events.open("wb") as told:
        watch = subprocess.Popen(["inotifywait", "-m", "-q", "--format", "%e %f", str(two)], stdout=told, stderr=told)

    def heard(line: str) -> bool:
        return line in events.read_text().splitlines()

    try:

        def listens() -> bool:
            (two / "probe").write_bytes(b"")  # opened and closed each time, which touch() does at the first only
            return heard("CLOSE_WRITE,CLOSE probe")

        until(listens, "inotifywait to watch")
        (one / "file").write_text("new, from elsewhere")
        (one / "made elsewhere").write_text("x")
        (one / "going").unlink()
        until(lambda: (two / "file").read_text() == "new, from elsewhere", "the change")
        until((two / "made elsewhere").exists, "the new file")
        until(lambda: not (two / "going").exists(), "the removal")
        (two / "made here").write_text("x")
        until(lambda: heard("CREATE made here") and heard("MODIFY made here"), "what was done here")
        assert not heard("MODIFY file")
        assert not heard("CREATE made elsewhere")
        assert not heard("DELETE going")
    finally:
        watch.kill()
        watch.wait(DEADLINE_S)
    second.settle()
