"""The drive as the routes see it: async, one method per kind of need. Owns the parts and their order of
start and stop.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from server_stub import epochs
from server_stub.anchors import encode_anchor
from server_stub.auth import Token, TokenBook
from server_stub.blobs import Blobs, TreeBlobs
from server_stub.drive import Contended, Decide, Drive
from server_stub.external.reconcile import Reconciler
from server_stub.external.scan import Report, RootReplaced, Scanner
from server_stub.names import FOLD_NAMES
from server_stub.problems import Problem
from server_stub.push import Notifier
from server_stub.sqlite_store import SqliteStore
from server_stub.tree import Tree
from server_stub.uploads.desk import Desk
from server_stub.values import Principal
from server_stub.vault import Vault, vault_path
from server_stub.watching.outside import Outside
from server_stub.watching.status import WatchMode
from server_stub.webhooks.courier import Courier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from server_stub.external.doubts import Doubts
    from server_stub.external.looking import Certainty, Spot
    from server_stub.keys import Answer, Keyed
    from server_stub.settings import Settings
    from server_stub.store import Ledger, Store, View

log = logging.getLogger(__name__)

T = TypeVar("T")
NOBODY = "nobody"  # the token id under --no-auth


class Service:
    """All parts of one running server."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store,
        tree: Tree,
        vault: Vault,
        notifier: Notifier,
        tokens: TokenBook | None,
    ) -> None:
        self.settings = settings
        self.store = store
        self.tree = tree
        self.vault = vault
        self.blobs: Blobs = TreeBlobs(tree, vault)
        self.notifier = notifier
        self.epochs = epochs.Epochs()
        self.root_id = ""
        self.asked_s = -math.inf  # when something was last looked up for a request
        self.last_scan: Report | None = None
        self._tokens = tokens
        self.copies = asyncio.Semaphore(settings.copies_max)
        self._running_keys: set[tuple[str, str]] = set()
        self._scanning = asyncio.Lock()
        self._walks_begun = 0
        found = settings.state.stat()
        reconciler = Reconciler(tree, frozenset({(found.st_dev, found.st_ino)}))
        self._scanner = Scanner(tree, store, reconciler)
        self._drive = Drive(tree, vault, self._scanner.refresh)
        self.uploads = Desk(self)
        self.courier = Courier(self)
        self.outside = Outside(self)

    async def start(self) -> None:
        """Recover, and import a tree that is new to the state."""
        self.epochs = await self.store.write(epochs.begin)
        finished, dropped = await self.store.write(self._drive.recover)
        if finished or dropped:
            log.info("recovery: %d interrupted changes finished, %d dropped", finished, dropped)
        report = await self._scanner.import_tree()
        if report is not None:
            self.last_scan = report
            log.info("import done: %s", report.as_dict())
        newest, self.root_id = await self.store.read(lambda view: (view.newest_seq(), view.root_id() or ""))
        self.notifier.announce(newest)

    async def scan(
        self,
        *,
        quick: bool = False,
        duty: float = 1.0,
        confirmed: bool = False,
        progress: Callable[[Report], None] | None = None,
    ) -> Report:
        """Walk the tree now; walks never overlap. RootReplaced."""
        async with self._scanning:
            self._walks_begun += 1
            report = await self._scanner.scan(quick=quick, duty=duty, confirmed=confirmed, progress=progress)
            self.last_scan = report
        if report.is_news:
            log.info("scan: %s", report.as_dict())
        return report

    async def reconcile(self, doubts: Doubts) -> Report:
        """Look at what may have been changed behind the server's back; safe beside a scan. RootReplaced, OSError."""
        return await self._scanner.reconcile(doubts)

    async def read_contents(self, unread: Mapping[Spot, Certainty]) -> Report:
        """Settle the files that a reconciliation left unread."""
        return await self._scanner.read(unread)

    async def scan_for_ever(self) -> None:
        """The start-up walk, unless everything was imported a moment ago or a watch begins with one; then the timer.
        Full walks take no more than their share of time: a small tree is always walked in full.
        """
        just_imported = self.last_scan is not None or self.settings.watch is not WatchMode.OFF
        full_is_due_s = 0.0
        while True:
            try:
                if not just_imported:
                    quick = time.monotonic() < full_is_due_s
                    report = await self.scan(quick=quick, duty=self.settings.scan_duty)
                    if not report.quick:
                        full_is_due_s = time.monotonic() + report.seconds / self.settings.full_scan_share
            except (RootReplaced, OSError) as error:
                log.warning("scan refused: %s", error)
            just_imported = False
            if self.settings.scan_interval_s <= 0:
                return
            await asyncio.sleep(self.settings.scan_interval_s)

    async def read(self, work: Callable[[View], T]) -> T:
        """Read over one snapshot, for a request."""
        self.asked_s = time.monotonic()
        return await self.store.read(work)

    async def mutate(self, decide: Decide, keyed: Keyed | None = None) -> Answer:
        """One change, once per key. Problem."""
        if keyed is None:
            return await self._perform(decide, None)
        with self.running(keyed):
            return await self._perform(decide, keyed)

    async def _perform(self, decide: Decide, keyed: Keyed | None) -> Answer:
        """Twice, when it took a walk to learn what others did to the items concerned."""
        try:
            return await self.store.write(lambda ledger: self._drive.perform(ledger, decide, keyed))
        except Contended:
            await self.settle()
        return await self.store.write(lambda ledger: self._drive.perform(ledger, decide, keyed))

    async def settle(self) -> None:
        """Find out what became of what is missing, by a quick walk that begins after this call; not for ever: who
        asks is answered that it is not known yet when that takes longer.
        """
        begun = self._walks_begun

        async def walk() -> None:
            await self._scanner.read_for_requests()
            async with self._scanning:
                if self._walks_begun == begun:
                    self._walks_begun += 1
                    await self._scanner.scan(quick=True)

        try:
            await asyncio.wait_for(walk(), self.settings.settle_within_s)
        except (TimeoutError, RootReplaced, OSError) as error:
            log.warning("what others did is not known yet: %s", str(error) or "it takes too long")

    def running(self, keyed: Keyed) -> _Running:
        """Marks a key as being worked on. Problem idempotency_key_in_progress when it is already."""
        return _Running(self._running_keys, (keyed.token_id, keyed.key))

    async def refresh(self, names: tuple[str, ...]) -> None:
        """Bring the index in line with one folder, and find out where what is missing there went."""
        if await self.store.write(lambda ledger: self._scanner.refresh(ledger, names)):
            await self.settle()

    def knows_token(self, token_id: str) -> bool:
        """Whether the token was not revoked."""
        return self._tokens is None or self._tokens.knows(token_id)

    def anchor(self, seq: int) -> str:
        """The anchor after `seq`."""
        return encode_anchor(self.epochs.of(seq), seq)

    async def principal(self, secret: str | None) -> Principal:
        """Who asks. Problem unauthorized."""
        if self._tokens is None:
            return Principal(token_id=NOBODY, name=NOBODY, root_id=self.root_id, whole_drive=True)
        token = None if secret is None else self._tokens.find(secret)
        if token is None:
            challenge = 'Bearer realm="anchorfs"' + ("" if secret is None else ', error="invalid_token"')
            raise Problem("unauthorized", "a valid bearer token is needed", headers={"www-authenticate": challenge})
        return await self._principal_of(token)

    async def _principal_of(self, token: Token) -> Principal:
        root_id: str | None = self.root_id
        if token.root != "/":
            root_id = await self.read(lambda view: view.token_root(token.token_id))
        if root_id is None:
            root_id = await self.store.write(lambda ledger: _bind_root(ledger, token))
        return Principal(
            token_id=token.token_id,
            name=token.name,
            root_id=root_id,
            whole_drive=root_id == self.root_id,
            read_only=token.read_only,
        )

    def space(self) -> dict[str, int]:
        """statfs of the drive, in bytes."""
        found = os.fstatvfs(self.tree.root_fd)
        total, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
        return {"total": total, "used": total - found.f_bfree * found.f_frsize, "free": free}


