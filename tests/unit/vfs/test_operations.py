"""The handlers: what goes in, what comes out, what is counted, and that nothing but FUSEError leaves."""

from __future__ import annotations

import errno
import inspect
import os
import stat
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyfuse3
import pytest

from cache.errors import Exists, NotFound
from cache.model import Ino, Kind
from sync.remote import Space, Unreachable
from vfs.attributes import AttributeChange, Attributes, DirectoryEntry, OpenedFile, OpenedFolder, Person
from vfs.operations import Operations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONG = b"x" * 256
UID, GID = 1234, 5678


def attributes(ino: int, kind: Kind = Kind.FILE) -> Attributes:
    return Attributes(
        ino=Ino(ino),
        kind=kind,
        mode=0o664,
        size=10_000,
        disk_bytes=513,
        nlink=1,
        mtime_ns=1_700_000_000_123_456_789,
        ctime_ns=1_600_000_000_000_000_001,
        atime_ns=-1,
    )


def counted(operations: Operations) -> list[int]:
    """Inodes that the kernel was answered and did not give back; each counts once."""
    return sorted(operations._inodes.forget_all())


class FakeFilesystem:
    """Answers what it was told to, or raises; records the calls."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.raises: BaseException | None = None
        self.calls: list[tuple[Any, ...]] = []
        self.gone: list[int] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def call(*arguments: object, **named: object) -> object:
            self.calls.append((name, *arguments, *([named] if named else [])))
            if self.raises is not None:
                raise self.raises
            return self.answers.get(name)

        return call

    def kernel_is(self, knows: Callable[[Ino], bool]) -> None:
        self.knows = knows

    def listing_not_kept(self, fh: int) -> None:
        self.not_kept = fh

    def dropped(self, ino: Ino) -> None:
        if self.raises is not None:
            raise self.raises
        self.gone.append(ino)


@pytest.fixture
def fake() -> FakeFilesystem:
    return FakeFilesystem()


@pytest.fixture
def operations(fake: FakeFilesystem) -> Operations:
    return Operations(fake, uid=UID, gid=GID, umask=0o002)


CTX: Any = SimpleNamespace(uid=7, gid=8, pid=9)  # a caller who does not own the mount
BY = {"by": Person(7, 8)}
TOKEN: Any = object()
FIELDS = pyfuse3.SetattrFields()
ASKED = pyfuse3.EntryAttributes()

REQUESTS: dict[str, tuple[Any, ...]] = {
    "lookup": (1, b"a", CTX),
    "getattr": (5, CTX),
    "setattr": (5, ASKED, FIELDS, None, CTX),
    "readlink": (5, CTX),
    "mknod": (1, b"a", stat.S_IFREG | 0o600, 0, CTX),
    "mkdir": (1, b"a", stat.S_IFDIR | 0o700, CTX),
    "unlink": (1, b"a", CTX),
    "rmdir": (1, b"a", CTX),
    "symlink": (1, b"a", b"target", CTX),
    "rename": (1, b"a", 2, b"b", 0, CTX),
    "open": (5, os.O_RDONLY, CTX),
    "read": (3, 0, 10),
    "write": (3, 0, b"data"),
    "release": (3,),
    "fsync": (3, True),
    "opendir": (1, CTX),
    "readdir": (3, 0, TOKEN),
    "releasedir": (3,),
    "fsyncdir": (3, False),
    "statfs": (CTX,),
    "setxattr": (5, b"user.a", b"v", CTX),
    "getxattr": (5, b"user.a", CTX),
    "listxattr": (5, CTX),
    "removexattr": (5, b"user.a", CTX),
    "create": (1, b"a", 0o600, os.O_RDWR, CTX),
}
WITHOUT_FILESYSTEM = {"link", "flush", "access", "poll", "forget"}


def test_every_handler_of_pyfuse3_is_covered_here() -> None:
    handlers = {name for name, value in vars(pyfuse3.Operations).items() if inspect.iscoroutinefunction(value)}
    assert handlers == set(REQUESTS) | WITHOUT_FILESYSTEM
    assert handlers - set(vars(Operations)) == {"poll"}  # the kernel's own answer is right for plain files


@pytest.mark.parametrize("handler", REQUESTS)
@pytest.mark.parametrize(
    ("error", "number"),
    [
        (RuntimeError("a mistake"), errno.EIO),
        (OSError(errno.ENOSPC, "full"), errno.ENOSPC),
        (FileNotFoundError(errno.ENOENT, "a blob of ours"), errno.EIO),
        (Exists(), errno.EEXIST),
        (Unreachable(), errno.EHOSTUNREACH),
        (pyfuse3.FUSEError(errno.EROFS), errno.EROFS),
    ],
)
async def test_only_fuse_errors_leave(
    fake: FakeFilesystem, operations: Operations, handler: str, error: Exception, number: int
) -> None:
    fake.raises = error
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await getattr(operations, handler)(*REQUESTS[handler])
    assert caught.value.errno == number
    assert counted(operations) == []


async def test_forget_never_raises(fake: FakeFilesystem, operations: Operations) -> None:
    fake.answers["lookup"] = attributes(5)
    await operations.lookup(1, b"a", CTX)
    fake.raises = RuntimeError("a mistake")
    await operations.forget([(5, 1)])
    assert not operations.knows(Ino(5))


@pytest.mark.parametrize("bad", [None, "text", 7])
@pytest.mark.parametrize("handler", ["lookup", "getattr", "mkdir", "open", "create", "readdir", "statfs"])
async def test_a_wrong_answer_is_eio(fake: FakeFilesystem, operations: Operations, handler: str, bad: object) -> None:
    fake.answers[handler] = bad
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await getattr(operations, handler)(*REQUESTS[handler])
    assert caught.value.errno == errno.EIO


@pytest.mark.parametrize(
    ("handler", "request_"),
    [
        ("lookup", (1, "NAME", CTX)),
        ("mknod", (1, "NAME", stat.S_IFREG, 0, CTX)),
        ("mkdir", (1, "NAME", 0o700, CTX)),
        ("unlink", (1, "NAME", CTX)),
        ("rmdir", (1, "NAME", CTX)),
        ("symlink", (1, "NAME", b"t", CTX)),
        ("rename", (1, "NAME", 1, b"b", 0, CTX)),
        ("rename", (1, b"a", 1, "NAME", 0, CTX)),
        ("link", (5, 1, "NAME", CTX)),
        ("create", (1, "NAME", 0o600, 0, CTX)),
    ],
)
@pytest.mark.parametrize("bad", [(LONG, errno.ENAMETOOLONG), (b"\xff\xfe", errno.EILSEQ)])
async def test_names_are_checked_in_every_call(
    fake: FakeFilesystem,
    operations: Operations,
    handler: str,
    request_: tuple[Any, ...],
    bad: tuple[bytes, int],
) -> None:
    name, number = bad
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await getattr(operations, handler)(*(name if value == "NAME" else value for value in request_))
    assert caught.value.errno == number
    assert fake.calls == []


async def test_a_name_of_255_bytes_passes(fake: FakeFilesystem, operations: Operations) -> None:
    fake.answers["lookup"] = attributes(5)
    await operations.lookup(1, LONG[:255], CTX)
    assert fake.calls == [("lookup", 1, "x" * 255)]


async def test_lookup_answers_all_of_stat_and_counts(fake: FakeFilesystem, operations: Operations) -> None:
    fake.answers["lookup"] = attributes(5)
    entry = await operations.lookup(1, "ü".encode(), CTX)
    assert fake.calls == [("lookup", 1, "ü")]
    assert (entry.st_ino, entry.st_mode, entry.st_nlink) == (5, stat.S_IFREG | 0o664, 1)
    assert (entry.st_uid, entry.st_gid) == (UID, GID)
    assert (entry.st_size, entry.st_blocks) == (10_000, 2)
    assert (entry.st_mtime_ns, entry.st_ctime_ns) == (1_700_000_000_123_456_789, 1_600_000_000_000_000_001)
    assert entry.st_atime_ns == -1
    assert entry.entry_timeout == entry.attr_timeout >= 3600
    assert operations.knows(Ino(5))
    assert counted(operations) == [5]


async def test_a_missing_name_is_an_answer_to_remember(fake: FakeFilesystem, operations: Operations) -> None:
    fake.raises = NotFound()
    entry = await operations.lookup(1, b"a", CTX)
    assert entry.st_ino == 0
    assert entry.entry_timeout >= 3600
    assert counted(operations) == []


async def test_references_are_given_back(fake: FakeFilesystem, operations: Operations) -> None:
    fake.answers["lookup"] = attributes(5)
    for _ in range(3):
        await operations.lookup(1, b"a", CTX)
    await operations.forget([(5, 2), (9, 1)])
    assert fake.gone == []
    await operations.forget([(5, 1)])
    assert fake.gone == [5]


async def test_the_end_of_the_mount_gives_everything_back(fake: FakeFilesystem, operations: Operations) -> None:
    fake.answers["lookup"] = attributes(5)
    await operations.lookup(1, b"a", CTX)
    operations.unmounted()
    operations.unmounted()
    assert fake.gone == [5]


async def test_getattr_counts_nothing(fake: FakeFilesystem, operations: Operations) -> None:
    fake.answers["getattr"] = attributes(5, Kind.FOLDER)
    assert stat.S_ISDIR((await operations.getattr(5, CTX)).st_mode)
    assert counted(operations) == []


class Fields:
    """Like pyfuse3's, which only pyfuse3 can fill."""

    def __init__(self, *wanted: str) -> None:
        for name in ("atime", "mtime", "ctime", "mode", "uid", "gid", "size"):
            setattr(self, f"update_{name}", name in wanted)


