"""What a Nextcloud holds for one person: files under ids, their ETags, older contents, the trash, quota, uploads.

Law, as measured on local storage: the ETag of a file is made of its mtime in seconds, its inode and its size, so it is
no content version, and stays as it is on MOVE. Any change gives every folder above it a new ETag. Names are kept in
NFC, at most 225 bytes of them. What is deleted keeps its id in the trash.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
import unicodedata
from dataclasses import dataclass, field

NAME_MAX_BYTES = 225
FILE_PERMISSIONS, FOLDER_PERMISSIONS = "RGDNVW", "RGDNVCK"


class Refusal(Exception):
    """An answer other than success."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(slots=True, kw_only=True, eq=False)
class Node:
    """A file or a folder."""

    file_id: int
    name: str
    parent: Node | None
    mtime_s: int
    data: bytes | None = None  # None: a folder
    children: dict[str, Node] = field(default_factory=dict)
    upload_s: int = 0
    checksum: str = ""
    permissions: str = ""
    folder_etag: str = ""
    properties: dict[str, str] = field(default_factory=dict)

    @property
    def is_folder(self) -> bool:
        return self.data is None

    @property
    def size(self) -> int:
        return sum(each.size for each in self.children.values()) if self.data is None else len(self.data)

    @property
    def etag(self) -> str:
        if self.data is None:
            return self.folder_etag
        made_of = f"{self.mtime_s}/{self.file_id}/{len(self.data)}"  # a content keeps its inode: see the module
        return hashlib.md5(made_of.encode(), usedforsecurity=False).hexdigest()

    @property
    def path(self) -> str:
        return "" if self.parent is None else f"{self.parent.path}/{self.name}".strip("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class OldContent:
    """A content that was replaced; its name is the time of its mtime."""

    mtime_s: int
    data: bytes
    checksum: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrashedNode:
    """What was deleted, under the name `NAME.dTIME`."""

    node: Node
    location: str
    deleted_s: int

    @property
    def name(self) -> str:
        return f"{self.node.name}.d{self.deleted_s}"


class Clock:
    """The server's wall clock; a test may freeze it, or let each change take some of it."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.frozen_s: float | None = None
        self.per_change_s = 0.0

    def now_s(self) -> float:
        return (time.time() if self.frozen_s is None else self.frozen_s) + self.ahead_s


class Account:
    """All of it, behind one lock that whoever reads or changes it holds."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.clock = Clock()
        self.fingerprint = ""
        self.quota_bytes: int | None = None  # None: no limit
        self.has_trash = self.has_versions = True
        self.versions: dict[int, list[OldContent]] = {}
        self.trash: list[TrashedNode] = []
        self.uploads: dict[str, dict[str, bytes]] = {}
        self.listeners: list[threading.Event] = []
        self._ids = itertools.count(10)
        self._etags = itertools.count(1)
        self.root = Node(
            file_id=next(self._ids), name="", parent=None, mtime_s=self.now(), permissions=FOLDER_PERMISSIONS
        )
        self.touched(self.root)

    def now(self) -> int:
        return int(self.clock.now_s())

    # --- looking

    def find(self, path: str) -> Node | None:
        """What is at a path, whose names are taken in NFC."""
        node = self.root
        for name in filter(None, path.split("/")):
            child = node.children.get(unicodedata.normalize("NFC", name))
            if child is None:
                return None
            node = child
        return node

    def at(self, path: str) -> Node:
        node = self.find(path)
        if node is None:
            raise Refusal(404, f"File with name {path} could not be located")
        return node

    def by_id(self, file_id: int) -> Node | None:
        return next((node for node in self.walk(self.root) if node.file_id == file_id), None)

    def walk(self, node: Node) -> list[Node]:
        """The node and everything below it."""
        return [node, *(below for child in node.children.values() for below in self.walk(child))]

    # --- changing

    def touched(self, node: Node | None) -> None:
        """Every folder from here up to the root has changed."""
        while node is not None:
            if node.is_folder:
                node.folder_etag = f"e{next(self._etags):08x}"
            node = node.parent
        self.clock.ahead_s += self.clock.per_change_s
        for event in self.listeners:
            event.set()

    def write(self, path: str, data: bytes, *, mtime_s: int | None = None, checksum: str = "") -> Node:
        """New content for a file, or a new file; the replaced content is kept as a version."""
        with self.lock:
            node = self.find(path)
            self._need_room(len(data) - (0 if node is None else node.size))
            if node is None:
                node = self._new(path, data)
            elif node.is_folder:
                raise Refusal(409, "PUT is not allowed on non-files.")
            else:
                self._need(node, "W")
                self._keep(node)
            node.data, node.checksum, node.upload_s = data, checksum, self.now()
            node.mtime_s = self.now() if mtime_s is None else mtime_s
            self.touched(node.parent)
            return node

    def make_folder(self, path: str) -> Node:
        with self.lock:
            if self.find(path) is not None:
                raise Refusal(405, "The resource you tried to create already exists")
            if self.find(path.rpartition("/")[0]) is None:
                raise Refusal(409, "Parent node does not exist")
            node = self._new(path, None)
            self.touched(node)
            return node

    def move(self, node: Node, path: str, *, overwrite: bool = True) -> bool:
        """Move and rename; whether something was replaced, which then is in the trash."""
        with self.lock:
            parent, name = self._place(path)
            there = parent.children.get(name)
            if there is node:
                return False
            if there is not None and not overwrite:
                raise Refusal(412, "The destination node already exists, and the overwrite header is set to false")
            if node in self._above(parent):
                raise Refusal(409, "The destination may not be part of the same subtree as the source path")
            self._need(node, "NV")
            if there is not None:
                self.remove(there)
            old = node.parent
            assert old is not None
            del old.children[node.name]
            node.parent, node.name = parent, name
            parent.children[name] = node
            self.touched(old)
            self.touched(parent)
            return there is not None

    def remove(self, node: Node) -> None:
        """Into the trash, with everything below."""
        with self.lock:
            self._need(node, "D")
            assert node.parent is not None
            if self.has_trash:
                self.trash.append(TrashedNode(node=node, location=node.path, deleted_s=self.now()))
            del node.parent.children[node.name]
            self.touched(node.parent)

    def restore(self, trashed: TrashedNode) -> Node:
        """Back to where it was, or into the root when that folder is gone; beside what has its name."""
        with self.lock:
            parent = self.find(trashed.location.rpartition("/")[0]) or self.root
            name, number = trashed.node.name, 1
            while name in parent.children:
                name, number = f"{trashed.node.name} (restored{'' if number == 1 else f' {number}'})", number + 1
            self.trash.remove(trashed)
            trashed.node.parent, trashed.node.name = parent, name
            parent.children[name] = trashed.node
            self.touched(parent)
            return trashed.node

    def roll_back(self, node: Node, old: OldContent) -> None:
        """An older content becomes the newest."""
        with self.lock:
            self.versions[node.file_id].remove(old)  # first: what is kept takes the place of one of its second
            self._keep(node)
            node.data, node.checksum, node.mtime_s, node.upload_s = old.data, old.checksum, self.now(), self.now()
            self.touched(node.parent)

    def touch(self, node: Node, mtime_s: int) -> None:
        with self.lock:
            self._need(node, "NVW" if not node.is_folder else "CK")
            node.mtime_s = mtime_s
            self.touched(node if node.is_folder else node.parent)

    # --- rules

    def _new(self, path: str, data: bytes | None) -> Node:
        parent, name = self._place(path)
        self._need(parent, "CK" if data is None else "C")
        permissions = FOLDER_PERMISSIONS if data is None else FILE_PERMISSIONS
        node = Node(
            file_id=next(self._ids), name=name, parent=parent, mtime_s=self.now(), data=data, permissions=permissions
        )
        parent.children[name] = node
        return node

    def _place(self, path: str) -> tuple[Node, str]:
        above, _, name = path.rpartition("/")
        parent = self.find(above)
        if parent is None:
            raise Refusal(409 if path else 404, "The destination node is not found")
        if not parent.is_folder:
            raise Refusal(409, "Files can only be created as children of collections")
        return parent, checked(name)

    def _keep(self, node: Node) -> None:
        assert node.data is not None
        if self.has_versions and node.data:
            kept = [each for each in self.versions.get(node.file_id, []) if each.mtime_s != node.mtime_s]
            old = OldContent(mtime_s=node.mtime_s, data=node.data, checksum=node.checksum)
            self.versions[node.file_id] = [*kept, old]

    def _need(self, node: Node, any_of: str) -> None:
        if not set(any_of) & set(node.permissions):
            raise Refusal(403, "not permitted")

    def _need_room(self, more_bytes: int) -> None:
        if self.quota_bytes is not None and self.root.size + more_bytes > self.quota_bytes:
            raise Refusal(507, "Insufficient space")

    def _above(self, node: Node | None) -> list[Node]:
        return [] if node is None else [node, *self._above(node.parent)]


def checked(name: str) -> str:
    """The name as it is kept."""
    name = unicodedata.normalize("NFC", name)
    if "\\" in name or "\n" in name or name.endswith(".part") or name == ".htaccess" or name != name.strip():
        raise Refusal(400, "Invalid path")
    if len(name.encode()) > NAME_MAX_BYTES:
        raise Refusal(500, "file name too long")
    return name
