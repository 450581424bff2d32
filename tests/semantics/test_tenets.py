"""vfs/SEMANTICS.md, sections 1 to 3: each test quotes the paragraph that it holds."""

from __future__ import annotations

import os
import statistics
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.faults import Refuse, Request, Times, content
from tests.harness.drives import Drive, attribute, seen
from tests.harness.trees import pattern
from tests.harness.waiting import until
from vfs.drive import RETRY_S

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.fuse


def test_s1_1_an_accepted_write_outlives_the_process(lonely: Drive) -> None:
    """[S1.1] When `write` has returned, the bytes outlive the client's process; they are there at the next mount."""
    mount = lonely.mount("one")
    descriptor = os.open(mount.path / "file", os.O_CREAT | os.O_WRONLY)
    try:
        os.write(descriptor, b"accepted")
        ino = os.fstat(descriptor).st_ino
        mount.kill()
    finally:
        with pytest.raises(OSError, match=r"not connected|aborted"):
            os.close(descriptor)
    mount.remount()
    assert (mount.path / "file").read_bytes() == b"accepted"
    assert (mount.path / "file").stat().st_ino == ino  # [S3.5]
    mount.sync()
    assert (lonely.served / "file").read_bytes() == b"accepted"


def test_s1_3_errors_delete_nothing(lonely: Drive) -> None:
    """[S1.3] A server that is away, an error, or a broken answer takes nothing out of the mount."""
    link = lonely.link()
    mount = lonely.mount("one", url=link.url)
    (mount.path / "folder").mkdir()
    (mount.path / "folder" / "file").write_bytes(b"here")
    mount.sync()
    link.rule = _always_refused
    until(lambda: link.count("GET", "/changes") > 3, "the client to be refused again and again")
    assert (mount.path / "folder" / "file").read_bytes() == b"here"
    link.rule = None
    mount.sync()
    assert (lonely.served / "folder" / "file").read_bytes() == b"here"


def _always_refused(request: Request) -> Refuse:
    return Refuse(404 if "/items" in request.target else 500)


def test_s1_6_what_is_known_needs_no_network(lonely: Drive) -> None:
    """[S1.6] What is known is answered without the network: listings, attributes, held bytes, …"""
    mount = lonely.mount("one")
    (mount.path / "file").write_bytes(b"held")
    (mount.path / "link").symlink_to("file")
    mount.sync()
    lonely.server.stop()
    assert sorted(each.name for each in mount.path.iterdir()) == ["file", "link"]
    assert (mount.path / "file").stat().st_size == 4
    assert (mount.path / "link").read_bytes() == b"held"
    assert not (mount.path / "nothing").exists()


def test_s1_7_a_change_elsewhere_is_seen_where_absence_was_known(one: Path, two: Path) -> None:
    """[S1.7] A change made elsewhere is seen through the kernel's caches when its event arrives."""
    assert not (two / "file").exists()
    (one / "file").write_bytes(b"first")
    seen(two / "file", b"first")
    (one / "file").write_bytes(b"second, longer")
    seen(two / "file", b"second, longer")


def test_s2_1_a_placeholder_tells_its_size_and_takes_no_room(one: Path, two: Path, drive: Drive) -> None:
    """[S2.1] A placeholder tells its true size and takes no room: `st_size` is the size, `st_blocks` is 0."""
    (one / "file").write_bytes(pattern(2_000_000))
    drive.mounts["one"].sync()
    until(lambda: (two / "file").stat().st_size == 2_000_000, "the placeholder")
    assert (two / "file").stat().st_blocks == 0
    assert attribute(two / "file", "state") == "online-only"
    assert attribute(two / "file", "hydrated") == "0 / 2000000"
    assert (two / "file").read_bytes() == pattern(2_000_000)
    assert attribute(two / "file", "state") == "local"
    until(lambda: (two / "file").stat().st_blocks * 512 >= 2_000_000, "the room to be told")


def test_s2_2_attributes_tell_the_facts(one: Path, drive: Drive) -> None:
    """[S2.2] … tell the facts as plain text. What the server has not seen has no id and no versions."""
    with drive.mounts["one"].paused():
        (one / "file").write_bytes(b"x")
        assert attribute(one / "file", "sync") == "pending"
        assert "user.anchorfs.item_id" not in os.listxattr(one / "file")
    drive.mounts["one"].sync()
    assert attribute(one / "file", "sync") == "synced"
    for name in ("item_id", "content_version", "metadata_version"):
        assert f"user.anchorfs.{name}" in os.listxattr(one / "file")
        assert attribute(one / "file", name)


