"""Carries hints to webhooks: one task per active webhook, which owns that webhook's row.

Law: the message is durable before it is sent and confirmed only after a 2xx, so it arrives at least once, also across
a restart; commits meanwhile are the next message. The row is read again in the transaction that writes it: a webhook
that was deleted while its message was under way stays deleted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

import msgspec

from server_stub.instants import NANOS, format_instant
from server_stub.webhooks.posting import Reply, TargetRefused, Unanswered, post
from server_stub.webhooks.signing import signed_headers
from server_stub.webhooks.targets import parse_target
from server_stub.webhooks.values import Failure, Message, State, Webhook, delivered, failed, new_message

if TYPE_CHECKING:
    from server_stub.service import Service
    from server_stub.store import Ledger

log = logging.getLogger(__name__)

_AT_ONCE_MAX: Final = 64  # deliveries on their way
_IDLE_S: Final = 3_600.0


class Courier:
    """All deliveries of one server."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._woken = asyncio.Event()
        self._room = asyncio.Semaphore(_AT_ONCE_MAX)

    def wake(self) -> None:
        """The set of webhooks has changed."""
        self._woken.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            while True:
                self._woken.clear()
                await self._match_tasks()
                await self._woken.wait()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _match_tasks(self) -> None:
        hooks = await self._service.read(lambda view: view.webhooks())
        active = {hook.webhook_id for hook in hooks if hook.state is State.ACTIVE}
        for webhook_id in self._tasks.keys() - active:
            self._tasks.pop(webhook_id).cancel()
        for webhook_id in active - self._tasks.keys():
            self._tasks[webhook_id] = asyncio.create_task(self._follow(webhook_id))

    async def _follow(self, webhook_id: str) -> None:
        """Until the webhook is disabled or deleted; a fault of ours is logged and tried again later."""
        while True:
            try:
                if not await self._step(webhook_id):
                    return
            except Exception:  # one webhook's trouble must not end the others' deliveries
                log.exception("webhook %s: the delivery itself failed", webhook_id)
                await asyncio.sleep(self._service.settings.webhook_backoff_max_s)

    async def _step(self, webhook_id: str) -> bool:
        """One wait or one attempt; False when there is nothing more to do for this webhook."""
        service = self._service
        webhook = await service.read(lambda view: view.webhook(webhook_id))
        if webhook is None or webhook.state is not State.ACTIVE:
            return False
        if webhook.message is None:
            if not await service.notifier.wait(webhook.told_seq, _IDLE_S):
                return not service.notifier.closed
            message = new_message(service.notifier.newest_seq, time.time_ns())
            prepared = msgspec.structs.replace(webhook, message=message)
            await service.store.write(lambda ledger: _store(ledger, prepared))
            return True
        await self._wait_for_turn(webhook)
        async with self._room:
            failure = await self._attempt(webhook, webhook.message)
        await self._settle(webhook, webhook.message, failure)
        await asyncio.sleep(service.settings.webhook_interval_s)
        return True

    async def _wait_for_turn(self, webhook: Webhook) -> None:
        wait_s = (webhook.next_ns - time.time_ns()) / NANOS
        await asyncio.sleep(min(max(wait_s, 0.0), self._service.settings.webhook_backoff_max_s))

    async def _attempt(self, webhook: Webhook, message: Message) -> Failure | None:
        service = self._service
        if not service.knows_token(webhook.token_id):
            return Failure(reason="the token that made it was revoked", is_final=True)
        body = msgspec.json.encode(
            {
                "type": "changes.available",
                "timestamp": format_instant(message.made_ns),
                "data": {"webhook_id": webhook.webhook_id, "anchor": service.anchor(message.seq)},
            }
        )
        try:
            reply = await send_signed(service, webhook.url, webhook.secret, message.message_id, body)
        except (TargetRefused, Unanswered) as error:
            return Failure(reason=str(error))
        return judge(reply)

    async def _settle(self, webhook: Webhook, message: Message, failure: Failure | None) -> None:
        settings, now_ns = self._service.settings, time.time_ns()

        def settle(ledger: Ledger) -> None:
            current = ledger.webhook(webhook.webhook_id)
            if current is not None:
                ended = delivered(current, message, now_ns)
                _store(ledger, ended if failure is None else failed(current, failure, now_ns, settings))

        await self._service.store.write(settle)
        if failure is not None:
            log.warning("webhook %s: %s", webhook.webhook_id, failure.reason)


def _store(ledger: Ledger, webhook: Webhook) -> None:
    if ledger.webhook(webhook.webhook_id) is None:
        return
    with ledger.transaction() as tx:
        tx.put_webhook(webhook)


def judge(reply: Reply) -> Failure | None:
    """2xx confirms; 410 asks to stop; everything else, redirects included, is tried again."""
    if 200 <= reply.status < 300:
        return None
    asked = reply.headers.get(b"retry-after", b"")
    return Failure(
        reason=f"the receiver answered {reply.status}",
        is_final=reply.status == 410,
        retry_after_s=float(asked) if asked.isdigit() and len(asked) < 9 else 0.0,
    )


async def send_signed(service: Service, url: str, secret: str, message_id: str, body: bytes) -> Reply:
    """Post a signed body. TargetRefused, Unanswered."""
    headers = {"content-type": "application/json", "user-agent": "anchorfs-server"}
    headers |= signed_headers(secret, message_id, int(time.time()), body)
    settings = service.settings
    return await post(
        parse_target(url),
        headers,
        body,
        allow_private=settings.webhook_allow_private,
        timeout_s=settings.webhook_timeout_s,
    )
