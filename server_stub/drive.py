"""Changing the drive: tree and index as one, on the writer's thread.

decide → durable intent → steps on the tree → rows, change and answer in one transaction. An intent found at
start is finished when the tree allows it, or dropped with the tree as it was: there is no half change.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from server_stub import failpoints
from server_stub.drift import Drift, as_we_left_it
from server_stub.external.root import RootReplaced, check_root
from server_stub.external.sight import Eyes
from server_stub.intents import Intent, decode_intent, encode_intent
from server_stub.problems import Problem
from server_stub.steps import Steps
from server_stub.store import Ledger, Tx, View
from server_stub.values import Kind, Trace, Trashed
from server_stub.wire import problem_answer

if TYPE_CHECKING:
    from server_stub.keys import Answer, Keyed
    from server_stub.tree import Place, Tree
    from server_stub.values import Evidence, Item
    from server_stub.vault import Vault

log = logging.getLogger(__name__)

Decide = Callable[[View], Intent]
Refresh = Callable[[Ledger, tuple[str, ...]], object]

_DRIFT_ERRNOS: Final = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_ATTEMPTS: Final = 2  # one more after the index has caught up with the tree


class Contended(Problem):
    """The tree is not what the index says, and looking at the folders concerned did not tell why."""

    def __init__(self) -> None:
        super().__init__("unavailable", "the folder is being changed by others", headers={"retry-after": "1"})


class Drive:
    """Carries out intents. `refresh(ledger, folder_names)` brings the index in line with one folder."""

    def __init__(self, tree: Tree, vault: Vault, refresh: Refresh, eyes: Eyes | None = None) -> None:
        self._tree = tree
        self._eyes = eyes or Eyes()
        self._vault = vault
        self._steps = Steps(tree, vault)
        self._refresh = refresh
        self._unsettled = False  # a change reached the tree and its rows could not be written (state disk full)

    def perform(self, ledger: Ledger, decide: Decide, keyed: Keyed | None = None) -> Answer:
        """The answer to a mutation, done once per key; a refusal under a key is stored too. Problem."""
        if self._unsettled:  # before anything else is decided on rows that are behind the tree
            self._settle(ledger)
        replay = None if keyed is None else replayed(ledger, keyed)
        if replay is not None:
            return replay
        try:
            return self._attempt(ledger, decide, keyed)
        except Problem as problem:
            if keyed is None or problem.status >= 500 or problem.status == 429:
                raise
            answer = problem_answer(problem)
            with ledger.transaction() as tx:
                tx.remember(keyed, answer, now_ns=_created_ns())
            return answer

    def _attempt(self, ledger: Ledger, decide: Decide, keyed: Keyed | None) -> Answer:
        for _ in range(_ATTEMPTS):
            intent = msgspec.structs.replace(decide(ledger), keyed=keyed)
            try:
                self._carry_out(ledger, intent)
            except Drift as drift:
                self._refresh(ledger, drift.place.folder)
            except OSError as error:
                if error.errno not in _DRIFT_ERRNOS:
                    raise problem_of(error) from error
                for folder in dict.fromkeys(place.folder for place in _places(intent)):
                    self._refresh(ledger, folder)
            else:
                return intent.answer
        raise Contended

    def _carry_out(self, ledger: Ledger, intent: Intent) -> None:
        self._check_places(intent)
        intent_id = None
        if intent.steps:
            self._check_root(ledger)
            with ledger.transaction() as tx:
                intent_id = tx.add_intent(encode_intent(intent))
            failpoints.reach("intended")
            try:
                self._check_places(intent)  # others had the time of an fsync since
                self._steps.perform(intent.steps)
            except (OSError, Drift):
                self._drop(ledger, intent_id)
                raise
            failpoints.reach("performed")
        self._unsettled = True
        with ledger.transaction() as tx:
            self._apply(tx, intent, intent_id)
        self._unsettled = False
        failpoints.reach("applied")

    def _check_places(self, intent: Intent) -> None:
        """Whether the files are still those that were decided on. Drift, OSError."""
        for place, evidence in intent.checks:
            if self._tree.evidence(place) != evidence:
                raise Drift(place)

    def _check_root(self, ledger: Ledger) -> None:
        """Nothing is written to a mount point whose disk is not there. Problem unavailable."""
        try:
            check_root(ledger, self._tree, self._eyes)
        except RootReplaced as error:
            log.warning("a change is refused: %s", error)
            detail = "the exported directory is not the one of this drive"
            raise Problem("unavailable", detail, headers={"retry-after": "5"}) from error

    def _drop(self, ledger: Ledger, intent_id: int) -> None:
        with ledger.transaction() as tx:
            tx.drop_intent(intent_id)

    def _apply(self, tx: Tx, intent: Intent, intent_id: int | None) -> None:
        for item in intent.burials:
            buried = tx.bury(item, deleted_ns=intent.now_ns)
            top_id = intent.burials[-1].item_id
            tx.throw_away(Trashed(item=item, top_id=top_id, deleted_ns=intent.now_ns, seq=buried.seq))
        for item in intent.puts:
            tx.put(self._seen(intent, item))
        for item in intent.revivals:
            tx.revive(self._seen(intent, item))
        for kept in intent.kept:
            tx.keep(kept)
        tx.drop_trash(intent.dropped)
        tx.forget_kept(intent.released)
        for upload in intent.uploads:
            tx.put_upload(upload)
        # A change that is settled late must not fail for ever because its key was answered meanwhile.
        if intent.keyed is not None and tx.answer(intent.keyed) is None:
            tx.remember(intent.keyed, intent.answer, now_ns=intent.now_ns)
        if intent_id is not None:
            tx.drop_intent(intent_id)

    def _seen(self, intent: Intent, item: Item) -> Item:
        """The item with the evidence of its place, its file marked."""
        place = intent.places.get(item.item_id)
        found = None if place is None else self._tree.evidence(place)
        if place is None or found is None:
            return msgspec.structs.replace(item, evidence=None)
        before = item.evidence
        if before is None or before.ino != found.ino or not self._same_birth(place, item):
            marked, trace = witness(self._tree, self._eyes, place, item)
            evidence = None if marked is None else as_we_left_it(msgspec.structs.replace(item, evidence=None), marked)
            return msgspec.structs.replace(item, evidence=evidence, trace=trace)
        # A folder's evidence is of its listing, which this change is no part of.
        return item if item.is_folder else msgspec.structs.replace(item, evidence=as_we_left_it(item, found))

    def _same_birth(self, place: Place, item: Item) -> bool:
        """Whether it is the file that the row remembers, and not one made since that got its inode number."""
        with self._tree.folder(place.folder) as fd:
            return item.trace.birth_ns == self._eyes.birth_ns(fd, place.name) != 0

    def recover(self, ledger: Ledger) -> tuple[int, int]:
        """Finish or drop what a crash left; then empty the staging room. Returns (finished, dropped)."""
        settled = self._settle(ledger)
        self._vault.sweep(ledger.kept_versions(), ledger.upload_ids())
        return settled

    def _settle(self, ledger: Ledger) -> tuple[int, int]:
        finished = dropped = 0
        for intent_id, body in ledger.intents():
            intent = decode_intent(body)
            try:
                if self._steps.decided(intent.steps):
                    self._steps.sync(intent.steps)
                else:
                    self._steps.perform(intent.steps)
                with ledger.transaction() as tx:
                    self._apply(tx, intent, intent_id)
                finished += 1
            except (OSError, Drift) as error:
                log.warning("an interrupted change could not be finished and was dropped: %s", error)
                self._drop(ledger, intent_id)
                dropped += 1
        self._unsettled = False
        return finished, dropped


def replayed(view: View, keyed: Keyed) -> Answer | None:
    """The stored answer; Problem idempotency_key_reused when the key stood for another request."""
    stored = view.answer(keyed)
    if stored is None:
        return None
    if stored[0] != keyed.fingerprint:
        raise Problem("idempotency_key_reused", "this key was used for another request")
    return stored[1]


def witness(tree: Tree, eyes: Eyes, place: Place, item: Item) -> tuple[Evidence | None, Trace]:
    """Mark what lies at the place as the item's, and take its evidence, in this order: marking changes ctime."""
    with tree.folder(place.folder) as fd:
        marked = item.kind is not Kind.SYMLINK and eyes.write(fd, place.name, item.item_id)
        birth_ns = eyes.birth_ns(fd, place.name)
    return tree.evidence(place), Trace(birth_ns=birth_ns, marked=marked)


def problem_of(error: OSError) -> Problem:
    """What a client is told of an error of the file system."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Problem("quota_exceeded", "no space left on the drive")
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return Problem("forbidden", "the file system refuses it to the server")
    if error.errno == errno.ENAMETOOLONG:
        return Problem("name_too_long", "the file system cannot hold this name")
    if error.errno == errno.EFBIG:
        return Problem("too_large", "the file system cannot hold a file of this size")
    return Problem("unavailable", "the file system answered with an error", headers={"retry-after": "1"})


def _places(intent: Intent) -> list[Place]:
    places = list(intent.places.values())
    for step in intent.steps:
        places += [place for place in (getattr(step, "place", None), getattr(step, "source", None)) if place]
    return places


def _created_ns() -> int:
    return time.time_ns()
