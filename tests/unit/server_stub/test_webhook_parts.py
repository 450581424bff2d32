"""Which addresses are public, which URLs are taken, how a message is signed, and when a receiver is given up."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from server_stub.settings import Settings
from server_stub.webhooks.courier import judge
from server_stub.webhooks.posting import Reply
from server_stub.webhooks.signing import new_secret, secret_bytes, signed_headers
from server_stub.webhooks.targets import is_public, parse_target
from server_stub.webhooks.values import Failure, State, Webhook, delivered, failed, new_message, webhook_json

SECOND = 1_000_000_000
SETTINGS = Settings(
    root=Path("/r"), state=Path("/s"), webhook_backoff_s=1, webhook_backoff_max_s=60, webhook_give_up_s=1_000
)
HOOK = Webhook(
    webhook_id="w", token_id="t", url="https://x/", secret="whsec_c2VjcmV0", created_ns=0, told_seq=3, message=None
)


@pytest.mark.parametrize("address", ["93.184.215.14", "1.1.1.1", "2606:2800:21f:cb07::1", "::ffff:1.1.1.1"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


NOT_PUBLIC = """
127.0.0.1 127.8.8.8 0.0.0.0 10.1.2.3 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 169.254.169.254
100.100.100.200 168.63.129.16 192.0.0.192 192.0.2.1 198.18.0.1 224.0.0.1 240.0.0.1 255.255.255.255 :: ::1
::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 fe80::1 fe80::1%eth0 fc00::1 fd00:ec2::254
fec0::1 ff02::1 2001:db8::1 64:ff9b::7f00:1 64:ff9b:1::1 2002:7f00:1:: 2001:0:7f00:1:: localhost 1 nonsense
"""


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


def test_a_url_taken_apart() -> None:
    target = parse_target("https://example.org:8443/a/b?c=d")
    assert (target.is_tls, target.host, target.port) == (True, "example.org", 8443)
    assert (target.host_field, target.path) == ("example.org:8443", "/a/b?c=d")
    plain = parse_target("http://[2606:4700::1111]")
    assert (plain.is_tls, plain.host, plain.port) == (False, "2606:4700::1111", 80)
    assert (plain.host_field, plain.path) == ("[2606:4700::1111]", "/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "//x/",
        "file:///etc/passwd",
        "gopher://x/",
        "http://",
        "http://u@x/",
        "http://x/#f",
        "http://x:99999/",
        "http://x\r\nHost: y/",
        "http://x y/",
        "http://bücher.example/",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://x/" + "a" * 2_048,
    ],
)
def test_urls_that_are_not_taken(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_target(url)


def test_the_signature_of_the_standards_own_example() -> None:
    """The example in the text of Standard Webhooks: any other implementation gives the same."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    headers = signed_headers(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330")


def test_secrets() -> None:
    assert len(secret_bytes(new_secret())) == 32
    assert new_secret() != new_secret()
    for wrong in ("", "secret", "whsec_", "whsec_####", "whsec_c2hvcnQ=", "whsec_" + "QUFB" * 22):
        with pytest.raises(ValueError, match=r".+"):
            secret_bytes(wrong)


def test_failures_wait_longer_each_time_and_end() -> None:
    hook = msgspec.structs.replace(HOOK, message=new_message(5, 0))
    now_ns, waits = 0, []
    while hook.state is State.ACTIVE:
        hook = failed(hook, Failure(reason="no"), now_ns, SETTINGS, jitter=lambda: 1.0)
        waits.append((hook.next_ns - now_ns) / SECOND)
        now_ns = hook.next_ns
    assert waits[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert set(waits[7:]) == {60}
    assert 1_000 <= now_ns / SECOND <= 1_000 + 2 * 60
    assert (hook.reason, hook.message) == ("no", HOOK.message or hook.message)
    assert webhook_json(hook, "a")["next_attempt_at"] is None


def test_a_few_failures_over_a_long_time_are_no_end() -> None:
    once = failed(HOOK, Failure(reason="no"), 0, SETTINGS)
    assert failed(once, Failure(reason="no"), 10_000 * SECOND, SETTINGS).state is State.ACTIVE


def test_the_receiver_may_ask_for_time_within_bounds() -> None:
    later = failed(HOOK, Failure(reason="busy", retry_after_s=30), 0, SETTINGS, jitter=lambda: 0.0)
    assert later.next_ns == 30 * SECOND
    latest = failed(HOOK, Failure(reason="busy", retry_after_s=1e9), 0, SETTINGS, jitter=lambda: 0.0)
    assert latest.next_ns == 60 * SECOND


def test_a_success_ends_the_failures() -> None:
    message = new_message(9, 0)
    hook = failed(msgspec.structs.replace(HOOK, message=message), Failure(reason="no"), 0, SETTINGS)
    good = delivered(hook, message, 7)
    assert (good.told_seq, good.message, good.attempts, good.reason, good.failing_since_ns) == (9, None, 0, None, None)


def test_what_an_answer_means() -> None:
    assert judge(Reply(status=204, headers={}, body=b"")) is None
    for status in (301, 302, 307, 400, 404, 500):
        failure = judge(Reply(status=status, headers={b"location": b"http://127.0.0.1/"}, body=b""))
        assert failure is not None
        assert not failure.is_final
    gone = judge(Reply(status=410, headers={}, body=b""))
    assert gone is not None
    assert gone.is_final
    busy = judge(Reply(status=429, headers={b"retry-after": b"17"}, body=b""))
    assert busy is not None
    assert busy.retry_after_s == 17