@pytest.mark.parametrize(
    ("wanted", "change"),
    [
        (("size",), AttributeChange(size=77)),
        (("mode",), AttributeChange(mode=0o4755)),
        (("uid", "gid"), AttributeChange(uid=8, gid=9)),
        (("mtime", "atime"), AttributeChange(mtime_ns=-5, atime_ns=6)),
        (("ctime",), AttributeChange()),
    ],
)
async def test_setattr_passes_what_is_asked(
    fake: FakeFilesystem, operations: Operations, wanted: tuple[str, ...], change: AttributeChange
) -> None:
    asked = pyfuse3.EntryAttributes()
    asked.st_size, asked.st_mode, asked.st_uid, asked.st_gid = 77, stat.S_IFREG | 0o4755, 8, 9
    asked.st_mtime_ns, asked.st_atime_ns = -5, 6
    fake.answers["setattr"] = attributes(5)
    fields: Any = Fields(*wanted)
    entry = await operations.setattr(5, asked, fields, 3, CTX)
    assert fake.calls == [("setattr", 5, change, 3)]
    assert entry.st_size == 10_000
    assert counted(operations) == []


async def test_create_and_open_tell_the_kernel_what_it_may_keep(fake: FakeFilesystem, operations: Operations) -> None:
    fake.answers["create"] = (4, attributes(5))
    info, entry = await operations.create(1, b"a", 0o640, os.O_RDWR, CTX)
    assert (info.fh, info.keep_cache, info.direct_io, entry.st_ino) == (4, True, False, 5)
    fake.answers["open"] = OpenedFile(fh=6, keep_cache=False, direct_io=True)
    info = await operations.open(5, os.O_RDONLY | os.O_TRUNC, CTX)
    assert (info.fh, info.keep_cache, info.direct_io, info.nonseekable) == (6, False, True, False)
    assert fake.calls == [("create", 1, "a", 0o640, os.O_RDWR, BY), ("open", 5, os.O_RDONLY | os.O_TRUNC)]
    assert counted(operations) == [5]