def test_s2_4_eviction_spares_what_exists_only_here_and_what_is_open(lonely: Drive) -> None:
    """[S2.4] It never touches bytes that the server does not have, nor a file that is open."""
    link = lonely.link()
    mount = lonely.mount("one", "--cache-size", "2M", url=link.url)
    for number in range(4):
        (mount.path / f"old {number}").write_bytes(pattern(1_000_000, number))
    mount.sync()
    until(lambda: sum(each.stat().st_blocks for each in mount.path.iterdir()) * 512 <= 2 << 20, "the cache to fit")
    link.cut()
    for number in range(4):
        (mount.path / f"new {number}").write_bytes(pattern(1_000_000, 10 + number))
    with (mount.path / "new 0").open("rb") as held:
        assert mount.command("evict", str(mount.path / "new 1")).returncode != 0
        assert mount.command("evict", str(mount.path / "new 0")).returncode != 0
        for number in range(4):
            assert (mount.path / f"new {number}").read_bytes() == pattern(1_000_000, 10 + number)
        assert held.read() == pattern(1_000_000, 10)
    link.mend()
    mount.sync()
    for number in range(4):
        assert (lonely.served / f"new {number}").read_bytes() == pattern(1_000_000, 10 + number)
        assert (mount.path / f"old {number}").read_bytes() == pattern(1_000_000, number)


def test_s3_1_a_handle_keeps_the_version_it_opened(one: Path, two: Path, drive: Drive) -> None:
    """[S3.1] A handle keeps the version that it opened until it is closed; a later open gets the newest version."""
    (one / "file").write_bytes(b"old")
    drive.mounts["one"].sync()
    until(lambda: (two / "file").stat().st_size == 3, "the placeholder")
    with (two / "file").open("rb", buffering=0) as held:
        (one / "file").write_bytes(b"newer")
        seen(two / "file", b"newer")
        assert held.read() == b"old"
    assert (two / "file").read_bytes() == b"newer"


def test_s3_4_and_s3_6_what_a_rename_over_a_file_keeps(one: Path, served: Path, drive: Drive) -> None:
    """[S3.4] The name then bears the inode number of what was renamed. [S3.6] The id goes on; an item renamed over
    another keeps its own id."""
    (one / "file").write_bytes(b"1")
    (one / "item").write_bytes(b"2")
    drive.mounts["one"].sync()
    first, second = attribute(one / "file", "item_id"), attribute(one / "item", "item_id")
    with drive.mounts["one"].paused():
        (one / "fresh").write_bytes(b"3")
        ino = (one / "fresh").stat().st_ino
        (one / "fresh").rename(one / "file")
    assert (one / "file").stat().st_ino == ino
    drive.mounts["one"].sync()
    assert attribute(one / "file", "item_id") == first
    (one / "item").rename(one / "file")
    drive.mounts["one"].sync()
    assert attribute(one / "file", "item_id") == second
    assert {each.name: each.read_bytes() for each in served.iterdir()} == {"file": b"2"}


def test_s2_3_a_part_is_brought_first_and_the_rest_behind(one: Path, two: Path, drive: Drive) -> None:
    """[S2.3] Reading a part brings that part first. A file that is read goes on to be brought whole."""
    (one / "file").write_bytes(pattern(30_000_000))
    drive.mounts["one"].sync()
    until(lambda: (two / "file").stat().st_size == 30_000_000, "the placeholder")
    with (two / "file").open("rb", buffering=0) as file:
        assert os.pread(file.fileno(), 4096, 25_000_000) == pattern(30_000_000)[25_000_000:25_004_096]
        until(lambda: attribute(two / "file", "state") == "local", "the rest to arrive behind")


def test_s5_7_what_cannot_be_had_is_an_error_never_absence(one: Path, drive: Drive) -> None:
    """[S5.7] `EHOSTUNREACH`, `ETIMEDOUT` or `EIO` for bytes that are not here and cannot be had."""
    link = drive.link()
    (one / "file").write_bytes(pattern(10_000))
    drive.mounts["one"].sync()
    far = drive.mount("behind", url=link.url)
    path = far.path / one.name / "file"
    assert path.stat().st_size == 10_000
    link.rule = Times(Refuse(500), content, count=1000)
    with pytest.raises(OSError, match=r"route to host|timed out|Input/output"):
        path.read_bytes()
    link.rule = None
    seen(path, pattern(10_000))


def test_s5_8_nobody_waits_for_the_server_in_vain_a_second_time(one: Path, drive: Drive) -> None:
    """[S5.8] Once one wait for the server was in vain, about 4 s, no other begins until it answers anything."""
    link = drive.link()
    names = [f"file {number}" for number in range(6)]
    for name in names:
        (one / name).write_bytes(pattern(10_000))
    drive.mounts["one"].sync()
    far = drive.mount("waits once", url=link.url)
    place = far.path / one.name
    assert sorted(each.name for each in place.iterdir()) == names
    link.cut()
    try:
        with pytest.raises(OSError, match="route to host"):
            (place / names[0]).read_bytes()
        took_s = []
        for name in names[1:]:
            began_s = time.monotonic()
            with pytest.raises(OSError, match="route to host"):
                (place / name).read_bytes()
            took_s.append(time.monotonic() - began_s)
        assert statistics.median(took_s) < RETRY_S / 2
    finally:
        link.mend()
    for name in names:
        seen(place / name, pattern(10_000))
