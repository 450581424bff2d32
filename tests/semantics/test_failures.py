"""How other cloud drives lost data, one test each. `ELSEWHERE` names the tests of what is shown with a kernel."""

from __future__ import annotations

import ast
import errno
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from cache.model import ContentId, Kind
from sync.downloads import SMALL_BYTES
from sync.remote import Listing, RemoteError, Unreachable
from tests.fakes.drive import FakeDrive
from tests.fakes.faults import Fault
from tests.harness.trees import pattern
from tests.harness.waiting import DEADLINE_S
from tests.model.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TESTS = Path(__file__).resolve().parents[1]
BIG = pattern(SMALL_BYTES + 100_000, 1)  # fetched as a stream, published as it comes; no two of its blocks are alike
MIDDLING = pattern(300_000, 2)  # fetched and published whole

ELSEWHERE = {
    "pins were lost with a rebuilt database": (
        "engine/test_keeper.py",
        "test_a_pin_survives_a_remount_a_resync_and_a_rebuilt_catalog",
    ),
    "a rebuild lost what was not sent": (
        "unit/cache/test_damage.py",
        "test_nothing_unsent_vanishes",
    ),
    "the kernel kept a stale size": (
        "mount/test_two_mounts.py",
        "test_edits_are_seen_in_size_time_and_bytes",
    ),
    "a kernel notification deadlocked": (
        "unit/vfs/test_invalidation.py",
        "test_a_call_that_the_kernel_holds_does_not_hold_up_later_news",
    ),
    "a notification outlived the mount": (
        "unit/vfs/test_invalidation.py",
        "test_the_end_waits_for_the_call_in_flight_and_keeps_the_rest",
    ),
    "write to a temporary, rename over": (
        "mount/test_files.py",
        "test_an_editors_save_is_a_new_version_of_the_same_item",
    ),
    "save with a backup": (
        "mount/test_files.py",
        "test_a_save_with_a_backup_keeps_both",
    ),
    "lock files, parts, and a dozen other ways to save": (
        "interop/test_save_patterns.py",
        "test_a_save_leaves_the_new_bytes_and_nothing_else",
    ),
    "KeePassXC itself": (
        "interop/test_real_programs.py",
        "test_keepassxc",
    ),
    "truncate and rewrite": (
        "mount/test_files.py",
        "test_saving_again_and_again_without_a_pause_makes_no_conflict",
    ),
    "rsync": (
        "mount/test_programs.py",
        "test_rsync_copies_updates_and_deletes",
    ),
    "a rename changed the inode": (
        "mount/test_files.py",
        "test_renames_keep_the_inode_number_and_the_bytes",
    ),
    "rmdir trashed a subtree": (
        "unit/sync/test_conflict_table.py",
        "test_rmdir_against_a_new_child",
    ),
    "readdir skipped or repeated": (
        "unit/cache/test_tree_listing.py",
        "test_every_child_comes_once_and_in_order_across_pages",
    ),
    "NFC and NFD twins": (
        "unit/sync/test_names_that_clash.py",
        "test_twins_by_unicode_form_keep_their_bytes",
    ),
    "a dead daemon left an empty folder": (
        "semantics/test_errors.py",
        "test_s5_6_a_dead_client",
    ),
    "a daemon that broke left an empty folder": (
        "mount/test_dying.py",
        "test_a_drive_that_breaks_leaves_a_dead_mount",
    ),
    "a dead mount stayed": (
        "mount/test_cli.py",
        "test_doctor_takes_a_dead_mount_away",
    ),
    "two processes shared one cache": (
        "unit/cache/test_opening.py",
        "test_one_directory_serves_one_process",
    ),
    "an outage blocked every call": (
        "semantics/test_tenets.py",
        "test_s1_6_what_is_known_needs_no_network",
    ),
    "who waited for a silent server could not be killed": (
        "mount/test_stalls.py",
        "test_readers_of_a_silent_server_can_be_killed_and_others_read_on",
    ),
    "a cache met another drive, and its files went": (
        "mount/test_other_drives.py",
        "test_another_drive_at_the_same_address_is_refused",
    ),
    "thumbnailers hydrated the drive": (
        "mount/test_cache.py",
        "test_programs_that_look_into_every_file_fetch_nothing",
    ),
    "unmount did not wait for uploads": (
        "mount/test_kill.py",
        "test_unmounting_sends_everything_first",
    ),
    "a full disk lost what was accepted": (
        "mount/test_failing_disk.py",
        "test_a_full_disk",
    ),
}


