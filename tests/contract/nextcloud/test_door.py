"""Signing in to a Nextcloud, staying signed in, and being told of changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from sync.capabilities import Push
from sync.remote import NotSignedIn, ProtocolViolation, RemoteError
from sync.remotes.dav.signing import Basic
from sync.remotes.nextcloud import NextcloudRemote, hints
from sync.remotes.nextcloud.door import Door
from sync.remotes.nextcloud.exchange import NextcloudExchange
from tests.fakes.nextcloud.server import PASSWORD
from tests.harness.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.nextcloud.conftest import Cloud
    from tests.fakes.nextcloud import FakeNextcloud


@pytest.fixture
async def exchange(server: FakeNextcloud) -> AsyncIterator[NextcloudExchange]:
    made = NextcloudExchange(server.http_url, Basic("ada", PASSWORD))
    yield made
    await made.aclose()


async def test_a_password_is_traded_for_an_app_password_once(
    server: FakeNextcloud, exchange: NextcloudExchange
) -> None:
    made = await Door(exchange).app_password()
    assert made in server.sign_in.app_passwords
    signed = NextcloudExchange(server.http_url, Basic("ada", made or ""))
    assert await Door(signed).app_password() is None
    await Door(signed).revoke()
    assert not server.sign_in.app_passwords
    with pytest.raises(NotSignedIn):
        await Door(signed).user_id()
    await signed.aclose()


async def test_the_browser_lets_a_machine_in(server: FakeNextcloud) -> None:
    exchange = NextcloudExchange(server.http_url, None)
    door = Door(exchange)
    flow = await door.begin()
    assert flow.page.startswith(server.http_url)
    assert flow.token not in repr(flow)
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:

            async def click() -> None:
                server.sign_in.grant()

            nursery.start_soon(click)
            granted = await door.granted(flow)
    assert granted.user == "ada"
    assert granted.app_password in server.sign_in.app_passwords
    await exchange.aclose()


async def test_a_flow_that_leads_elsewhere_is_refused(server: FakeNextcloud, monkeypatch: pytest.MonkeyPatch) -> None:
    real = server.sign_in.flow

    def elsewhere(call):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        reply = real(call)
        reply.body = reply.body.replace(server.http_url.encode(), b"http://evil.example")
        return reply

    monkeypatch.setattr(server.sign_in, "flow", elsewhere)
    exchange = NextcloudExchange(server.http_url, None)
    with pytest.raises(ProtocolViolation):
        await Door(exchange).begin()
    await exchange.aclose()


async def test_a_session_is_kept_in_a_cookie(cloud: Cloud) -> None:
    for _ in range(5):
        await cloud.client.children(cloud.root)
    assert len(cloud.server.sign_in.sessions) == 1


async def test_a_revoked_password_is_told_as_that_and_a_new_one_works(cloud: Cloud) -> None:
    cloud.server.sign_in.revoke_all()
    for request in (cloud.client.children(cloud.root), cloud.client.space()):
        with pytest.raises(NotSignedIn):
            await request
    again = NextcloudRemote(cloud.server.http_url, "ada", cloud.server.sign_in.password, state=cloud.state)
    cloud.stack.push_async_callback(again.aclose)
    assert (await again.root()).item_id == cloud.root


@pytest.mark.parametrize("password", ["wrong", ""])
async def test_a_wrong_password_is_told_as_that(server: FakeNextcloud, password: str) -> None:
    remote = NextcloudRemote(server.http_url, "ada", password)
    with pytest.raises(NotSignedIn):
        await remote.root()
    await remote.aclose()


async def test_a_page_for_people_is_no_nextcloud(cloud: Cloud) -> None:
    for status in (200, 302, 404):
        cloud.server.fault("GET", "capabilities", status=status)
        with pytest.raises(RemoteError):
            await cloud.another().root()


async def next_hint(cloud: Cloud, change: bytes) -> None:
    """A hint comes after a change that somebody else makes."""
    told = trio.Event()

    async def listen() -> None:
        count = 0
        async for _ in cloud.client.hints(await cloud.client.newest_anchor()):
            count += 1
            if count > 1:
                told.set()

    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            while not told.is_set():
                cloud.account.write("f", change, checksum="SHA1:1")
                with trio.move_on_after(0.5):
                    await told.wait()
            nursery.cancel_scope.cancel()


async def test_the_server_pushes_where_it_can(cloud: Cloud) -> None:
    cloud.server.ocs.has_push = True
    cloud.client = cloud.another()
    await cloud.client.root()
    assert cloud.client.capabilities.push is Push.SOCKET
    await next_hint(cloud, b"pushed")
    await trio.to_thread.run_sync(lambda: until(lambda: not cloud.account.listeners, "the channel is closed"))


async def test_where_it_cannot_the_root_is_asked(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "SOON_S", 0.1)
    assert cloud.client.capabilities.push is Push.POLL
    await next_hint(cloud, b"asked")


async def test_a_push_channel_that_does_not_work_is_made_up_for(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "SOON_S", 0.1)
    monkeypatch.setattr("tests.fakes.nextcloud.server.serve_push", lambda *_: None)
    cloud.server.ocs.has_push = True
    cloud.client = cloud.another()
    await cloud.client.root()
    await next_hint(cloud, b"asked")


async def test_no_secret_is_in_a_repr(cloud: Cloud) -> None:
    assert PASSWORD not in repr(cloud.client) + repr(vars(cloud.client))
