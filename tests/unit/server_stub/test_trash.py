"""The trash in the index: whole or not at all, and not for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from server_stub.plans.copy import Target
from server_stub.plans.restore import plan_restore, trash_path, trashed_tree
from server_stub.problems import Problem
from server_stub.settings import Settings
from server_stub.upkeep import forget
from server_stub.values import Item, Kept, Kind, Principal, Trashed
from server_stub.vault import Staged, Vault

from .rows import fill, made, on_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from server_stub.store import Ledger, Store


def throw(items: list[Item], deleted_ns: int) -> Callable[[Ledger], None]:
    """Bury them together, the last one on top."""

    def work(ledger: Ledger) -> None:
        with ledger.transaction() as tx:
            for item in items:
                seq = tx.bury(item, deleted_ns=deleted_ns).seq
                tx.throw_away(Trashed(item=item, top_id=items[-1].item_id, deleted_ns=deleted_ns, seq=seq))
                if item.kind is Kind.FILE:
                    kept = Kept(
                        content_version=item.content_version or "",
                        item_id=item.item_id,
                        size=4,
                        digest=None,
                        modified_ns=1,
                        kept_ns=deleted_ns,
                    )
                    tx.keep(kept)

    return work


def test_a_tree_that_lost_a_content_leaves_the_trash_as_a_whole(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        root = made(None, "")
        folder = made(root, "d")
        files = [made(folder, name, Kind.FILE) for name in "ab"]
        alone = made(root, "alone", Kind.FILE)
        await store.write(fill([root, folder, alone], files))
        await store.write(throw([*files, folder], 10))
        await store.write(throw([alone], 20))
        top = await store.read(lambda view: view.trashed(folder.item_id))
        assert top is not None
        assert len(await store.read(lambda view: trashed_tree(view, top, 9))) == 3

        def drop(ledger: Ledger) -> None:
            with ledger.transaction() as tx:
                tx.forget_kept([files[0].content_version or ""])

        await store.write(drop)
        left = await store.read(lambda view: [each.item.item_id for each in view.trash_tops(1 << 62, 9)])
        assert left == [alone.item_id]
        assert await store.read(lambda view: view.trashed(files[1].item_id)) is None

    on_store(tmp_path, scenario)


def test_a_restoration_decides_again_what_is_in_the_trash(tmp_path: Path) -> None:
    """The tree was staged from a reading; a member that left the trash since then is not made up."""

    async def scenario(store: Store) -> None:
        root = made(None, "")
        folder = made(root, "d")
        file = made(folder, "a", Kind.FILE)
        await store.write(fill([root, folder, file]))
        await store.write(throw([file, folder], 10))
        me = Principal(token_id="t", name="t", root_id=root.item_id, whole_drive=True)
        top = await store.read(lambda view: view.trashed(folder.item_id))
        assert top is not None
        expected = await store.read(lambda view: trashed_tree(view, top, 9))

        def restore_alone(ledger: Ledger) -> None:
            with ledger.transaction() as tx:
                tx.revive(msgspec.structs.replace(file, parent_id=root.item_id))

        await store.write(restore_alone)
        departures = await store.read(lambda view: view.departures(0, 9, folder.item_id))
        assert [departure.item_id for departure in departures] == [file.item_id]
        with pytest.raises(Problem, match="unavailable"):
            await store.read(
                lambda view: plan_restore(
                    view,
                    me,
                    item_id=folder.item_id,
                    expected=expected,
                    target=Target(),
                    staged=Staged(name="s", ino=1),
                    inos={},
                    limit=9,
                    now_ns=1,
                )
            )

    on_store(tmp_path, scenario)


def test_what_lay_in_a_forgotten_folder_is_seen_by_who_sees_everything(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        root = made(None, "")
        folder = made(root, "d")
        file = made(folder, "a", Kind.FILE)
        await store.write(fill([root, folder, file]))
        await store.write(throw([file], 10))

        def forget_folder(ledger: Ledger) -> None:
            with ledger.transaction() as tx:
                tx.bury(folder, deleted_ns=20)  # as a scan does: it is not in the trash
                tx.lift_floor(tx.newest_seq())

        everything = Principal(token_id="t", name="t", root_id=root.item_id, whole_drive=True)
        some = Principal(token_id="s", name="s", root_id=folder.item_id, whole_drive=False)
        for who in (everything, some):
            before = await store.read(lambda view, who=who: trash_path(view, who, file.item_id))  # type: ignore[misc]
            assert before == (("d", "a") if who.whole_drive else ("a",))
        await store.write(forget_folder)
        assert await store.read(lambda view: trash_path(view, everything, file.item_id)) == ("a",)
        other = msgspec.structs.replace(some, root_id="elsewhere")
        assert await store.read(lambda view: trash_path(view, other, file.item_id)) is None

    on_store(tmp_path, scenario)


class Keeper:
    """As much of a service as retention needs."""

    def __init__(self, store: Store, vault: Vault, settings: Settings) -> None:
        self.store = store
        self.vault = self.blobs = vault
        self.settings = settings
        self.read = store.read


def test_retention_empties_the_trash_by_age_and_by_room(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        vault = Vault(tmp_path / "vault")
        root = made(None, "")
        old, small, large, link = (
            made(root, "old", Kind.FOLDER),
            made(root, "small", Kind.FILE),
            made(root, "large", Kind.FILE),
            made(root, "link", Kind.SYMLINK),
        )
        await store.write(fill([root, old, small, large, link]))
        await store.write(throw([old], 10))  # long ago: a folder has no content that could be dropped with it
        now_ns = 1 << 61
        for number, item in enumerate((large, small, link)):
            await store.write(throw([item], now_ns + number))
        settings = Settings(root=tmp_path, state=tmp_path, retention_s=3_600, kept_max_bytes=7)
        keeper: Any = Keeper(store, vault, settings)
        await forget(keeper)
        left = await store.read(lambda view: [each.item.name for each in view.trash_tops(1 << 62, 9)])
        assert left == ["link", "small"]
        vault.close()

    on_store(tmp_path, scenario)
