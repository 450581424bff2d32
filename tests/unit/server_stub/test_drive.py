"""The drive on a real folder: a change whose rows could not be written is settled before the next one is decided."""

from __future__ import annotations

import asyncio
import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from server_stub.drive import Drive
from server_stub.external.reconcile import Reconciler
from server_stub.external.scan import Scanner
from server_stub.external.sight import Eyes
from server_stub.intents import Intent
from server_stub.keys import Answer
from server_stub.plans.content import NewContent, plan_new_file, plan_overwrite
from server_stub.problems import Problem
from server_stub.sqlite_store import SqliteStore
from server_stub.tree import Place, Tree
from server_stub.values import Item, Kind, Principal, Trace, new_id
from server_stub.vault import Staged, Vault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from server_stub.store import Ledger, Tx, View

CONTENT = NewContent(modified_ns=1_000_000_000)


class FullLedger:
    """A ledger whose second transaction from now finds the disk full."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._left = 1

    def __getattr__(self, name: str) -> object:
        return getattr(self._ledger, name)

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        if self._left == 0:
            raise OSError(errno.ENOSPC, "full")
        self._left -= 1
        with self._ledger.transaction() as tx:
            yield tx


def stage(vault: Vault, data: bytes) -> Staged:
    writing = vault.begin()
    writing.write(data)
    return writing.finish(mode=0o644, modified_ns=CONTENT.modified_ns)


def test_rows_that_could_not_be_written_are_settled_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "root").mkdir()
        store = await SqliteStore.open(tmp_path / "drive.db")
        tree, vault = Tree(tmp_path / "root"), Vault(tmp_path / "vault")
        scanner = Scanner(tree, store, Reconciler(tree, frozenset()))
        drive = Drive(tree, vault, scanner.refresh)
        await scanner.import_tree()
        root_id = await store.read(lambda view: view.root_id() or "")
        me = Principal(token_id="t", name="t", root_id=root_id, whole_drive=True)
        first, second = stage(vault, b"one"), stage(vault, b"two")

        def create(view: View) -> Intent:
            return plan_new_file(view, me, parent_id=root_id, name="f", content=CONTENT, staged=first, now_ns=1)

        def overwrite(view: View) -> Intent:
            item = view.child(root_id, "f")
            assert item is not None, "the unfinished change was not settled"
            base = item.content_version or ""
            return plan_overwrite(view, me, item_id=item.item_id, base=base, content=CONTENT, staged=second, now_ns=2)

        with pytest.raises(Problem, match="quota_exceeded"):
            await store.write(lambda ledger: drive.perform(FullLedger(ledger), create))  # type: ignore[arg-type]
        assert (tmp_path / "root" / "f").read_bytes() == b"one"
        assert (await store.write(lambda ledger: drive.perform(ledger, overwrite))).status == 200
        assert (tmp_path / "root" / "f").read_bytes() == b"two"
        assert await store.read(lambda view: view.intents()) == []
        await store.aclose()
        vault.close()
        tree.close()

    asyncio.run(scenario())


def test_an_edit_while_the_intent_becomes_durable_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "root" / "f"

    async def scenario() -> None:
        file.parent.mkdir()
        file.write_bytes(b"one")
        store = await SqliteStore.open(tmp_path / "drive.db")
        tree, vault = Tree(tmp_path / "root"), Vault(tmp_path / "vault")
        scanner = Scanner(tree, store, Reconciler(tree, frozenset()))
        drive = Drive(tree, vault, scanner.refresh)
        await scanner.import_tree()
        root_id = await store.read(lambda view: view.root_id() or "")
        known = await store.read(lambda view: view.child(root_id, "f"))
        assert known is not None
        me = Principal(token_id="t", name="t", root_id=root_id, whole_drive=True)
        staged = stage(vault, b"the client's")

        def overwrite(view: View) -> Intent:
            base = known.content_version or ""
            return plan_overwrite(view, me, item_id=known.item_id, base=base, content=CONTENT, staged=staged, now_ns=2)

        def others_write(point: str) -> None:
            if point == "intended":
                with file.open("ab") as same_inode:
                    same_inode.write(b", edited in place")

        monkeypatch.setattr("server_stub.failpoints.reach", others_write)
        with pytest.raises(Problem, match="precondition_failed"):
            await store.write(lambda ledger: drive.perform(ledger, overwrite))
        assert file.read_bytes() == b"one, edited in place"
        assert await store.read(lambda view: view.intents()) == []
        await store.aclose()
        vault.close()
        tree.close()

    asyncio.run(scenario())


def test_a_file_that_got_the_inode_number_of_the_one_before_it_is_told_from_it(tmp_path: Path) -> None:
    """A restored tree is made anew, often with the very numbers that it had: a scan must know it again."""
    (tmp_path / "root" / "made anew").mkdir(parents=True)
    tree, vault, eyes = Tree(tmp_path / "root"), Vault(tmp_path / "vault"), Eyes()
    place = Place((), "made anew")
    found, item_id = tree.evidence(place), new_id(1)
    assert found is not None
    item = Item(
        item_id=item_id, parent_id="r", name=place.name, kind=Kind.FOLDER, size=0, mode=0o755, created_ns=1,
        modified_ns=1, metadata_version="m", evidence=found, trace=Trace(birth_ns=1, marked=True, listed=True),
    )  # fmt: skip
    intent = Intent(places={item_id: place}, answer=Answer(status=200, body=b""), now_ns=1)
    seen = Drive(tree, vault, lambda _ledger, _names: None, eyes)._seen(intent, item)
    with tree.folder(()) as fd:
        born_ns = eyes.birth_ns(fd, place.name)
        assert seen.trace == Trace(birth_ns=born_ns, marked=eyes.mark(fd, place.name) == item_id)
    assert born_ns > 1, "this file system tells no birth: the test shows nothing"
    vault.close()
    tree.close()
