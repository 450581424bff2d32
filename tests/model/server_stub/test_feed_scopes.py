"""Readers that follow the feed of a scope, against the drive itself: random changes between any two pages, and at the
end each reader holds exactly what lies in its scope.

The oracle is the tree of rows. A reader knows only pages and listings: it drops what a deletion names with all it holds
below, takes a changed item as it is told, lists a folder that it did not know (the listing stands for all that it held
there), and drops, at the end of the feed, items whose folder it was never told. One seed is one run.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
from pathlib import Path

import msgspec
import pytest

from server_stub.feed import Scope, read_page
from server_stub.migrations import migrate
from server_stub.sqlite_tx import SqliteLedger
from server_stub.values import Item, Kind, Principal, Tombstone, new_version

STEPS = 250
SEEDS = range(30)


class Drive:
    """A tree that changes at random through the store's own transactions."""

    def __init__(self, rng: random.Random, connection: sqlite3.Connection) -> None:
        self.rng = rng
        migrate(connection, Path("drive.db"))
        self.ledger = SqliteLedger(connection, lambda _seq: None)
        self.made = 0
        self.root = self.put(self.item(None, Kind.FOLDER))
        self.fixed = {self.root.item_id}  # scopes live for ever
        self.buried: list[Tombstone] = []

    def item(self, parent_id: str | None, kind: Kind) -> Item:
        self.made += 1
        version = None if kind is Kind.FOLDER else new_version()
        return Item(
            item_id=f"i{self.made}",
            parent_id=parent_id,
            name="" if parent_id is None else f"n{self.made}",
            kind=kind,
            size=0,
            mode=0,
            created_ns=0,
            modified_ns=0,
            metadata_version=new_version(),
            content_version=version,
        )

    def put(self, item: Item) -> Item:
        with self.ledger.transaction() as tx:
            return tx.put(item)

    def everything(self) -> list[Item]:
        return self.ledger.changed_items(0, -1)

    def below(self, folder_id: str) -> dict[str, Item]:
        found: dict[str, Item] = {}
        pending = [folder_id]
        while pending:
            for child in self.ledger.children(pending.pop()):
                found[child.item_id] = child
                pending.append(child.item_id)
        return found

    def folder(self) -> Item:
        return self.rng.choice([item for item in self.everything() if item.is_folder])

    def step(self) -> None:
        change = self.rng.choice(
            [self.create, self.create, self.touch, self.move, self.move, self.delete, self.restore]
        )
        change()

    def create(self) -> None:
        self.put(self.item(self.folder().item_id, self.rng.choice([Kind.FOLDER, Kind.FILE])))

    def touch(self) -> None:
        item = self.rng.choice(self.everything())
        self.put(msgspec.structs.replace(item, metadata_version=new_version()))

    def move(self) -> None:
        item, target = self.rng.choice(self.everything()), self.folder()
        lineage = [item_id for item_id, _ in self.ledger.lineage(target.item_id)]
        if item.parent_id is not None and item.item_id not in lineage:
            self.put(msgspec.structs.replace(item, parent_id=target.item_id, metadata_version=new_version()))

    def delete(self) -> None:
        top = self.rng.choice(self.everything())
        below = self.below(top.item_id)
        if self.fixed & {top.item_id, *below}:
            return
        with self.ledger.transaction() as tx:
            for item in (*reversed(below.values()), top):
                self.buried.append(tx.bury(item, deleted_ns=1))

    def restore(self) -> None:
        if not self.buried:
            return
        item = self.buried.pop(self.rng.randrange(len(self.buried))).item
        with self.ledger.transaction() as tx:
            tx.revive(msgspec.structs.replace(item, parent_id=self.folder().item_id))