KINDS = {
    stat.S_IFREG: Kind.FILE,
    0: Kind.FILE,
    stat.S_IFIFO: Kind.FIFO,
    stat.S_IFSOCK: Kind.SOCKET,
    stat.S_IFCHR: Kind.CHAR,
    stat.S_IFBLK: Kind.BLOCK,
}


@pytest.mark.parametrize("bits", KINDS)
async def test_mknod_makes_each_kind(fake: FakeFilesystem, operations: Operations, bits: int) -> None:
    fake.answers["mknod"] = attributes(5, KINDS[bits])
    assert stat.S_IFMT((await operations.mknod(1, b"a", bits | 0o600, 77, CTX)).st_mode) == (bits or stat.S_IFREG)
    assert fake.calls == [("mknod", 1, "a", KINDS[bits], 0o600, {"device": 77, **BY})]
    assert counted(operations) == [5]


@pytest.mark.parametrize("bits", [stat.S_IFDIR, stat.S_IFLNK, 0o170000])
async def test_mknod_of_anything_else_is_einval(fake: FakeFilesystem, operations: Operations, bits: int) -> None:
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await operations.mknod(1, b"a", bits | 0o600, 0, CTX)
    assert caught.value.errno == errno.EINVAL
    assert fake.calls == []


async def test_new_folders_and_links_are_counted(fake: FakeFilesystem, operations: Operations) -> None:
    fake.answers = {"mkdir": attributes(5, Kind.FOLDER), "symlink": attributes(6, Kind.SYMLINK)}
    assert stat.S_ISDIR((await operations.mkdir(1, b"a", stat.S_IFDIR | 0o1755, CTX)).st_mode)
    assert stat.S_ISLNK((await operations.symlink(1, b"b", b"../c", CTX)).st_mode)
    assert fake.calls == [("mkdir", 1, "a", 0o1755, BY), ("symlink", 1, "b", "../c", BY)]
    assert counted(operations) == [5, 6]


