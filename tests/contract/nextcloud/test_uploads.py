"""Chunked uploads to a Nextcloud: resumed after a restart, committed under a condition, settled when in doubt."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from sync.remote import Conflict, NewFile, Overwrite, RemoteError, Unknown, UploadGone
from sync.sessions import Announced, UploadId
from tests.contract.homes import content
from tests.fakes.sources import BytesSource

if TYPE_CHECKING:
    from cache.model import Item
    from sync.remotes.nextcloud import NextcloudRemote
    from tests.contract.nextcloud.conftest import Cloud

DATA = bytes(range(256)) * 20  # 5,120 bytes: six chunks of a thousand


def whole(data: bytes) -> Announced:
    return Announced(size=len(data), digest=BytesSource(data).digest, stream_bytes=len(data))


async def commit(cloud: Cloud, upload_id: UploadId, target: NewFile | Overwrite, key: str = "") -> Item:
    return await cloud.client.commit(
        upload_id, whole(DATA), target, mtime_ns=1_600_000_000 * 10**9, mode=0o644, key=key or cloud.key()
    )


async def sent(cloud: Cloud, client: NextcloudRemote | None = None, key: str = "") -> UploadId:
    client = client or cloud.client
    upload_id = await client.begin_upload(whole(DATA), key=key or cloud.key())
    assert await client.append(upload_id, BytesSource(DATA), 0) == len(DATA)
    return upload_id


async def test_an_upload_goes_on_after_a_restart(cloud: Cloud) -> None:
    key = cloud.key()
    upload_id = await cloud.client.begin_upload(whole(DATA), key=key)
    cloud.server.fault("PUT", "00004$", status=503)
    with pytest.raises(RemoteError):
        await cloud.client.append(upload_id, BytesSource(DATA), 0)
    again = cloud.another(cloud.state)
    assert await again.begin_upload(whole(DATA), key=key) == upload_id
    assert await again.uploaded(upload_id) == 3000
    cloud.asked()
    assert await again.append(upload_id, BytesSource(DATA), 3000) == len(DATA)
    assert len(cloud.asked("PUT")) == 3
    item = await again.commit(
        upload_id, whole(DATA), NewFile(parent_id=cloud.root, name="f"), mtime_ns=10**18, mode=0o644, key=cloud.key()
    )
    assert await content(again, item) == DATA


async def test_a_lost_chunk_is_found_by_listing(cloud: Cloud) -> None:
    upload_id = await cloud.client.begin_upload(whole(DATA), key=cloud.key())
    cloud.server.fault("PUT", "00002$", lose_answer=True)
    with pytest.raises(Unknown):
        await cloud.client.append(upload_id, BytesSource(DATA), 0)
    assert await cloud.client.uploaded(upload_id) == 2000
    with pytest.raises(Unknown):
        await cloud.client.append(upload_id, BytesSource(DATA), 1000)


async def test_a_commit_overwrites_the_seen_content_only_and_keeps_its_chunks(cloud: Cloud) -> None:
    cloud.account.clock.per_change_s = 5.0
    item = await cloud.put("f", b"one")
    assert item.content_version is not None
    upload_id = await sent(cloud)
    over = Overwrite(item_id=item.item_id, base=item.content_version)
    cloud.server.fault("MOVE", before=partial(cloud.account.write, "f", b"unseen"))
    with pytest.raises(Conflict):
        await commit(cloud, upload_id, over)
    assert cloud.account.at("f").data == b"unseen"
    copy = await commit(cloud, upload_id, NewFile(parent_id=cloud.root, name="f (conflict)"))
    assert await content(cloud.client, copy) == DATA
    assert not cloud.account.uploads


async def test_a_commit_that_keeps_the_id(cloud: Cloud) -> None:
    cloud.account.clock.per_change_s = 5.0
    item = await cloud.put("f", b"one")
    assert item.content_version is not None
    newer = await commit(cloud, await sent(cloud), Overwrite(item_id=item.item_id, base=item.content_version))
    assert (newer.item_id, newer.size, newer.digest) == (item.item_id, len(DATA), BytesSource(DATA).digest)


async def test_a_name_taken_at_the_last_moment_is_spared(cloud: Cloud) -> None:
    upload_id = await sent(cloud)
    cloud.server.fault("MOVE", before=partial(cloud.account.write, "f", b"theirs"))
    with pytest.raises(Conflict) as caught:
        await commit(cloud, upload_id, NewFile(parent_id=cloud.root, name="f"))
    assert (caught.value.code, cloud.account.at("f").data) == ("name_taken", b"theirs")


async def test_a_commit_whose_answer_was_lost_finds_itself(cloud: Cloud) -> None:
    upload_id, key = await sent(cloud), cloud.key()
    target = NewFile(parent_id=cloud.root, name="f")
    cloud.server.fault("MOVE", lose_answer=True)
    with pytest.raises(Unknown):
        await commit(cloud, upload_id, target, key)
    item = await commit(cloud, upload_id, target, key)
    assert await content(cloud.client, item) == DATA
    assert await cloud.client.uploaded(upload_id) == len(DATA)


async def test_an_upload_that_the_server_cleaned_up_is_begun_anew(cloud: Cloud) -> None:
    upload_id = await sent(cloud)
    cloud.account.uploads.clear()
    for request in (
        partial(cloud.client.uploaded, upload_id),
        partial(cloud.client.append, upload_id, BytesSource(DATA), 5120),
        partial(commit, cloud, upload_id, NewFile(parent_id=cloud.root, name="f")),
    ):
        with pytest.raises(UploadGone):
            await request()
    await cloud.client.abandon(upload_id)


async def test_no_chunk_goes_to_the_target_before_the_commit(cloud: Cloud) -> None:
    """With object storage the server would write to it at once."""
    cloud.asked()
    await sent(cloud)
    assert [each for each in cloud.asked() if "/files/" in each] == []
    assert not cloud.account.root.children
