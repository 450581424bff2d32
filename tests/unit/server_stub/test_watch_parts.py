"""The parts of the watch that decide: what is in doubt when, where a watched folder lies, what audit lines say."""

from __future__ import annotations

import os
import struct
import threading
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from server_stub.watching import fanotify
from server_stub.watching.looks import Looks, resolve
from server_stub.watching.notices import Batch, FolderKey, FolderNames, Notice, Pace, Rename
from server_stub.watching.pending import Bounds, Delays, Pending
from server_stub.watching.samba import AuditLog, parse_line
from server_stub.watching.watches import Watches
from tests.harness.waiting import DEADLINE_S

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

DELAYS = Delays(now_s=1, opening_s=5, writing_s=10, writing_max_s=35)


class FakeSource:
    """Folders whose paths a test sets."""

    kind = "fake"

    def __init__(self, paths: dict[FolderKey, FolderNames | None]) -> None:
        self.paths = paths

    def fileno(self) -> int:
        raise AssertionError

    def start(self) -> None:
        raise AssertionError

    def read(self) -> Batch:
        raise AssertionError

    def names(self, key: FolderKey) -> FolderNames | None:
        return self.paths.get(key)

    def close(self) -> None:
        raise AssertionError


def test_a_burst_for_one_entry_is_one_doubt() -> None:
    pending = Pending(DELAYS)
    for at_s in range(3):
        pending.note(Notice("f", "a"), at_s)
    assert len(pending) == 1
    assert pending.due_s() == 1
    assert pending.take(0.5, 10).folders == {}
    assert pending.take(1, 10).folders == {"f": {"a"}}
    assert (len(pending), pending.due_s()) == (0, None)


def test_a_file_that_is_being_written_waits_until_it_is_quiet_or_closed() -> None:
    pending = Pending(DELAYS)
    pending.note(Notice("f", "a", Pace.WRITING), 0)
    pending.note(Notice("f", "a", Pace.WRITING), 8)
    assert pending.take(17, 10).folders == {}
    assert pending.due_s() == 18
    for at_s in (16, 24, 32):
        pending.note(Notice("f", "a", Pace.WRITING), at_s)
    assert pending.take(34, 10).folders == {}
    assert pending.due_s() == 35  # not for ever
    pending.note(Notice("f", "a", Pace.NOW), 33)
    assert pending.take(34, 10).folders == {"f": {"a"}}


def test_a_new_file_waits_for_its_content_and_a_closed_one_does_not() -> None:
    pending = Pending(DELAYS)
    pending.note(Notice("f", "a", Pace.OPENING), 0)
    pending.note(Notice("f", "a", Pace.WRITING), 1)
    assert pending.due_s() == 5  # the first notice decides: what follows does not put it off
    pending.note(Notice("f", "a"), 2)
    assert pending.due_s() == 3


def test_many_names_of_a_folder_become_the_folder() -> None:
    pending = Pending(DELAYS, Bounds(names_of_folder=3))
    for name in "abcd":
        pending.note(Notice("f", name), 0)
    pending.note(Notice("f", "e"), 0)
    pending.note(Notice("g", "a"), 0)
    assert len(pending) == 2
    assert pending.take(9, 10).folders == {"f": {None}, "g": {"a"}}


def test_too_many_doubts_put_everything_in_doubt() -> None:
    pending = Pending(DELAYS, Bounds(names=10, renames=1))
    for number in range(11):
        pending.note(Notice(number, "a"), 0)
    assert pending.is_everything
    assert len(pending) == 0
    assert pending.take_everything()
    assert not pending.take_everything()


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abcd"), st.sampled_from(Pace)), max_size=60),
    st.integers(1, 5),
)
def test_every_doubt_is_taken_once_or_something_coarser_is(told: list[tuple[int, str, Pace]], limit: int) -> None:
    pending = Pending(DELAYS, Bounds(names_of_folder=2, names=6))
    for at_s, (key, name, pace) in enumerate(told):
        pending.note(Notice(key, name, pace), at_s)
    taken: set[tuple[FolderKey, str | None]] = set()
    for _ in range(len(told) + 1):
        for key, names in pending.take(1000, limit).folders.items():
            taken |= {(key, name) for name in names}
    assert len(pending) == 0
    for key, name, _ in told:
        assert pending.is_everything or (key, name) in taken or (key, None) in taken


