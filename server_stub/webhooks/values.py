"""A webhook and what is on its way to it: frozen values, and how a delivery's end changes them. Pure.

Law: a message keeps its id, its time and its anchor through every attempt and every restart, so that a receiver can
tell a repetition. What is committed meanwhile is the next message. Nothing is given up silently: a webhook that fails
on is disabled with a reason that its owner can read.
"""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from server_stub.instants import NANOS, format_instant

if TYPE_CHECKING:
    from collections.abc import Callable

    from server_stub.settings import Settings


class State(StrEnum):
    """Whether a webhook is being called."""

    ACTIVE = "active"
    DISABLED = "disabled"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One hint, made durable before it is first sent."""

    message_id: str
    seq: int
    made_ns: int


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """One registration."""

    webhook_id: str
    token_id: str
    url: str
    secret: str
    created_ns: int
    told_seq: int  # what the receiver has confirmed
    state: State = State.ACTIVE
    message: Message | None = None
    attempts: int = 0  # of this message that failed
    failing_since_ns: int | None = None
    next_ns: int = 0  # not before, after a failure
    delivered_ns: int | None = None
    reason: str | None = None  # of the last failure; with DISABLED: why


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An attempt that was not answered by 2xx."""

    reason: str
    is_final: bool = False  # the receiver, or its owner's token, is gone for good
    retry_after_s: float = 0.0  # what the receiver asked for


def new_message(seq: int, now_ns: int) -> Message:
    """A hint that the drive has reached `seq`."""
    return Message(message_id=f"msg_{secrets.token_hex(12)}", seq=seq, made_ns=now_ns)


def delivered(webhook: Webhook, message: Message, now_ns: int) -> Webhook:
    """After a 2xx."""
    return msgspec.structs.replace(
        webhook,
        told_seq=max(webhook.told_seq, message.seq),
        message=None,
        attempts=0,
        failing_since_ns=None,
        next_ns=0,
        delivered_ns=now_ns,
        reason=None,
    )


def failed(
    webhook: Webhook, failure: Failure, now_ns: int, settings: Settings, jitter: Callable[[], float] = random.random
) -> Webhook:
    """After anything else: a later time, or the end. Time that the server was down is no failure of the receiver's,
    so it takes both a long time and several attempts to be given up.
    """
    since_ns = now_ns if webhook.failing_since_ns is None else webhook.failing_since_ns
    attempts = webhook.attempts + 1
    is_over = now_ns - since_ns >= settings.webhook_give_up_s * NANOS and attempts >= settings.webhook_attempts_min
    backoff_s = min(settings.webhook_backoff_s * 2.0 ** min(attempts - 1, 30), settings.webhook_backoff_max_s)
    wait_s = max(backoff_s * (0.5 + jitter() / 2), min(failure.retry_after_s, settings.webhook_backoff_max_s))
    return msgspec.structs.replace(
        webhook,
        state=State.DISABLED if is_over or failure.is_final else State.ACTIVE,
        attempts=attempts,
        failing_since_ns=since_ns,
        next_ns=now_ns + int(wait_s * NANOS),
        reason=failure.reason,
    )


def webhook_json(webhook: Webhook, anchor: str) -> dict[str, Any]:
    """What its owner is told; never the secret. `anchor` is what the receiver has confirmed."""
    return {
        "webhook_id": webhook.webhook_id,
        "url": webhook.url,
        "state": webhook.state.value,
        "reason": webhook.reason,
        "anchor": anchor,
        "failed_attempts": webhook.attempts,
        "created_at": format_instant(webhook.created_ns),
        "delivered_at": _instant(webhook.delivered_ns),
        "failing_since": _instant(webhook.failing_since_ns),
        "next_attempt_at": _instant(webhook.next_ns or None) if webhook.state is State.ACTIVE else None,
    }


def _instant(moment_ns: int | None) -> str | None:
    return None if moment_ns is None else format_instant(moment_ns)
