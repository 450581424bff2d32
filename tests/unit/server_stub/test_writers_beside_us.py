"""Others write to a file between our change of the tree and the rows that tell of it: what they wrote is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from server_stub.drive import Drive
from server_stub.plans.content import NewContent, plan_new_file, plan_overwrite
from server_stub.plans.move import Patch, plan_patch
from server_stub.values import Principal
from server_stub.vault import Vault
from tests.unit.server_stub.outside import Outside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from server_stub.intents import Intent
    from server_stub.store import View
    from server_stub.vault import Staged

CONTENT = NewContent(modified_ns=1_700_000_000_123_456_789)


class Desk:
    """A drive that one client changes."""

    def __init__(self, folder: Path) -> None:
        self.outside = Outside(folder)
        self.vault = Vault(folder / "vault")
        self.drive = Drive(self.outside.tree, self.vault, self.outside.scanner.refresh)
        self.root_id = self.outside.items()[""].item_id
        self.me = Principal(token_id="t", name="t", root_id=self.root_id, whole_drive=True)

    def close(self) -> None:
        self.vault.close()
        self.outside.close()

    def stage(self, data: bytes) -> Staged:
        writing = self.vault.begin()
        writing.write(data)
        return writing.finish(mode=0o644, modified_ns=CONTENT.modified_ns)

    def perform(self, decide: Callable[[View], Intent]) -> None:
        answer = self.outside.run(self.outside.store.write(lambda ledger: self.drive.perform(ledger, decide)))
        assert answer.status in {200, 201}

    def create(self) -> None:
        staged = self.stage(b"ours")
        self.perform(
            lambda view: plan_new_file(
                view, self.me, parent_id=self.root_id, name="f", content=CONTENT, staged=staged, now_ns=1
            )
        )

    def overwrite(self) -> None:
        item, staged = self.outside.items()["f"], self.stage(b"ours, and more")
        base = item.content_version or ""
        self.perform(
            lambda view: plan_overwrite(
                view, self.me, item_id=item.item_id, base=base, content=CONTENT, staged=staged, now_ns=2
            )
        )

    def patch(self, patch: Patch) -> None:
        item = self.outside.items()["f"]
        self.perform(
            lambda view: plan_patch(
                view, self.me, item_id=item.item_id, base=item.metadata_version, patch=patch, now_ns=3
            )
        )

    def move(self) -> None:
        self.patch(Patch(name="g"))

    def set_times(self) -> None:
        self.patch(Patch(modified_ns=CONTENT.modified_ns + 1))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("change", ["create", "overwrite", "move", "set_times"])
@pytest.mark.parametrize("how", ["longer", "as long"])
def test_an_edit_right_after_our_change_is_a_new_version(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, change: str, how: str
) -> None:
    if change != "create":
        desk.create()
    path = desk.outside.root / ("g" if change == "move" else "f")

    def others_write(point: str) -> None:
        if point == "performed":
            size = path.stat().st_size
            path.write_bytes(b"t" * (size + (how == "longer")))

    with monkeypatch.context() as patched:
        patched.setattr("server_stub.failpoints.reach", others_write)
        getattr(desk, change)()
    told = desk.outside.items()[path.name]
    desk.outside.doubt(path.name)
    after = desk.outside.items()[path.name]
    assert after.item_id == told.item_id
    assert after.content_version != told.content_version
    assert after.size == path.stat().st_size
    desk.outside.scan()
    assert desk.outside.items()[path.name] == after


@pytest.mark.parametrize("change", ["create", "overwrite", "move", "set_times"])
def test_our_own_change_is_none_that_others_made(desk: Desk, change: str) -> None:
    if change != "create":
        desk.create()
    getattr(desk, change)()
    before = desk.outside.items()
    assert not desk.outside.scan().is_news
    after = desk.outside.items()
    assert after.keys() == before.keys()
    assert all(after[path] == before[path] for path in before if path)  # the root is listed now