def test_doubts_below_a_renamed_folder_are_looked_at_again_under_its_new_path() -> None:
    pending = Pending(DELAYS)
    looks, source = Looks(pending), FakeSource({1: ("old",), 2: ()})
    looks.note(Batch(notices=[Notice(1, "file")]), 0)
    due = looks.take(1)
    resolved = resolve(source, due)
    assert resolved.look.paths == {("old", "file")}
    looks.looked(due, resolved, 1)
    source.paths[1] = ("new",)  # it was there already when the look was taken; the news comes now
    rename = Rename(2, "old", 2, "new")
    looks.note(Batch(notices=[Notice(2, "old"), Notice(2, "new")], renames=[rename], folders_moved=True), 2)
    due = looks.take(3)
    resolved = resolve(source, due)
    assert resolved.look.paths == {("old",), ("new",)}
    assert resolved.look.renames == [(("old",), ("new",))]
    looks.looked(due, resolved, 3)
    assert resolve(source, looks.take(4)).look.paths == {("new", "file")}


def test_what_lies_outside_or_in_the_servers_own_folder_is_no_doubt() -> None:
    looks, source = Looks(Pending(DELAYS)), FakeSource({1: None, 2: (".anchorfs", "kept"), 3: ("a",)})
    looks.note(Batch(notices=[Notice(1, "x"), Notice(2, "x"), Notice(3, "."), Notice(3, None)]), 0)
    assert resolve(source, looks.take(9)).look.paths == {("a",)}


def test_a_look_that_fails_is_due_again() -> None:
    pending = Pending(DELAYS)
    looks = Looks(pending)
    looks.note(Batch(notices=[Notice(1, "x")], inodes={7}), 0)
    due = looks.take(5)
    looks.put_back(due, 5)
    again = looks.take(50)
    assert (again.taken.folders, again.taken.inodes) == ({1: {"x"}}, {7})


def test_watches_follow_renames_and_forget_what_left() -> None:
    watches = Watches()
    watches.set_root(1)
    watches.place(2, 1, "a")
    watches.place(3, 2, "b")
    assert watches.names(3) == ("a", "b")
    watches.take_out(2)
    assert watches.names(3) is None
    watches.place(2, 1, "c")
    assert watches.names(3) == ("c", "b")
    watches.place(4, 1, "c")  # replaced by another
    assert (watches.names(2), watches.names(4)) == (None, ("c",))
    watches.place(4, 4, "loop")
    assert watches.names(4) == ("c",)
    assert list(watches.below(2)) == [2, 3]
    watches.drop(2)
    assert 2 not in watches
    assert watches.names(3) is None


def _event(mask: int, pid: int, *infos: bytes) -> bytes:
    body = b"".join(infos)
    return struct.pack("=IBBHQii", 24 + len(body), 3, 0, 24, mask, -1, pid) + body


def _info(kind: int, handle: bytes, name: bytes | None) -> bytes:
    tail = b"" if name is None else name + b"\0" * (4 - len(name) % 4)
    length = 12 + 8 + len(handle) + len(tail)
    return struct.pack("=BBHQII", kind, 0, length, 77, len(handle), 1) + handle + tail


def test_fanotify_events_are_read_as_the_kernel_writes_them() -> None:
    renamed = _event(fanotify.RENAME, 7, _info(10, b"old-dir!", b"a"), _info(12, b"new-dir!", b"\xff"))
    edited = _event(
        fanotify.MODIFY, 8, _info(2, b"dir-dir!", b"name"), _info(1, b"file-han", None), _info(99, b"????", b"x")
    )
    events = list(fanotify.parse(renamed + edited))
    assert [(event.mask, event.pid) for event in events] == [(fanotify.RENAME, 7), (fanotify.MODIFY, 8)]
    assert events[0].entries[12] == (struct.pack("=II", 8, 1) + b"new-dir!", os.fsdecode(b"\xff"))
    assert events[1].entries[2][1] == "name"
    assert events[1].entries[1] == (struct.pack("=II", 8, 1) + b"file-han", "")


def test_what_the_server_renames_itself_is_no_news_but_changes_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "before"
    folder.mkdir()
    paths = iter((("before",), ("after",)))
    monkeypatch.setattr(fanotify.FanotifySource, "_path", lambda _source, _handle: next(paths))
    queue, news = os.pipe()
    monkeypatch.setattr(fanotify.FanotifySource, "fileno", lambda _source: queue)
    source = fanotify.FanotifySource(-1)
    handle = struct.pack("=II", 8, 1) + b"folder-1"
    assert (source.names(handle), source.names(handle)) == (("before",), ("before",))
    ours = fanotify.RENAME | fanotify.ONDIR
    os.write(news, _event(ours, os.getpid(), _info(10, b"root-dir", b"before"), _info(12, b"root-dir", b"after")))
    batch = source.read()
    os.close(queue)
    os.close(news)
    assert (batch.notices, batch.folders_moved) == ([], True)
    assert source.names(handle) == ("after",)


