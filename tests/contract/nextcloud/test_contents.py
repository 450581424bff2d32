"""Contents on a Nextcloud whose ETag is no content version: races, seconds, lost answers, claims."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from sync.remote import Busy, Conflict, Denied, Gone, QuotaFull, RemoteError, Unknown, Unreachable, VersionGone
from tests.contract.homes import content
from tests.fakes.sources import BytesSource

if TYPE_CHECKING:
    from tests.contract.nextcloud.conftest import Cloud


async def test_a_new_content_of_the_same_second_and_size_is_another_version(cloud: Cloud) -> None:
    cloud.account.clock.frozen_s = 2e9
    cloud.account.write("f", b"one", checksum="SHA1:1")
    first = await cloud.known("f")
    etag = cloud.account.at("f").etag
    cloud.account.write("f", b"two", checksum="SHA1:2")
    assert cloud.account.at("f").etag == etag, "the fake is to be as bad as the server"
    assert (await cloud.known("f")).content_version != first.content_version
    with pytest.raises(VersionGone):
        await content(cloud.client, first)


async def test_what_is_weak_is_told_anew_once_the_clock_moved_on(cloud: Cloud) -> None:
    cloud.account.clock.frozen_s = 2e9
    cloud.account.write("f", b"one")
    weak = await cloud.known("f")
    anchor = await cloud.client.newest_anchor()
    assert await cloud.news(anchor) == []
    cloud.account.clock.frozen_s = 2e9 + 3
    (settled,) = await cloud.news(anchor)
    assert settled.item_id == weak.item_id
    assert settled.content_version != weak.content_version  # type: ignore[union-attr]
    assert await cloud.news(await cloud.client.newest_anchor()) == []


async def test_an_unseen_write_of_the_same_second_is_not_overwritten(cloud: Cloud) -> None:
    cloud.account.clock.frozen_s = 2e9
    item = await cloud.put("f", b"one", mtime_s=2_000_000_000)
    cloud.account.write("f", b"two")
    with pytest.raises(Conflict) as caught:
        await cloud.overwrite(item, b"ours")
    assert caught.value.current is not None
    assert caught.value.current.content_version != item.content_version
    assert cloud.account.at("f").data == b"two"


async def test_two_writers_of_one_mtime_and_size_do_not_overwrite_each_other(cloud: Cloud) -> None:
    cloud.account.clock.per_change_s = 5.0
    item = await cloud.put("f", b"one", mtime_s=1_600_000_000)
    other = cloud.another()
    await other.children((await other.root()).item_id)
    newer = await cloud.overwrite(item, b"two", mtime_s=1_600_000_000)
    assert newer.mtime_ns == 1_600_000_000 * 10**9, "the time is told as it was set here"
    stale = cloud.account.at("f").etag
    assert stale != item.content_version
    cloud.client, mine = other, cloud.client
    with pytest.raises(Conflict):
        await cloud.overwrite(item, b"six", mtime_s=1_600_000_000)
    assert cloud.account.at("f").data == b"two"
    assert await content(mine, newer) == b"two"


@pytest.mark.parametrize("status", [403, 404, 423])
async def test_who_loses_a_race_to_create_is_told_what_is_there(cloud: Cloud, status: int) -> None:
    cloud.server.fault("PUT", "/f$", before=partial(cloud.account.write, "f", b"theirs"), status=status)
    with pytest.raises(Conflict) as caught:
        await cloud.put("f", b"ours")
    assert caught.value.code == "name_taken"
    assert cloud.account.at("f").data == b"theirs"


@pytest.mark.parametrize(("status", "meaning"), [(423, Busy), (403, Denied), (507, QuotaFull), (503, Busy)])
async def test_a_refusal_without_a_race_is_what_it_says(cloud: Cloud, status: int, meaning: type[RemoteError]) -> None:
    cloud.server.fault("PUT", "/f$", status=status)
    with pytest.raises(meaning):
        await cloud.put("f", b"ours")
    item = await cloud.put("f", b"one")
    cloud.account.clock.ahead_s += 10
    cloud.server.fault("PUT", "/f$", status=status, times=9)
    with pytest.raises(meaning):
        await cloud.overwrite(item, b"ours")
    assert cloud.account.at("f").data == b"one"


async def test_a_put_whose_answer_was_lost_finds_itself(cloud: Cloud) -> None:
    cloud.server.fault("PUT", "/f$", lose_answer=True)
    with pytest.raises((Unknown, Unreachable)) as caught:
        await cloud.put("f", b"ours")
    assert isinstance(caught.value, Unknown)
    item = await cloud.put("f", b"ours")
    assert (item.digest, len(cloud.account.root.children)) == (BytesSource(b"ours").digest, 1)
    cloud.account.clock.ahead_s += 10
    cloud.server.fault("PUT", "/f$", lose_answer=True)
    key = cloud.key()
    with pytest.raises(Unknown):
        await cloud.overwrite(item, b"newer", key=key)
    newer = await cloud.overwrite(item, b"newer", key=key)
    assert (newer.item_id, newer.size) == (item.item_id, 5)
    assert len(cloud.account.versions[int(item.item_id)]) == 1, "it was stored once"


async def test_a_file_that_moved_away_is_found_by_its_id(cloud: Cloud) -> None:
    cloud.account.clock.per_change_s = 5.0
    item = await cloud.put("f", b"0123456789")
    cloud.account.make_folder("unseen")
    cloud.account.move(cloud.account.at("f"), "unseen/g")
    assert await content(cloud.client, item, 3, 6) == b"345"
    newer = await cloud.overwrite(item, b"new")
    assert (newer.name, cloud.account.at("unseen/g").data) == ("g", b"new")


async def test_another_file_at_the_old_path_is_spared(cloud: Cloud) -> None:
    cloud.account.clock.per_change_s = 5.0
    item = await cloud.put("f", b"one")
    cloud.account.move(cloud.account.at("f"), "g")
    cloud.account.write("f", b"six")
    assert (await cloud.overwrite(item, b"two")).name == "g"
    assert (cloud.account.at("f").data, cloud.account.at("g").data) == (b"six", b"two")
    assert await content(cloud.client, await cloud.known("f")) == b"six"


async def test_a_range_is_what_the_answer_says(cloud: Cloud) -> None:
    item = await cloud.put("f", b"0123456789")
    assert item.content_version is not None
    async with cloud.client.read(item.item_id, item.content_version, 0, 1) as reader:
        assert (reader.start, reader.stop, reader.total) == (0, 10, 10)
        assert b"".join([piece async for piece in reader]) == b"0123456789"


async def test_a_proxy_may_rewrite_etags(cloud: Cloud) -> None:
    cloud.account.clock.per_change_s = 5.0
    cloud.server.rewrites_etags = True
    item = await cloud.put("f", b"one")
    assert await content(cloud.client, item) == b"one"
    assert await content(cloud.client, await cloud.overwrite(item, b"three")) == b"three"


async def test_modes_and_exact_times_are_kept_here(cloud: Cloud) -> None:
    item = await cloud.put("f", b"x")
    assert (item.mode, item.mtime_ns) == (0o640, 1_600_000_000 * 10**9 + 5)
    changed = await cloud.client.set_attributes(
        item.item_id, item.metadata_version, mode=0o755, mtime_ns=5, key=cloud.key()
    )
    assert (changed.mode, changed.mtime_ns, changed.content_version) == (0o755, 5, item.content_version)
    later = await cloud.client.set_attributes(
        item.item_id, changed.metadata_version, mode=0o755, mtime_ns=1_700_000_000 * 10**9 + 7, key=cloud.key()
    )
    assert (cloud.account.at("f").mtime_s, later.mtime_ns) == (1_700_000_000, 1_700_000_000 * 10**9 + 7)
    assert later.content_version == item.content_version, "a time is no content"
    assert await cloud.known("f") == later
    again = cloud.another(cloud.state)
    assert (await again.get_many([item.item_id]))[item.item_id] == later, "a restart forgets nothing"


async def test_a_file_that_is_not_there_is_gone_with_proof_and_what_never_was_without(cloud: Cloud) -> None:
    item = await cloud.put("f", b"x")
    cloud.account.remove(cloud.account.at("f"))
    with pytest.raises(Gone) as caught:
        await cloud.overwrite(item, b"y")
    assert caught.value.tombstone
    cloud.account.write("f", b"another file")
    with pytest.raises(Gone):
        await content(cloud.client, item)