async def test_a_target_that_is_no_text_is_eilseq(operations: Operations) -> None:
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await operations.symlink(1, b"b", b"\xff", CTX)
    assert caught.value.errno == errno.EILSEQ


async def test_readlink_gives_bytes(fake: FakeFilesystem, operations: Operations) -> None:
    fake.answers["readlink"] = "../ü"
    assert await operations.readlink(5, CTX) == "../ü".encode()


@pytest.mark.parametrize("target", ["", "a\0b", "x" * 4096])
async def test_a_target_that_no_path_can_be_is_eio(fake: FakeFilesystem, operations: Operations, target: str) -> None:
    fake.answers["readlink"] = target
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await operations.readlink(5, CTX)
    assert caught.value.errno == errno.EIO


@pytest.mark.parametrize("flags", [0, pyfuse3.RENAME_NOREPLACE, pyfuse3.RENAME_EXCHANGE])
async def test_rename_passes_its_flags(fake: FakeFilesystem, operations: Operations, flags: int) -> None:
    await operations.rename(1, b"a", 2, b"b", flags, CTX)
    assert fake.calls == [("rename", 1, "a", 2, "b", flags)]


async def test_an_unknown_rename_flag_is_einval(fake: FakeFilesystem, operations: Operations) -> None:
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await operations.rename(1, b"a", 2, b"b", 4, CTX)  # RENAME_WHITEOUT
    assert caught.value.errno == errno.EINVAL
    assert fake.calls == []


async def test_what_the_drive_cannot_do(operations: Operations) -> None:
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await operations.link(5, 1, b"b", CTX)
    assert caught.value.errno == errno.EPERM
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await operations.flush(3)
    assert caught.value.errno == errno.ENOSYS
    assert await operations.access(5, os.W_OK, CTX) is True


