"""Extended attributes: the facts that `user.anchorfs.*` tells of an item, one plain text each, and the user's own.

Asking costs no request. Of the facts only the pin can be set. Other namespaces are not supported, and say so.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from cache import items, journal, uploads, xattrs
from cache.errors import NameInvalid, NoAttribute, NotSupported
from cache.model import Aspect, ChangeState, Kind, Node, Residency, SyncState
from cache.pinfile import PinState
from cache.store import LocalStore

if TYPE_CHECKING:
    from sync.engine import Engine
    from vfs.programs import Programs

NAMESPACE = b"user."
PREFIX = b"user.anchorfs."
PIN = PREFIX + b"pin"
COPIERS = frozenset({"cp", "mv", "install", "rsync", "tar", "bsdtar", "star", "cpio", "bsdcpio", "pax", "unison"})


class Xattrs:
    """Those of one mount."""

    def __init__(self, store: LocalStore, engine: Engine, programs: Programs) -> None:
        self._store = store
        self._engine = engine
        self._programs = programs

    def get(self, node: Node, name: bytes) -> bytes:
        """The value of one attribute; raises NoAttribute, and NotSupported beyond `user.`."""
        return get(self._store, node, name)

    def names(self, node: Node, pid: int) -> list[bytes]:
        """All attributes, but to programs that copy files only the user's own: a copy has facts of its own."""
        own = [name.encode() for name in xattrs.of_node(self._store.db.reader, node)]
        return own if self._programs.is_named(pid, COPIERS) else names(self._store, node) + own

    async def put(self, node: Node, name: bytes, value: bytes | None) -> None:
        """Set an attribute, or with None remove it; a pin is durable when this returns."""
        if name == PIN:
            pin = PinState.INHERIT if value is None else parse_pin(value)
            await self._engine.keeper.put(node.ino, pin)
            return
        text = _own_name(name)
        clock = self._store.clock()
        await self._store.db.write_here(lambda connection: xattrs.change(connection, node.ino, text, value, clock))
        self._engine.changed()


def _own_name(name: bytes) -> str:
    """The name of an attribute that a user may set; raises NotSupported, NameInvalid, OSError (EILSEQ)."""
    if name == NAMESPACE:
        raise NameInvalid("a name behind its namespace")
    if not name.startswith(NAMESPACE) or name.startswith(PREFIX):
        raise NotSupported(name=name)
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise OSError(errno.EILSEQ, "a name that is no UTF-8 text") from None


def names(store: LocalStore, node: Node) -> list[bytes]:
    """Facts that this item has."""
    return [PREFIX + name for name in _FACTS if _applies(store, node, name)]


def _applies(store: LocalStore, node: Node, name: bytes) -> bool:
    if node.kind is not Kind.FILE and name in _OF_FILES:
        return False
    if name in _OF_ITEMS:
        return node.item_id is not None
    return name != b"conflict" or _conflict(store, node) is not None


def get(store: LocalStore, node: Node, name: bytes) -> bytes:
    """The value of one attribute; NoAttribute when the item has none of that name, NotSupported beyond `user.`.

    NameInvalid for the namespace alone.
    """
    if not name.startswith(NAMESPACE):
        raise NotSupported(name=name)  # and not "none here": `ls -l` then asks once, and not twice for each file
    if name == NAMESPACE:
        raise NameInvalid("a name behind its namespace")
    if not name.startswith(PREFIX):
        return xattrs.value(store.db.reader, node, name.decode(errors="replace"))
    fact = name.removeprefix(PREFIX)
    if fact not in _FACTS or not _applies(store, node, fact):
        raise NoAttribute(name=name)
    value = _FACTS[fact](store, node)
    if value is None:
        raise NoAttribute(name=name)
    return value.encode()


def _held(store: LocalStore, node: Node) -> tuple[int, int]:
    opened = store.opened.get(node.content_id)
    return store.resident_bytes(node), node.size if opened is None else opened.size


def _state(store: LocalStore, node: Node) -> str:
    held, size = _held(store, node)
    if held >= size:
        return Residency.LOCAL
    return Residency.PARTIAL if held else Residency.ONLINE_ONLY


def _hydrated(store: LocalStore, node: Node) -> str:
    held, size = _held(store, node)
    return f"{held} / {size}"


def _item_id(_store: LocalStore, node: Node) -> str | None:
    return node.item_id


def _content_version(store: LocalStore, node: Node) -> str | None:
    item = None if node.item_id is None else items.get(store.db.reader, node.item_id)
    return None if item is None else item.content_version


def _metadata_version(store: LocalStore, node: Node) -> str | None:
    item = None if node.item_id is None else items.get(store.db.reader, node.item_id)
    return None if item is None else item.metadata_version


def _sync(store: LocalStore, node: Node) -> str:
    if _conflict(store, node) is not None:
        return SyncState.CONFLICT
    rows = journal.of_node(store.db.reader, node.ino).values()
    states = {row.state for row in rows}
    if ChangeState.PARKED in states:
        return SyncState.ERROR
    sent = any(row.state is ChangeState.RUNNING and row.aspect in {Aspect.CREATE, Aspect.CONTENT} for row in rows)
    if sent or (states and _travels(store, node)):
        return SyncState.UPLOADING
    return SyncState.PENDING if states else SyncState.SYNCED


def _travels(store: LocalStore, node: Node) -> bool:
    """Whether its bytes are on their way in pieces."""
    return node.content_id is not None and uploads.of_content(store.db.reader, node.content_id) is not None


def _conflict(store: LocalStore, node: Node) -> str | None:
    """For a conflict copy: the id of the item that kept the name."""
    row = store.db.reader.execute("SELECT item_id FROM conflict WHERE ino = ?", (node.ino,)).fetchone()
    return None if row is None else str(row[0])


def _pin(store: LocalStore, node: Node) -> str:
    return store.pins.own(node)


def _pinned(store: LocalStore, node: Node) -> str:
    """Whether it is kept here, by its own pin or that of a folder above."""
    return "yes" if store.pins.keeps(node.ino) else "no"


def parse_pin(value: bytes) -> PinState:
    """What `pin` was set to; NameInvalid (EINVAL) for another word."""
    try:
        return PinState(value.decode().strip())
    except ValueError:
        raise NameInvalid(f"a pin is one of {', '.join(PinState)}") from None


_Fact = Callable[[LocalStore, Node], str | None]
_FACTS: dict[bytes, _Fact] = {
    b"state": _state,
    b"hydrated": _hydrated,
    b"item_id": _item_id,
    b"content_version": _content_version,
    b"metadata_version": _metadata_version,
    b"sync": _sync,
    b"conflict": _conflict,
    b"pin": _pin,
    b"pinned": _pinned,
}
_OF_FILES = frozenset({b"state", b"hydrated", b"content_version"})
_OF_ITEMS = frozenset({b"item_id", b"content_version", b"metadata_version"})  # what the remote has never seen has none
