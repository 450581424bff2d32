"""A directory, its index and a scanner, without a server: what others do is done by the test, between walks."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, TypeVar

from server_stub.external.doubts import Doubts
from server_stub.external.reconcile import Reconciler
from server_stub.external.scan import Scanner
from server_stub.sqlite_store import SqliteStore
from server_stub.tree import Tree
from server_stub.values import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path
    from typing import Any

    from server_stub.external.report import Report
    from server_stub.external.sight import Eyes
    from server_stub.store import Ledger, View
    from server_stub.values import Item

T = TypeVar("T")


class Outside:
    """Opens in the constructor and imports; `close` gives everything back."""

    def __init__(self, folder: Path, eyes: Eyes | None = None, *, imported: bool = True) -> None:
        self.root = folder / "root"
        self.root.mkdir(exist_ok=True)
        self._database = folder / "drive.db"
        self._eyes = eyes
        self._runner = asyncio.Runner()
        self.open()
        if imported:
            self.run(self.scanner.import_tree())

    def open(self) -> None:
        """Open what `shut` closed, as the next process would."""
        self.tree = Tree(self.root)
        self.store = self.run(SqliteStore.open(self._database))
        self.scanner = Scanner(self.tree, self.store, Reconciler(self.tree, frozenset(), self._eyes))

    def shut(self) -> None:
        """As when the process ends."""
        self.run(self.store.aclose())
        self.tree.close()

    def close(self) -> None:
        self.shut()
        self._runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def read(self, work: Callable[[View], T]) -> T:
        return self.run(self.store.read(work))

    def scan(self, *, quick: bool = False, confirmed: bool = False) -> Report:
        return self.run(self.scanner.scan(quick=quick, confirmed=confirmed))

    def doubt(self, *paths: str) -> Report:
        """Reconcile paths below the root."""
        names = frozenset(tuple(path.split("/")) for path in paths)
        return self.run(self.scanner.reconcile(Doubts(paths=names)))

    def digest(self) -> None:
        """Compute the digests, as the server does between walks."""

        def work(ledger: Ledger) -> None:
            with ledger.transaction() as tx:
                for path, item in _everything(tx).items():
                    if item.kind is Kind.FILE and item.digest is None:
                        digest = hashlib.sha256((self.root / path).read_bytes()).hexdigest()
                        tx.note_digest(item.item_id, item.content_version or "", digest)

        self.run(self.store.write(work))

    def items(self) -> dict[str, Item]:
        """Every item by its path; the root is ''."""
        return self.read(_everything)

    def ids(self) -> dict[str, str]:
        return {path: item.item_id for path, item in self.items().items() if path}

    def kinds_on_disk(self) -> set[str]:
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*")}


def _everything(view: View) -> dict[str, Item]:
    root = view.item(view.root_id() or "")
    assert root is not None
    found = {"": root}
    pending = [("", root)]
    for path, folder in pending:
        for item in view.children(folder.item_id):
            below = f"{path}/{item.name}".lstrip("/")
            found[below] = item
            if item.is_folder:
                pending.append((below, item))
    return found