async def test_file_calls_pass_through(fake: FakeFilesystem, operations: Operations) -> None:
    fake.answers = {"read": b"abc", "write": 4, "opendir": OpenedFolder(8)}
    assert await operations.read(3, 5, 10) == b"abc"
    assert await operations.write(3, 6, b"data") == 4
    assert await operations.opendir(1, CTX) == 8
    await operations.fsync(3, True)
    await operations.release(3)
    await operations.fsyncdir(8, True)
    await operations.releasedir(8)
    await operations.unlink(1, b"a", CTX)
    await operations.rmdir(1, b"b", CTX)
    assert fake.calls == [
        ("read", 3, 5, 10),
        ("write", 3, 6, b"data"),
        ("opendir", 1),
        ("fsync", 3, True),
        ("release", 3),
        ("fsyncdir", 8),
        ("releasedir", 8),
        ("unlink", 1, "a"),
        ("rmdir", 1, "b"),
    ]


class FakeReply:
    """Takes so many entries, as the kernel's buffer does."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.taken: list[tuple[bytes, int, int]] = []

    def __call__(self, token: object, name: bytes, attr: pyfuse3.EntryAttributes, next_id: int) -> bool:
        assert token is TOKEN
        if len(self.taken) == self.room:
            return False
        self.taken.append((name, attr.st_ino, next_id))
        return True


def entries(*names: str) -> Iterator[DirectoryEntry]:
    for number, name in enumerate(names, start=2):
        yield DirectoryEntry(name=name, attributes=attributes(number), next_offset=number * 10)


async def test_readdir_counts_what_was_taken(
    fake: FakeFilesystem, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = FakeReply(room=4)
    monkeypatch.setattr(pyfuse3, "readdir_reply", reply)
    fake.answers["readdir"] = entries(".", "..", "ü", "b", "c", "d")
    await operations.readdir(3, 70, TOKEN)
    assert fake.calls == [("readdir", 3, 70)]
    assert reply.taken == [(b".", 2, 20), (b"..", 3, 30), ("ü".encode(), 4, 40), (b"b", 5, 50)]
    assert counted(operations) == [4, 5]


async def test_a_listing_that_fails_in_the_middle_counts_nothing(
    fake: FakeFilesystem, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing() -> Iterator[DirectoryEntry]:
        yield from entries("a")
        raise Unreachable

    monkeypatch.setattr(pyfuse3, "readdir_reply", FakeReply(room=9))
    fake.answers["readdir"] = failing()
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await operations.readdir(3, 0, TOKEN)
    assert caught.value.errno == errno.EHOSTUNREACH
    assert counted(operations) == []


async def test_statfs_tells_the_room_in_blocks(fake: FakeFilesystem, operations: Operations) -> None:
    fake.answers["statfs"] = Space(total=1 << 40, free=1 << 39)
    answer = await operations.statfs(CTX)
    assert answer.f_blocks * answer.f_frsize == 1 << 40
    assert answer.f_bavail * answer.f_frsize == answer.f_bfree * answer.f_frsize == 1 << 39
    assert answer.f_namemax == 255


async def test_extended_attributes(fake: FakeFilesystem, operations: Operations) -> None:
    fake.answers = {"getxattr": b"v", "listxattr": [b"user.a", b"user.b"]}
    assert await operations.getxattr(5, b"user.a", CTX) == b"v"
    assert await operations.listxattr(5, CTX) == [b"user.a", b"user.b"]
    await operations.setxattr(5, b"user.a", b"w", CTX)
    await operations.removexattr(5, b"user.a", CTX)
    assert fake.calls == [
        ("getxattr", 5, b"user.a"),
        ("listxattr", 5),
        ("setxattr", 5, b"user.a", b"w"),
        ("removexattr", 5, b"user.a"),
    ]


async def test_file_capabilities_are_denied_without_asking(fake: FakeFilesystem, operations: Operations) -> None:
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await operations.getxattr(5, b"security.capability", CTX)
    assert caught.value.errno == errno.ENODATA
    assert fake.calls == []


async def test_an_attribute_that_is_not_there(fake: FakeFilesystem, operations: Operations) -> None:
    fake.raises = OSError(errno.ENODATA, "no such attribute")
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await operations.getxattr(5, b"user.a", CTX)
    assert caught.value.errno == pyfuse3.ENOATTR
