"""Webhooks: proven by a challenge, signed, delivered at least once, disabled with a reason, and never a way inside."""

from __future__ import annotations

import base64
import hashlib
import hmac
import queue
import time
from typing import TYPE_CHECKING, Any

import pytest

from server_stub.auth import create_token, revoke_token
from tests.harness.receiver import Call, Receiver
from tests.harness.server import ServerProcess
from tests.harness.waiting import until

from .conftest import Api

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

Json = dict[str, Any]
OPTIONS = ("--webhook-allow-private", "--webhook-backoff", "0.05", "--webhook-give-up", "0.5")


@pytest.fixture(scope="module")
def calling_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One that may call loopback and is soon tired."""
    with ServerProcess(tmp_path_factory.mktemp("calling"), options=OPTIONS) as server:
        yield server


@pytest.fixture
def calling(calling_server: ServerProcess) -> Iterator[Api]:
    with calling_server.client() as client:
        yield Api(client)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


def register(api: Api, url: str, *, key: str = "", **fields: str) -> httpx.Response:
    return api.http.post("/v1/webhooks", json={"url": url, **fields}, headers={"idempotency-key": key or api.key()})


def check_signature(call: Call, secret: str) -> None:
    """As a receiver does it: by the standard's text, in constant time, and not too old."""
    stamp = call.headers["webhook-timestamp"]
    assert abs(time.time() - int(stamp)) < 300
    signed = f"{call.headers['webhook-id']}.{stamp}.".encode() + call.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert hmac.compare_digest(call.headers["webhook-signature"], expected)


def test_a_commit_is_told_signed(calling: Api, receiver: Receiver) -> None:
    made = register(calling, receiver.url)
    assert made.status_code == 201
    hook = made.json()
    assert made.headers["location"] == f"/v1/webhooks/{hook['webhook_id']}"
    challenge = receiver.next("webhook.challenge")
    assert challenge.path == "/hook?for=me"
    check_signature(challenge, hook["secret"])
    before = calling.anchor()
    calling.folder("told")
    call = receiver.next()
    check_signature(call, hook["secret"])
    assert call.headers["content-type"] == "application/json"
    assert calling.changes(before)["anchor"] == call.told["data"]["anchor"]
    until(lambda: calling.get(made.headers["location"]).json()["delivered_at"], "the delivery to be noted")
    assert calling.http.delete(made.headers["location"]).status_code == 204


def test_a_secret_of_the_owners_choice_and_an_echo_as_json(calling: Api, receiver: Receiver) -> None:
    secret = "whsec_" + base64.b64encode(b"k" * 24).decode()
    receiver.echo = None
    made = register(calling, receiver.url, secret=secret)
    assert (made.status_code, made.json()["secret"]) == (201, secret)
    check_signature(receiver.next("webhook.challenge"), secret)
    listed = calling.get("/v1/webhooks").json()["webhooks"]
    assert made.json()["webhook_id"] in [each["webhook_id"] for each in listed]
    assert "secret" not in str(listed)
    calling.http.delete(made.headers["location"])


def test_the_same_key_makes_one_webhook(calling: Api, receiver: Receiver) -> None:
    key = calling.key()
    made, again = register(calling, receiver.url, key=key), register(calling, receiver.url, key=key)
    assert (again.status_code, again.json()) == (201, made.json())
    assert register(calling, receiver.url + "&other", key=key).json()["code"] == "idempotency_key_reused"
    receiver.next("webhook.challenge")
    with pytest.raises(queue.Empty):
        receiver.next("webhook.challenge", within_s=0.1)
    calling.http.delete(made.headers["location"])


@pytest.mark.parametrize("echo", ["something else", '{"challenge": 1}', "{"])
def test_nobody_is_called_who_does_not_answer_the_challenge(calling: Api, receiver: Receiver, echo: str) -> None:
    receiver.echo = echo
    before = calling.get("/v1/webhooks").json()
    refused = register(calling, receiver.url)
    assert (refused.status_code, refused.json()["code"]) == (422, "webhook_unverified")
    assert calling.get("/v1/webhooks").json() == before


@pytest.mark.parametrize(
    "url",
    ["ftp://127.0.0.1/", "http://u:p@127.0.0.1/", "/hook", "http://", "http://a b/", "http://x:0/", "http://x/#f"],
)
def test_urls_that_are_not_taken(calling: Api, url: str) -> None:
    refused = register(calling, url)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


