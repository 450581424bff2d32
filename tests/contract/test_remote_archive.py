"""What a remote keeps beside the tree, asked of the real server: versions, the trash, search; and hostile answers."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from cache.model import ItemId, Version
from sync.remote import Conflict, Gone, Overwrite, ProtocolViolation, VersionGone
from sync.remotes.anchor import AnchorRemote
from tests.contract.raw_server import answer, client_of, says
from tests.fakes.sources import BytesSource

if TYPE_CHECKING:
    from cache.model import Item
    from sync.remotes.anchor.archive import AnchorArchive
    from tests.contract.homes import Home
    from tests.harness.server import ServerProcess


@pytest.fixture
def clients(anchor_server: ServerProcess) -> list[AnchorRemote]:
    return [AnchorRemote(anchor_server.url, anchor_server.token) for _ in range(2)]


@pytest.fixture
def archive(clients: list[AnchorRemote]) -> AnchorArchive:
    return clients[0].archive


async def written_again(home: Home, item: Item, data: bytes) -> Item:
    assert item.content_version is not None
    target = Overwrite(item_id=item.item_id, base=item.content_version)
    return await home.remote.put(target, BytesSource(data), mtime_ns=0, mode=0o644, key=home.key())


async def test_older_contents_are_told_and_brought_back(home: Home, archive: AnchorArchive) -> None:
    first = await home.put("f", b"one")
    second = await written_again(home, first, b"second")
    told = await archive.versions(first.item_id, 10)
    assert [(row.content_version, row.size) for row in told] == [
        (second.content_version, 6),
        (first.content_version, 3),
    ]
    assert (told[0].replaced_ns, told[1].replaced_ns is None) == (None, False)
    assert [row.content_version for row in await archive.versions(first.item_id, 1)] == [second.content_version]
    assert first.content_version is not None
    assert second.content_version is not None
    with pytest.raises(Conflict):
        await archive.restore_version(first.item_id, first.content_version, first.content_version, key=home.key())
    with pytest.raises(VersionGone):
        await archive.restore_version(first.item_id, second.content_version, Version("never"), key=home.key())
    back = await archive.restore_version(first.item_id, second.content_version, first.content_version, key=home.key())
    assert (back.size, back.digest) == (3, first.digest)
    assert len(await archive.versions(first.item_id, 10)) == 3


async def test_what_was_deleted_comes_back_under_its_id(home: Home, archive: AnchorArchive) -> None:
    item = await home.put("f", b"one")
    await home.remote.remove(item.item_id, item.metadata_version, key=home.key())
    (told,) = [row for row in await archive.trash(100) if row.item_id == item.item_id]
    assert told.path.endswith("/f")
    assert (told.size, told.expires_ns > told.deleted_ns) == (3, True)
    back = await archive.restore(item.item_id, key=home.key())
    assert (back.item_id, back.name, back.content_version) == (item.item_id, "f", item.content_version)
    assert await archive.path(item.item_id) == told.path
    with pytest.raises(Conflict):
        await archive.restore(item.item_id, key=home.key())
    with pytest.raises(Gone):
        await archive.restore(ItemId("never-was"), key=home.key())


async def test_names_are_found_without_regard_to_case(home: Home, archive: AnchorArchive) -> None:
    word = uuid.uuid4().hex
    made = {(await home.put(f"{word.upper()}-{number}", b"")).item_id for number in range(3)}
    assert {item.item_id for item in await archive.search(word, 100)} == made
    assert len(await archive.search(word, 2)) == 2
    assert not await archive.search(f"{word}-none", 100)


@pytest.mark.parametrize(
    "body",
    [
        b'{"items": [], "cursor": "always the same"}',
        b'{"items": [{"item_id": "i1"}], "cursor": null}',
        b'{"items": {}, "cursor": null}',
        b"[]",
    ],
)
async def test_a_wrong_answer_is_not_believed(body: bytes) -> None:
    async with client_of(says(answer("200 OK", body=body))) as (remote, _):
        with pytest.raises(ProtocolViolation):
            await remote.archive.search("x", 10)
        with pytest.raises(ProtocolViolation):
            await remote.archive.trash(10)