@pytest.mark.parametrize("where", ELSEWHERE.values(), ids=ELSEWHERE)
def test_shown_elsewhere(where: tuple[str, str]) -> None:
    file, name = where
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    assert name in {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.fixture
def drive() -> FakeDrive:
    """/folder/file "old", /big, /middling."""
    drive = FakeDrive()
    folder = drive.create(drive.root_id, "folder", Kind.FOLDER, mode=0o755, mtime_ns=5)
    drive.create(folder.item_id, "file", Kind.FILE, mode=0o644, mtime_ns=5, data=b"old")
    drive.create(drive.root_id, "big", Kind.FILE, mode=0o644, mtime_ns=5, data=BIG)
    drive.create(drive.root_id, "middling", Kind.FILE, mode=0o644, mtime_ns=5, data=MIDDLING)
    return drive


@pytest.fixture
def machine(drive: FakeDrive, tmp_path: Path) -> Iterator[Machine]:
    """A machine that knows every name and holds no byte."""
    machine = Machine("ann", drive, tmp_path / "ann")

    async def look() -> None:
        await machine.begin()
        await machine.list_all()

    trio.run(look)
    yield machine
    machine.remove()


async def test_an_empty_item_was_created_first(machine: Machine) -> None:
    """A crash between the two leaves 0 bytes: an item appears with its content."""
    async with machine.running():
        await machine.create("/folder/new", b"content")
        assert await machine.push_all()
    assert b"" not in machine.drive.bodies.values()
    assert machine.drive.tree()["/folder/new"] == b"content"


async def test_a_newer_remote_was_overwritten(machine: Machine) -> None:
    async with machine.running():
        node = machine.at("/folder/file")
        await machine.write(node.ino, 0, b"mine", os.O_RDWR | os.O_TRUNC)
        assert node.item_id is not None
        base = machine.drive.item(node.item_id).content_version
        assert base is not None
        machine.drive.overwrite(node.item_id, base, b"theirs", mode=0o644, mtime_ns=6)
        await machine.push_all()
    assert {b"mine", b"theirs"} <= set(machine.drive.tree().values())
    assert machine.drive.tree()["/folder/file"] == b"theirs"


@pytest.mark.parametrize("how", ["empty", "failed"])
async def test_an_empty_list_was_read_as_deletion(machine: Machine, how: str) -> None:
    """Absence from an answer is asked about; only a tombstone deletes."""
    before = machine.tree()
    folder = machine.at("/folder")

    async def children(_folder: object) -> Listing:
        await trio.lowlevel.checkpoint()
        if how == "failed":
            raise Unreachable("lookup failed")
        return Listing(items=[], anchor=await machine.remote.newest_anchor())

    machine.remote.children = children  # type: ignore[method-assign]
    await machine.store.db.write(lambda c: c.execute("UPDATE node SET listed = 0 WHERE ino = ?", (folder.ino,)))
    try:
        await machine.engine.puller.ensure_listed(folder.ino)
    except RemoteError:
        assert how == "failed"
    assert machine.tree() == before
    assert machine.outbox() == []


@pytest.mark.parametrize(("path", "old"), [("/big", BIG), ("/middling", MIDDLING)])
async def test_a_partial_download_was_uploaded(machine: Machine, path: str, old: bytes) -> None:
    """What is not all here is no source: an edit of it brings the rest first, or fails."""
    ino, edited = machine.at(path).ino, old[:100] + b"edit" + old[104:]
    for _ in range(4):
        machine.remote.inject(Fault(operation="read", cut_after_bytes=5000))
    async with machine.running():
        for _ in range(5):
            with suppress(RemoteError):
                await machine.write(ino, 100, b"edit")
            await machine.push_all(5.0)
            bodies = [body for body in machine.drive.bodies.values() if len(body) > 1000]
            assert set(bodies) <= {BIG, MIDDLING, edited}
    assert machine.drive.tree()[path] == edited


async def test_the_old_version_went_before_the_new_one_was_there(machine: Machine) -> None:
    async with machine.running():
        await machine.create("/folder/tmp", b"new")
        await machine.filesystem.rename(*machine.place("/folder/tmp"), *machine.place("/folder/file"), 0)
        machine.remote.inject(Fault(operation="put", before=Unreachable("cut")))
        await machine.push_one(0)
        assert machine.drive.tree()["/folder/file"] == b"old"
        assert await machine.push_all()
    assert machine.drive.tree()["/folder/file"] == b"new"


async def test_moving_what_is_not_here_deleted_it(machine: Machine) -> None:
    item = machine.at("/folder").item_id
    await machine.filesystem.rename(*machine.place("/folder"), *machine.place("/moved"), 0)
    await machine.filesystem.rename(*machine.place("/big"), machine.at("/moved").ino, "big", 0)
    assert await machine.push_all()
    assert machine.drive.tree() == {
        "/middling": MIDDLING,
        "/moved": None,
        "/moved/file": b"old",
        "/moved/big": BIG,
    }
    assert machine.at("/moved").item_id == item
    assert not {"read", "put", "remove"} & set(machine.remote.requests)


@pytest.mark.parametrize("policy", ["partial", "full", "progressive"])
async def test_a_switch_of_modes_deleted(machine: Machine, policy: str) -> None:
    """What leaves this machine for it leaves the remote alone."""
    before = machine.drive.tree()
    async with machine.running():
        await machine.read_all()
        await machine.store.save()
    machine.crash()
    machine.engine.hydrator.policy = policy  # type: ignore[assignment]
    machine.engine.evictor.limit_bytes = 0
    await machine.begin()
    async with machine.running():
        await machine.pull()
        await machine.engine.evictor.make_room(unused_since_s=machine.store.clock().now_s + 1)
        assert {machine.at(path).content_id for path in ("/folder/file", "/big", "/middling")} == {None}
        assert machine.outbox() == []
        assert await machine.push_all()
    assert machine.drive.tree() == before == machine.tree()


async def test_what_was_not_uploaded_was_evicted(machine: Machine) -> None:
    async with machine.running():
        await machine.write(machine.at("/big").ino, 0, b"mine")
        await machine.create("/new", b"mine too")
        await machine.read(machine.at("/folder/file").ino)
        machine.engine.evictor.limit_bytes = 0
        await machine.engine.evictor.make_room(unused_since_s=machine.store.clock().now_s + 1)  # what was just used too
        assert machine.at("/folder/file").content_id is None
        await machine.store.save()
        assert machine.tree()["/big"] == b"mine" + BIG[4:]
        assert machine.tree()["/new"] == b"mine too"


async def test_a_full_disk_took_what_it_could_not_keep(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who writes is told; what was accepted before is kept, and sent."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no room")

    async with machine.running():
        fh, _ = await machine.filesystem.create(*machine.place("/new"), 0o644, os.O_RDWR)
        await machine.filesystem.write(fh, 0, b"accepted")
        with monkeypatch.context() as disk:
            disk.setattr(os, "pwrite", full)
            with pytest.raises(OSError, match="no room") as refused:
                await machine.filesystem.write(fh, 8, b", and more")
        assert refused.value.errno == errno.ENOSPC
        await machine.filesystem.release(fh)
        assert await machine.push_all()
    assert machine.drive.tree()["/new"] == b"accepted"


async def test_an_upload_was_given_up_after_some_tries(machine: Machine) -> None:
    async with machine.running():
        await machine.create("/new", b"content")
        for _ in range(60):
            machine.remote.inject(Fault(operation="put", before=Unreachable("no")))
            await machine.push_one(0)
            await machine.store.db.write(lambda c: c.execute("UPDATE journal SET not_before_ms = 0"))
        (row,) = machine.outbox()
        assert row.attempts > 10
        assert await machine.push_all()
    assert machine.drive.tree()["/new"] == b"content"


async def test_a_reused_buffer_returned_other_bytes(machine: Machine) -> None:
    """Also when a read was cancelled between the two."""
    async with machine.running():
        fh = (await machine.filesystem.open(machine.at("/big").ino, os.O_RDONLY)).fh
        first = bytes(await machine.filesystem.read(fh, 0, 4096))  # an answer is copied before anything else runs
        with trio.CancelScope() as scope:
            scope.cancel()
            await machine.filesystem.read(fh, 8192, 4096)
        second = bytes(await machine.filesystem.read(fh, 4096, 4096))
        assert (first, second) == (BIG[:4096], BIG[4096:8192])
        await machine.filesystem.release(fh)


async def test_a_reader_that_was_given_up_wrote_over_anothers_bytes(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What must come from the disk has a buffer of its own, to its end."""
    slow = threading.Event()

    def from_disk(read: Callable[..., object]) -> Callable[..., object]:
        def called(fd: int, what: object, offset: int, *flags: int) -> object:
            if flags:
                raise BlockingIOError("not in memory")
            assert offset != 8192 or slow.wait(DEADLINE_S)
            return read(fd, what, offset)

        return called

    async with machine.running():
        await machine.read(machine.at("/big").ino)
        fh = (await machine.filesystem.open(machine.at("/big").ino, os.O_RDONLY)).fh
        monkeypatch.setattr(os, "preadv", from_disk(os.preadv))
        monkeypatch.setattr(os, "pread", from_disk(os.pread))
        async with trio.open_nursery() as others:
            others.start_soon(machine.filesystem.read, fh, 8192, 4096)
            await trio.testing.wait_all_tasks_blocked()
            others.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                answered = await machine.filesystem.read(fh, 4096, 4096)
            slow.set()
        assert bytes(answered) == BIG[4096:8192] != BIG[8192:12288]
        await machine.filesystem.release(fh)


async def test_the_own_echo_was_taken_for_a_foreign_change(machine: Machine) -> None:
    async with machine.running():
        await machine.create("/new", b"content")
        held = machine.at("/new").content_id
        assert await machine.push_all()
        asked = len(machine.remote.requests)
        await machine.pull()
        assert machine.at("/new").content_id == held != ContentId(0)
        assert machine.tree() == machine.drive.tree()
        assert not {"read", "read_many", "get_many"} & set(machine.remote.requests[asked:])
    assert machine.faults() == []
