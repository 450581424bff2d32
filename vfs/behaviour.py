"""What the kernel's face needs of a file system: names, inodes and handles, without FUSE.

Every method raises LocalError, RemoteError or OSError only. Names are text of at most 255 bytes in UTF-8.
There is no await between reading the attributes that a method returns and its return: news that is
published while a call runs must find either the old answer not yet made, or the inode already counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cache.model import Ino, Kind
    from sync.remote import Space
    from vfs.attributes import AttributeChange, Attributes, DirectoryEntry, OpenedFile, OpenedFolder, Person


class Behaviour(Protocol):
    """The file system behind the mount."""

    async def lookup(self, parent: Ino, name: str) -> Attributes:
        """Raises NotFound, which the kernel may then believe until told otherwise."""

    async def getattr(self, ino: Ino) -> Attributes:
        """What stat tells of `ino`, also when it has no name any more."""

    async def setattr(self, ino: Ino, change: AttributeChange, fh: int | None) -> Attributes:
        """Change what is asked in one step; `fh` when the caller came through an open file."""

    async def readlink(self, ino: Ino) -> str:
        """The target of a symlink."""

    async def mkdir(self, parent: Ino, name: str, mode: int, *, by: Person | None = None) -> Attributes:
        """A new folder; `by`: whose it is, None for whoever mounts."""

    async def symlink(self, parent: Ino, name: str, target: str, *, by: Person | None = None) -> Attributes:
        """A new symlink."""

    async def mknod(
        self, parent: Ino, name: str, kind: Kind, mode: int, *, device: int = 0, by: Person | None = None
    ) -> Attributes:
        """A new file, or something that stays on this machine."""

    async def create(
        self, parent: Ino, name: str, mode: int, flags: int, *, by: Person | None = None
    ) -> tuple[int, Attributes]:
        """A new file, and a handle that is open as `flags` say."""

    async def unlink(self, parent: Ino, name: str) -> None:
        """Take a file's or symlink's name away; what is open goes on working."""

    async def rmdir(self, parent: Ino, name: str) -> None:
        """Remove an empty folder."""

    async def rename(self, parent: Ino, name: str, new_parent: Ino, new_name: str, flags: int) -> None:
        """Atomic; `flags` are 0, RENAME_NOREPLACE or RENAME_EXCHANGE."""

    async def open(self, ino: Ino, flags: int) -> OpenedFile:
        """A handle on the version that is current now. `flags` may hold O_TRUNC."""

    async def read(self, fh: int, offset: int, size: int) -> bytes | memoryview:
        """At most `size` bytes; fewer only at the end of the file."""

    async def write(self, fh: int, offset: int, data: bytes) -> int:
        """How many bytes were taken: all of them, or an error."""

    async def release(self, fh: int) -> None:
        """The last descriptor of the handle is closed."""

    async def fsync(self, fh: int, datasync: bool) -> None:
        """Return when the file is durable on this machine."""

    async def opendir(self, ino: Ino) -> OpenedFolder:
        """A handle for a listing. The kernel does as it says, or `listing_not_kept` is called at once."""

    async def readdir(self, fh: int, offset: int) -> Iterable[DirectoryEntry]:
        """The entries after `offset` (0: all), taken one by one without an await in between."""

    async def releasedir(self, fh: int) -> None:
        """The listing's handle is closed."""

    async def fsyncdir(self, fh: int) -> None:
        """Return when the folder's names are durable on this machine."""

    async def statfs(self) -> Space:
        """Room, in bytes."""

    async def getxattr(self, ino: Ino, name: bytes) -> bytes:
        """Raises OSError(ENODATA) when there is no such attribute."""

    async def setxattr(self, ino: Ino, name: bytes, value: bytes) -> None:
        """Set one attribute."""

    async def removexattr(self, ino: Ino, name: bytes) -> None:
        """Raises OSError(ENODATA) when there is no such attribute."""

    async def listxattr(self, ino: Ino) -> list[bytes]:
        """The names of all attributes."""

    def pages_are_older(self, ino: Ino) -> bool:
        """Whether the kernel's pages are of an older version that somebody still has open: theirs to keep."""

    def listing_not_kept(self, fh: int) -> None:
        """The kernel has dropped the pages of a folder that was just opened, and fills none."""

    def kernel_is(self, knows: Callable[[Ino], bool]) -> None:
        """Before the first call: `knows` tells whether the kernel may still ask for an inode."""

    def dropped(self, ino: Ino) -> None:
        """The kernel holds nothing of `ino` any more."""