def test_a_failed_call_is_repeated_as_the_same_message(calling: Api, receiver: Receiver) -> None:
    made = register(calling, receiver.url)
    receiver.statuses = [500, 429, 302]
    calling.folder("repeated")
    calls = [receiver.next() for _ in range(4)]
    assert len({call.headers["webhook-id"] for call in calls}) == 1
    assert len({call.body for call in calls}) == 1
    assert {call.path for call in calls} == {"/hook?for=me"}, "a redirect was followed"
    until(lambda: calling.get(made.headers["location"]).json()["failed_attempts"] == 0, "the success to be noted")
    calling.http.delete(made.headers["location"])


def test_a_receiver_that_fails_on_is_disabled_with_a_reason(calling: Api, receiver: Receiver) -> None:
    made = register(calling, receiver.url)
    receiver.always = 503
    calling.folder("failing")
    path = made.headers["location"]
    until(lambda: calling.get(path).json()["state"] == "disabled", "the webhook to be disabled", deadline_s=60)
    told = calling.get(path).json()
    assert told["reason"] == "the receiver answered 503"
    assert told["failed_attempts"] >= 8
    assert told["next_attempt_at"] is None
    calling.http.delete(path)


def test_gone_is_taken_at_its_word(calling: Api, receiver: Receiver) -> None:
    made = register(calling, receiver.url)
    receiver.statuses = [410]
    calling.folder("gone")
    receiver.next()
    until(lambda: calling.get(made.headers["location"]).json()["state"] == "disabled", "the webhook to be disabled")
    assert calling.http.delete(made.headers["location"]).status_code == 204
    assert calling.get(made.headers["location"]).status_code == 404


def test_an_undelivered_message_survives_kill_and_restart(server: ServerProcess, receiver: Receiver) -> None:
    server.options = ("--webhook-allow-private", "--webhook-backoff", "0.05")
    server.start()
    with server.client() as client:
        api = Api(client)
        assert register(api, receiver.url).status_code == 201
        receiver.always = 500
        api.folder("before")
        first = receiver.next()
    server.kill()
    receiver.always = None
    server.start()
    again = receiver.next()
    while again.headers["webhook-id"] != first.headers["webhook-id"]:
        again = receiver.next()
    assert again.body == first.body


def test_addresses_that_are_not_public_are_refused(api: Api, receiver: Receiver) -> None:
    port = receiver.url.partition("127.0.0.1:")[2]
    for host in (
        "127.0.0.1",
        "localhost",
        "0x7f000001",
        "2130706433",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0",
    ):  # 0: the wildcard address
        refused = register(api, f"http://{host}:{port}")
        assert refused.status_code == 422, host
        assert refused.json()["code"] in {"webhook_target_refused", "webhook_unverified"}, host
    for host in ("169.254.169.254", "10.0.0.1", "192.168.1.1", "[fd00:ec2::254]"):
        assert register(api, f"http://{host}/").json()["code"] == "webhook_target_refused", host
    assert receiver.calls.empty()


def test_another_tokens_webhooks_are_not_found(tmp_path: Path, receiver: Receiver) -> None:
    with ServerProcess(tmp_path, options=OPTIONS) as server:
        other = create_token(server.state / "tokens.json", name="other")
        with server.client() as one, server.client(token=other) as two:
            path = register(Api(one), receiver.url).headers["location"]
            assert two.get(path).status_code == 404
            assert two.delete(path).status_code == 404
            assert two.get("/v1/webhooks").json() == {"webhooks": []}
            assert one.get(path).status_code == 200


def test_a_revoked_token_ends_its_webhooks(tmp_path: Path, receiver: Receiver) -> None:
    with ServerProcess(tmp_path, options=OPTIONS) as server:
        tokens = server.state / "tokens.json"
        other = create_token(tokens, name="other")
        with server.client() as one, server.client(token=other) as two:
            assert register(Api(two), receiver.url).status_code == 201
            revoke_token(tokens, "other")
            Api(one).folder("news")
            until(lambda: "revoked" in server.log_tail(), "the webhook to end")
            with pytest.raises(queue.Empty):
                receiver.next(within_s=0.3)
