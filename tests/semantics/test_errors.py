"""vfs/SEMANTICS.md, section 5: each test quotes the sentence that it holds."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness.drives import Drive

pytestmark = pytest.mark.fuse

LONG = "n" * 256


def _errno(call: Callable[[], object]) -> int:
    with pytest.raises(OSError, match=r".") as caught:
        call()
    assert caught.value.errno is not None
    return caught.value.errno


def test_s5_1_names_over_255_bytes(one: Path) -> None:
    """[S5.1] `ENAMETOOLONG` for a name over 255 bytes, in every call that takes one."""
    (one / "file").touch()
    (one / ("n" * 255)).touch()
    long = one / LONG
    calls: list[Callable[[], object]] = [
        long.stat,
        long.touch,
        long.mkdir,
        long.unlink,
        long.rmdir,
        lambda: long.symlink_to("x"),
        lambda: (one / "file").rename(long),
        lambda: long.rename(one / "other"),
    ]
    assert {_errno(call) for call in calls} == {errno.ENAMETOOLONG}


def test_s5_2_sizes_beyond_the_maximum(one: Path) -> None:
    """[S5.2] `EFBIG` for a size beyond 8 TiB."""
    path = one / "file"
    path.touch()
    assert _errno(lambda: os.truncate(path, 10**15)) == errno.EFBIG
    assert path.stat().st_size == 0


def test_s5_3_what_is_not_supported_says_so(one: Path) -> None:
    """[S5.3] Hard links are `EPERM`."""
    path = one / "file"
    path.touch()
    assert _errno(lambda: (one / "hard").hardlink_to(path)) == errno.EPERM


def test_s5_4_a_read_only_mount(drive: Drive, one: Path) -> None:
    """[S5.4] `EROFS` under `--read-only`."""
    (one / "file").write_bytes(b"x")
    drive.mounts["one"].sync()
    mount = drive.mount("read-only", "--read-only")
    folder = mount.path / one.name
    assert (folder / "file").read_bytes() == b"x"
    for call in ((folder / "new").touch, (folder / "file").unlink, (folder / "d").mkdir):
        assert _errno(call) == errno.EROFS


def test_s5_5_as_posix_says(one: Path) -> None:
    """[S5.5] `ENOTEMPTY`, `EEXIST`, `EISDIR`, `ENOTDIR` and `EINVAL` (a folder into itself) as POSIX says."""
    (one / "full" / "sub").mkdir(parents=True)
    (one / "file").touch()
    (one / "empty").mkdir()
    assert _errno((one / "full").rmdir) == errno.ENOTEMPTY
    assert _errno(lambda: (one / "empty").rename(one / "full")) == errno.ENOTEMPTY
    assert _errno((one / "full").mkdir) == errno.EEXIST
    assert _errno(lambda: (one / "file").rename(one / "empty")) == errno.EISDIR
    assert _errno(lambda: (one / "empty").rename(one / "file")) == errno.ENOTDIR
    assert _errno((one / "file" / "below").touch) == errno.ENOTDIR
    assert _errno((one / "file").rmdir) == errno.ENOTDIR
    assert _errno(lambda: (one / "full").rename(one / "full" / "sub" / "self")) == errno.EINVAL


def test_s5_6_a_dead_client(lonely: Drive) -> None:
    """[S5.6] `ENOTCONN` when the client has died; never an empty folder."""
    mount = lonely.mount("one")
    mount.kill()
    assert _errno(lambda: list(mount.path.iterdir())) == errno.ENOTCONN
