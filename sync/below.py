"""A walk through everything below a folder, page by page, for who wants all of it here, or nothing of it.

What has a pin rule of its own is left to who looks after that rule, when asked so. A page ends with a checkpoint, so
that a tree of any size keeps nobody waiting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from cache import tree
from cache.model import Ino, Kind, Node

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cache.store import LocalStore

PAGE = 500


class Below:
    """The walk; the top may be a file."""

    def __init__(
        self, store: LocalStore, top: Ino, arrive: Callable[[Node], Awaitable[None]] | None = None,
        *, pass_over: Callable[[Node], bool] = lambda _node: False,
    ) -> None:  # fmt: skip
        """`arrive` has a folder's children here (None: only what is known is walked)."""
        self._store = store
        self._arrive = arrive
        self._pass_over = pass_over
        self._folders: list[Ino] = []
        self._after = 0  # where the listing of the last folder goes on
        self._top: Ino | None = top

    async def page(self) -> list[Node] | None:
        """The next files; None at the end. Raises what `arrive` raises."""
        await trio.lowlevel.checkpoint()
        if self._top is not None:
            return self._begin()
        if not self._folders:
            return None
        folder = tree.by_ino(self._store.db.reader, self._folders[-1])
        if folder is not None and not folder.listed and self._arrive is not None:
            await self._arrive(folder)
        page = tree.page(self._store.db.reader, self._folders[-1], self._after, PAGE)
        found = [node for node in page if not self._pass_over(node)]
        if len(page) < PAGE:
            self._folders.pop()
            self._after = 0
            self._folders += [each.ino for each in reversed(found) if each.kind is Kind.FOLDER]
        else:
            self._after = page[-1].ino
            self._folders[-1:-1] = [each.ino for each in found if each.kind is Kind.FOLDER]
        return [each for each in found if each.kind is Kind.FILE]

    def _begin(self) -> list[Node]:
        top, self._top = self._top, None
        node = None if top is None else tree.by_ino(self._store.db.reader, top)
        if node is not None and node.kind is Kind.FOLDER:
            self._folders.append(node.ino)
        return [node] if node is not None and node.kind is Kind.FILE else []
