"""What uploads that broke off leave on a WebDAV server is taken away: ours, old, and as it was seen; nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from sync.remote import Unknown
from sync.remotes.dav.leftovers import LEFTOVER_S
from tests.engine.test_awkward_dav import Client
from tests.fakes.awkward import AwkwardDav, Manners

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

PASSING = ".anchorfs-up-"


@pytest.fixture(autouse=True)
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    return autojump_clock


def passing(server: AwkwardDav) -> list[str]:
    return [names[-1] for names in server.things if names and names[-1].startswith(PASSING)]


async def broken_off(client: Client, key: str) -> str:
    """Send a file whose line breaks before it gets its name; nobody goes on with it."""
    before = set(passing(client.server))
    client.server.lose = lambda method, names: method == "PUT" and names[-1].startswith(PASSING)
    with pytest.raises(Unknown):
        await client.put(f"file-{key}", b"half", key)
    client.server.lose = lambda _method, _names: False
    (name,) = set(passing(client.server)) - before
    return name


async def look(client: Client) -> None:
    """As the engine does from time to time, of a folder that somebody opened."""
    await client.remote.children(client.root)
    await client.remote.changes(await client.remote.newest_anchor())


@pytest.mark.parametrize("manners", [Manners(), Manners(if_match=False)])
async def test_an_upload_that_nobody_goes_on_with_is_taken_away_a_day_later(manners: Manners, tmp_path: Path) -> None:
    server = AwkwardDav(manners)
    client = await Client(server, tmp_path / "one.db").open()
    name = await broken_off(client, "k")
    await client.remote.aclose()
    client = await Client(server, tmp_path / "one.db").open()  # it died of that
    server.now_s += LEFTOVER_S - 60
    await look(client)
    assert passing(server) == [name]
    server.now_s += 120
    await look(client)
    assert passing(server) == []
    server.requests.clear()
    await look(client)
    assert [each for each in server.requests if PASSING in each] == []


async def test_what_another_client_sends_is_never_touched() -> None:
    server = AwkwardDav(Manners())
    one, other = await Client(server).open(), await Client(server).open()
    mine, theirs = await broken_off(one, "k"), await broken_off(other, "k")
    assert mine != theirs
    server.now_s += 10 * LEFTOVER_S
    await look(one)
    assert passing(server) == [theirs]
    assert not [each for each in server.requests if each.startswith("DELETE") and theirs in each]
    await look(other)
    assert passing(server) == []


async def test_nor_what_is_under_way_however_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    client = await Client(AwkwardDav(Manners())).open()
    real, held, go_on = client.server.handle_async_request, trio.Event(), trio.Event()

    async def slow(request: httpx.Request) -> httpx.Response:
        if request.method == "MOVE":
            held.set()
            await go_on.wait()
        return await real(request)

    monkeypatch.setattr(AwkwardDav, "handle_async_request", lambda _self, request: slow(request))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.put, "f", b"whole", "k")
        await held.wait()
        (name,) = passing(client.server)
        client.server.now_s += 2 * LEFTOVER_S
        await look(client)
        await look(client)
        assert passing(client.server) == [name]
        go_on.set()
    assert client.server.things["f",].data == b"whole"
    assert passing(client.server) == []


@pytest.mark.parametrize("manners", [Manners(), Manners(if_match=False)])
async def test_nor_what_changed_since_it_was_looked_at(manners: Manners) -> None:
    client = await Client(AwkwardDav(manners)).open()
    name = await broken_off(client, "k")
    client.server.now_s += LEFTOVER_S + 60
    looked = [1]

    def written(method: str, names: tuple[str, ...]) -> None:
        if method in {"LOCK", "DELETE"} and names == (name,) and looked:
            looked.clear()
            client.server.write(name, data=b"anew")

    client.server.before = written
    await look(client)
    assert client.server.things[name,].data == b"anew"
    assert not looked


async def test_an_upload_that_is_tried_again_goes_on_and_is_young_again() -> None:
    client = await Client(AwkwardDav(Manners())).open()
    name = await broken_off(client, "k")
    client.server.now_s += LEFTOVER_S - 60
    assert await broken_off(client, "again") != name
    client.server.lose = lambda method, names: method == "PUT" and names[-1] == name
    with pytest.raises(Unknown):
        await client.put("file-k", b"half", "k")
    client.server.lose = lambda _method, _names: False
    client.server.now_s += 120
    await look(client)
    assert name in passing(client.server)
    await client.put("file-k", b"half", "k")
    assert client.server.things["file-k",].data == b"half"
    assert name not in passing(client.server)
