"""From a node to what stat tells."""

from __future__ import annotations

from cache.model import ROOT_INO, ContentId, Ino, ItemId, Kind, Node
from vfs.attributes import of_node


def node(kind: Kind, size: int = 0, symlink_target: str | None = None) -> Node:
    return Node(
        ino=Ino(7),
        parent=ROOT_INO,
        name="x",
        kind=kind,
        size=size,
        mode=0o100640,
        mtime_ns=5,
        ctime_ns=6,
        item_id=ItemId("i"),
        content_id=ContentId(1),
        symlink_target=symlink_target,
        listed=False,
        writable=True,
        held_bytes=0,
    )


def test_a_file() -> None:
    attributes = of_node(node(Kind.FILE, 10), 4096, 1)
    assert (attributes.ino, attributes.kind, attributes.size, attributes.disk_bytes) == (
        7,
        Kind.FILE,
        10,
        4096,
    )
    assert (attributes.mode, attributes.nlink) == (0o640, 1)
    assert (attributes.mtime_ns, attributes.ctime_ns, attributes.atime_ns) == (5, 6, 5)


def test_a_symlink_is_as_long_as_its_target_in_bytes() -> None:
    assert of_node(node(Kind.SYMLINK, 0, "zü"), 0, 1).size == 3