class Reader:
    """Follows one scope from its first listing on."""

    def __init__(self, drive: Drive, folder_id: str, *, deep: bool, as_token: bool) -> None:
        self.drive = drive
        self.folder_id, self.deep = folder_id, deep
        root_id = folder_id if as_token else drive.root.item_id
        self.principal = Principal(token_id="t", name="t", root_id=root_id, whole_drive=not as_token)
        self.scope = None if as_token else Scope(folder_id=folder_id, deep=deep)
        self.seq = drive.ledger.newest_seq()
        self.held = self.truth()

    def truth(self) -> dict[str, tuple[str | None, str]]:
        view = self.drive.ledger
        items = self.drive.below(self.folder_id).values() if self.deep else view.children(self.folder_id)
        own = view.item(self.folder_id)
        assert own is not None
        held = {item.item_id: (item.parent_id, item.metadata_version) for item in items}
        return held | {own.item_id: (None, own.metadata_version)}  # nothing is held above the scope

    def page(self) -> bool:
        limit = self.drive.rng.randint(1, 4)
        page = read_page(self.drive.ledger, self.principal, self.seq, limit, self.scope, examine=limit)
        assert len(page.changes) <= limit + 1
        assert page.seq > self.seq or not page.has_more, "a page that leads nowhere"
        self.seq = page.seq
        for change in page.changes:
            if self.drive.rng.random() < 0.1:
                self.drive.step()  # before the reader gets round to listing
            if change["type"] == "deleted":
                self.drop(change["item_id"])
            else:
                self.take(change["item"])
        if not page.has_more:
            self.drop_strays()
        return page.has_more

    def drop_strays(self) -> None:
        """Told before their folders, which then never came: they left with them."""
        while strays := [item_id for item_id, (parent_id, _) in self.held.items() if self.is_stray(item_id, parent_id)]:
            for item_id in strays:
                self.drop(item_id)

    def is_stray(self, item_id: str, parent_id: str | None) -> bool:
        return item_id != self.folder_id and parent_id not in self.held

    def take(self, told: dict[str, object]) -> None:
        item_id = str(told["item_id"])
        is_new = item_id not in self.held
        parent_id = None if item_id == self.folder_id else str(told["parent_id"])
        self.held[item_id] = (parent_id, str(told["metadata_version"]))
        if is_new and self.deep and told["is_folder"]:
            self.list(item_id)

    def list(self, folder_id: str) -> None:
        lineage = [item_id for item_id, _ in self.drive.ledger.lineage(folder_id)]
        if self.folder_id not in lineage:
            return  # 404: it left or was deleted meanwhile
        below = self.drive.below(folder_id)
        listed = {folder_id, *below}
        for item_id in [
            each for each, (parent_id, _) in self.held.items() if parent_id in listed and each not in below
        ]:
            self.drop(item_id)
        self.held |= {item.item_id: (item.parent_id, item.metadata_version) for item in below.values()}

    def drop(self, item_id: str) -> None:
        self.held.pop(item_id, None)
        for child_id in [child for child, (parent_id, _) in self.held.items() if parent_id == item_id]:
            self.drop(child_id)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_reader_holds_its_scope(seed: int) -> None:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        _check_readers(Drive(random.Random(seed), connection), seed)


def _check_readers(drive: Drive, seed: int) -> None:
    for _ in range(40):
        drive.create()
    outer = drive.put(drive.item(drive.root.item_id, Kind.FOLDER))
    inner = drive.put(drive.item(outer.item_id, Kind.FOLDER))
    drive.fixed |= {outer.item_id, inner.item_id}
    readers = [
        Reader(drive, folder.item_id, deep=deep, as_token=as_token)
        for folder in (drive.root, outer, inner)
        for deep, as_token in ((True, False), (False, False), (True, True))
    ]
    for _ in range(STEPS):
        drive.step()
        if drive.rng.random() < 0.3:
            drive.rng.choice(readers).page()
    for reader in readers:
        while reader.page() or reader.seq < drive.ledger.newest_seq():
            continue
        held = {key: version for key, (_, version) in reader.held.items()}
        assert held == {key: version for key, (_, version) in reader.truth().items()}, (reader.scope, seed)
