"""vfs/SEMANTICS.md, section 8: each test quotes the sentence that it holds."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.harness.drives import converge
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness.drives import Drive
    from tests.harness.mount import Mount

pytestmark = pytest.mark.fuse

FACTS = "user.anchorfs."


def _errno(call: Callable[[], object]) -> int:
    with pytest.raises(OSError, match=r".") as caught:
        call()
    assert caught.value.errno is not None
    return caught.value.errno


def own(path: Path) -> dict[str, bytes]:
    """The attributes that are no facts of the client."""
    return {name: os.getxattr(path, name) for name in os.listxattr(path) if not name.startswith(FACTS)}


def run(*words: str | Path) -> None:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), (words, done.stdout, done.stderr)


def test_s8_1_attributes_are_kept_and_synced(one: Path, two: Path, first: Mount, second: Mount) -> None:
    """[S8.1] `user.*` attributes of files and folders are kept, sent, and shown on every machine."""
    (one / "d").mkdir()
    (one / "f").write_bytes(b"x")
    os.setxattr(one / "f", "user.a", bytes(range(256)))
    os.setxattr(one / "f", "user.gone", b"1")
    os.removexattr(one / "f", "user.gone")
    os.setxattr(one / "d", "user.empty", b"")
    converge(first, second)
    assert (own(two / "f"), own(two / "d")) == ({"user.a": bytes(range(256))}, {"user.empty": b""})
    os.setxattr(two / "f", "user.two", b"2")
    os.setxattr(one / "f", "user.one", b"1")
    converge(first, second)
    assert own(one / "f") == own(two / "f") == {"user.a": bytes(range(256)), "user.one": b"1", "user.two": b"2"}


def test_s8_1_attributes_survive_a_remount(lonely: Drive) -> None:
    """[S8.1] … also through a remount, an eviction, and new content."""
    mount = lonely.mount("one")
    path = mount.path / "f"
    path.write_bytes(b"x")
    os.setxattr(path, "user.a", b"1")
    mount.sync()
    mount.command("evict", str(path))
    assert own(path) == {"user.a": b"1"}
    path.write_bytes(b"other")
    assert mount.stop() == 0
    mount.start()
    assert own(path) == {"user.a": b"1"}


def test_s8_2_as_setxattr_2_says(one: Path) -> None:
    """[S8.2] `XATTR_CREATE` and `XATTR_REPLACE` are honoured; `ENODATA`, `ERANGE`, `E2BIG`, `EPERM` as
    setxattr(2) and xattr(7) say."""
    path = one / "f"
    path.touch()
    os.setxattr(path, "user.a", b"1", os.XATTR_CREATE)
    assert _errno(lambda: os.setxattr(path, "user.a", b"2", os.XATTR_CREATE)) == errno.EEXIST
    assert _errno(lambda: os.setxattr(path, "user.b", b"2", os.XATTR_REPLACE)) == errno.ENODATA
    os.setxattr(path, "user.a", b"2", os.XATTR_REPLACE)
    assert own(path) == {"user.a": b"2"}
    assert _errno(lambda: os.getxattr(path, "user.b")) == errno.ENODATA
    assert _errno(lambda: os.removexattr(path, "user.b")) == errno.ENODATA
    assert _errno(lambda: os.setxattr(path, "user." + "n" * 251, b"")) == errno.ERANGE
    assert _errno(lambda: os.setxattr(path, "user.a", b"x" * 65_537)) == errno.E2BIG
    assert _errno(lambda: os.setxattr(path, "user.", b"x")) == errno.EINVAL
    assert _errno(lambda: os.getxattr(path, "user.")) == errno.EINVAL
    (one / "link").symlink_to("f")
    assert _errno(lambda: os.setxattr(one / "link", "user.a", b"1", follow_symlinks=False)) == errno.EPERM
    path.chmod(0o444)
    assert own(path) == {"user.a": b"2"}


def test_s8_2_the_room_of_one_item(one: Path) -> None:
    """[S8.2] Names and values of one item take 4,096 bytes together, `ENOSPC` beyond, as on ext4."""
    path = one / "f"
    path.touch()
    os.setxattr(path, "user.a", b"x" * 4090)
    assert _errno(lambda: os.setxattr(path, "user.b", b"")) == errno.ENOSPC
    os.setxattr(path, "user.a", b"")
    os.setxattr(path, "user." + "n" * 250, b"x" * 3800)


def test_s8_2_other_namespaces_and_names_that_are_no_text(one: Path) -> None:
    """[S8.2] Other namespaces are `ENOTSUP`, the facts but for the pin, too; a name that is no UTF-8 is `EILSEQ`."""
    path = one / "f"
    path.touch()
    for name in ("trusted.a", "security.a", "system.a", "a", f"{FACTS}state", f"{FACTS}mine"):
        assert _errno(lambda name=name: os.setxattr(path, name, b"1")) == errno.ENOTSUP, name  # type: ignore[misc]
    assert _errno(lambda: os.setxattr(path, b"user.\xff", b"1")) == errno.EILSEQ


def test_s8_3_copying_programs_take_along_what_is_the_users(one: Path, tmp_path: Path) -> None:
    """[S8.3] `cp -a`, `mv`, `rsync -X` and `tar --xattrs` take them along, into the mount, within it, and out."""
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "f").write_bytes(b"x")
    os.setxattr(source / "sub", "user.d", b"1")
    os.setxattr(source / "sub" / "f", "user.f", b"2")
    expected = ({"user.d": b"1"}, {"user.f": b"2"})

    def found(tree: Path) -> tuple[dict[str, bytes], dict[str, bytes]]:
        return own(tree / "sub"), own(tree / "sub" / "f")

    run("cp", "-a", source, one / "cp")
    run("cp", "-a", one / "cp", one / "cp2")
    run("cp", "-a", one / "cp2", tmp_path / "cp")
    assert found(one / "cp") == found(one / "cp2") == expected
    assert {*os.listxattr(tmp_path / "cp" / "sub" / "f")} == {"user.f"}
    for tool in ("rsync", "tar"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    run("rsync", "-aX", f"{source}/", one / "rsync")
    run("rsync", "-aX", f"{source}/", one / "rsync")
    run("rsync", "-aX", f"{one}/rsync/", one / "rsync2")
    run("rsync", "-aX", f"{one}/rsync2/", tmp_path / "rsync")
    assert found(one / "rsync") == found(one / "rsync2") == found(tmp_path / "rsync") == expected
    words = ("tar", "--xattrs", "--xattrs-include=user.*")
    run(*words, "-cf", tmp_path / "a.tar", "-C", one / "cp", ".")
    (one / "tar").mkdir()
    run(*words, "-xf", tmp_path / "a.tar", "-C", one / "tar")
    run("mv", tmp_path / "cp", one / "mv")
    assert found(one / "tar") == found(one / "mv") == expected


def test_s8_4_the_root_keeps_its_own_here(lonely: Drive) -> None:
    """[S8.4] Mode, times and attributes of the mount point itself stay on this machine."""
    mount = lonely.mount("one")
    mount.path.chmod(0o750)
    os.utime(mount.path, ns=(5, 123_456_789))
    os.setxattr(mount.path, "user.a", b"1")
    mount.sync()
    told = mount.path.stat()
    assert (told.st_mode & 0o7777, told.st_mtime_ns, own(mount.path)) == (0o750, 123_456_789, {"user.a": b"1"})


def test_s8_5_modes_and_times_travel(one: Path, two: Path, first: Mount, second: Mount) -> None:
    """[S8.5] The permission bits and the time of the last change, in nanoseconds, travel."""
    path = one / "f"
    path.write_bytes(b"x")
    path.chmod(0o751)
    os.utime(path, ns=(10**18, 10**18 + 123_456_789))
    (one / "d").mkdir(0o2711)
    os.utime(one / "d", ns=(10**18, 10**18 + 1))
    converge(first, second)

    def seen(folder: Path) -> list[tuple[int, int]]:
        found = [(folder / name).stat() for name in ("f", "d")]
        return [(each.st_mode & 0o7777, each.st_mtime_ns) for each in found]

    until(lambda: seen(one) == seen(two), "both mounts to tell the same")
    assert seen(two)[0] == (0o751, 10**18 + 123_456_789)
