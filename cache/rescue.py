"""Bytes that may exist nowhere else, and have lost their place in the catalog: kept in a folder that a person can open.

`DIR/rescued/DATE/` holds them under the paths that they had, or as `content-N` where no name is known, and a list.
Nothing here deletes, and nothing in there is ever touched again by this program.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from cache import names
from cache.errors import LocalError
from cache.failpoints import reached

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cache.blobs import Blobs
    from cache.model import ContentId

log = logging.getLogger(__name__)

_LIST = "RESCUED.txt"


class Rescue:
    """One opening's rescues; nothing is made on the disk before the first."""

    def __init__(self, directory: Path, blobs: Blobs) -> None:
        self._parent = directory / "rescued"
        self._blobs = blobs
        self._folder: Path | None = None
        self.count = 0
        self._told = 0

    def keep(self, content_id: ContentId, path: str | None, why: str) -> None:
        """Move a content's blob out of the store, to stand where it stood in the drive. Raises OSError."""
        target = self._free_place(path, content_id)
        size_bytes = self._blobs.size(content_id)
        self._blobs.give_away(content_id, target)
        reached("rescued")
        self.count += 1
        self.tell([f"{target.relative_to(self.folder)}\t{size_bytes} bytes\t{why}"])

    def tell(self, lines: Iterable[str]) -> None:
        """Add lines to the list. On a full disk there is none: what is moved needs no room, and is worth more."""
        try:
            with (self.folder / _LIST).open("a", encoding="utf-8", errors="replace") as file:
                file.writelines(f"{line}\n" for line in lines)
        except OSError as error:
            log.warning("the list of what was rescued is not whole: %s", error)

    @property
    def folder(self) -> Path:
        """This opening's own folder, made when it is first wanted."""
        if self._folder is None:
            self._folder = dated(self._parent)
        return self._folder

    def report(self) -> None:
        """Say in the log what a person has to know, once for each time that there is more."""
        if self.count > self._told:
            self._told = self.count
            log.warning(
                "%d files that may hold changes which the server does not have were moved to %s: look at them, copy "
                "what you want back into the drive, then delete that folder", self.count, self._folder,
            )  # fmt: skip

    def _free_place(self, path: str | None, content_id: ContentId) -> Path:
        words = [word for word in (path or "").split("/") if word != "?"]  # a broken chain of folders
        with suppress(LocalError, OSError, ValueError):
            for word in words:
                names.check(word)
            target = self.folder.joinpath(*words)
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not target.exists() and target != self.folder / _LIST:
                return target
        plain = self.folder / f"content-{content_id}"
        while plain.exists():
            plain = plain.with_name(plain.name + "+")
        return plain


def kept_files(folder: Path) -> int:
    """How many files are kept in `rescued/` or `set-aside/` for a person to look at, its list of them not counted."""
    return sum(1 for path in folder.rglob("*") if (path.is_symlink() or path.is_file()) and path.name != _LIST)


def dated(parent: Path) -> Path:
    """A new folder of mode 0700 in `parent`, named by the day, and by a number behind it when that is taken."""
    parent.mkdir(mode=0o700, exist_ok=True)
    day = time.strftime("%Y-%m-%d")
    for number in range(1, 100_000):
        folder = parent / (day if number == 1 else f"{day}.{number}")
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            return folder
    raise FileExistsError(f"{parent} is full of folders of this day")