def test_an_audit_line_says_who_and_where() -> None:
    line = "  anchorfs|alice|10.0.0.7|laptop|renameat|ok|/srv/drive/a/b|/srv/drive/c\n"
    told = parse_line(line, "/srv/drive")
    assert told is not None
    actor, paths = told
    assert (actor.user, actor.protocol, actor.machine) == ("alice", "smb", "laptop (10.0.0.7)")
    assert paths == [("a", "b"), ("c",)]
    by_syslog = "Nov 22 03:20:04 host smbd_audit[77]: anchorfs|bob|::1|::1|unlinkat|ok|/srv/drive/x"
    told = parse_line(by_syslog, "/srv/drive")
    assert told is not None
    assert (told[0].user, told[0].machine, told[1]) == ("bob", "::1", [("x",)])


def test_audit_lines_that_say_nothing_of_a_change_here_are_left() -> None:
    for line in (
        "[2026/11/22 03:20:04.539919,  1] ../../source3/modules/vfs_full_audit.c:643(do_log)",
        "anchorfs|alice|10.0.0.7|laptop|create_file|ok|0x10000|file|open|/srv/drive/a",
        "anchorfs|alice|10.0.0.7|laptop|unlinkat|fail (Permission denied)|/srv/drive/a",
        "anchorfs|alice|10.0.0.7|laptop|unlinkat|ok|/srv/drive-two/a",
        "anchorfs|alice|10.0.0.7|laptop|unlinkat|ok|/srv/drive",
        "anchorfs|alice",
        "",
    ):
        assert parse_line(line, "/srv/drive") is None, line


def test_files_without_a_name_are_counted_among_the_doubts() -> None:
    pending = Pending(DELAYS, Bounds(names=10))
    for ino in range(11):
        pending.note_inode(ino, 0)
    assert pending.is_everything
    assert len(pending) == 0


def test_names_that_are_no_text_are_stored_as_text() -> None:
    told = parse_line(os.fsdecode(b"anchorfs|al\xefce|1.2.3.4|\xff|unlinkat|ok|/srv/x"), "/srv")
    assert told is not None
    assert (told[0].user.encode(), told[0].machine.encode()) == (b"al?ce", b"? (1.2.3.4)")
    long = parse_line(f"anchorfs|{'u' * 10_000}|1.2.3.4|m|unlinkat|ok|/srv/x", "/srv")
    assert long is not None
    assert len(long[0].user) == 255


def test_two_who_ask_at_once_read_the_audit_log_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "audit.log"
    path.touch()
    log = AuditLog(path, tmp_path)
    second = threading.Thread(target=log.read, args=(2,))
    met: list[bool] = []

    def slow(line: str, _root: str) -> None:
        if second.ident is None:
            with path.open("a") as more:
                more.write("late\n")
            second.start()
            second.join(0.2)
            met.append(second.is_alive())
        else:
            met.append(line == "late")

    monkeypatch.setattr("server_stub.watching.samba.parse_line", slow)
    path.write_text("first\n")
    log.read(1)
    second.join(DEADLINE_S)
    log.close()
    assert met == [True, True]


def test_a_line_without_an_end_is_not_kept_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.touch()
    log = AuditLog(path, tmp_path)
    path.write_bytes(b"x" * (1 << 20))
    log.read(1)
    with path.open("a") as more:
        more.write(f"\nanchorfs|alice|1.2.3.4|m|unlinkat|ok|{tmp_path}/x\n")
    assert log.read(2) == 1
    assert log.actor(("x",)) is not None
    log.close()


def test_an_audit_log_is_followed_through_its_rotations(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = AuditLog(path, tmp_path)  # not there yet

    def line(user: str, name: str) -> str:
        return f"anchorfs|{user}|::1|m|unlinkat|ok|{tmp_path}/{name}\n"

    path.write_text(line("alice", "a") + line("bob", "b")[:20])
    assert log.read(0) == 1
    with path.open("a") as file:
        file.write(line("bob", "b")[20:])
    assert log.read(1) == 1
    path.rename(tmp_path / "audit.log.old")
    with (tmp_path / "audit.log.old").open("a") as file:
        file.write(line("carol", "c"))
    path.write_text(line("dave", "d"))
    assert log.read(2) == 2
    path.write_text("")  # copytruncate
    log.read(3)
    path.write_text(line("erin", "a"))
    log.read(3)
    who = {names[0]: actor.user for names, actor in log.actors([("a",), ("b",), ("c",), ("d",), ("e",)]).items()}
    assert who == {"a": "erin", "b": "bob", "c": "carol", "d": "dave"}
    log.read(31.5)
    assert log.actor(("b",)) is None
    assert log.actor(("d",)) is not None
    log.close()