class _Running:
    """A key that is being worked on, for the length of a with block."""

    def __init__(self, keys: set[tuple[str, str]], key: tuple[str, str]) -> None:
        self._keys = keys
        self._key = key

    def __enter__(self) -> None:
        if self._key in self._keys:
            raise Problem(
                "idempotency_key_in_progress",
                "the first request with this key is still running",
                headers={"retry-after": "1"},
            )
        self._keys.add(self._key)

    def __exit__(self, *_exc: object) -> None:
        self._keys.discard(self._key)


def _bind_root(ledger: Ledger, token: Token) -> str:
    """Resolve a token's root path once; from then on the token means the item, wherever it moves."""
    item_id = ledger.root_id() or ""
    for name in token.root.strip("/").split("/"):
        child = ledger.child(item_id, name)
        if child is None or not child.is_folder:
            raise Problem("not_found", "this token's root does not exist")
        item_id = child.item_id
    with ledger.transaction() as tx:
        tx.set_token_root(token.token_id, item_id)
    return item_id


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Service]:
    """Open state, tree and vault, recover and import; close them in the other order."""
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    loop = asyncio.get_running_loop()
    notifier = Notifier()

    def ring(seq: int) -> None:
        loop.call_soon_threadsafe(notifier.announce, seq)

    store = await SqliteStore.open(settings.state / "drive.db", ring)
    try:
        await store.write(partial(_note_folding, settings))
        tree = Tree(settings.root)
        vault = Vault(vault_path(settings.root, settings.state))
        tokens = None if settings.tokens is None else TokenBook(settings.tokens)
        service = Service(settings, store=store, tree=tree, vault=vault, notifier=notifier, tokens=tokens)
        await service.start()
        try:
            yield service
        finally:
            await store.aclose()
            vault.close()
            tree.close()
    finally:
        await store.aclose()


def _note_folding(settings: Settings, ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        tx.set_note(FOLD_NAMES, "1" if settings.fold_names else "0")
