"""What is true of every catalog between two transactions, whatever happened: one row per law. Pure data.

Each query finds what breaks the law: (subject, detail). A law that `heals` may be found broken in a directory whose
process died, and is put right when the directory is next opened (`cache.recovery`); the others never.
A node *in limbo* has an item but no parent: its place contradicts another one, and is being asked for.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Law:
    """One invariant that a query can check."""

    name: str
    sentence: str
    query: str
    heals: bool = False


_ITEM_OF_NODE = "node n JOIN item i ON i.item_id = n.item_id"
_FOLDER_OF_NODE = "LEFT JOIN node p ON p.ino = n.parent"

_TREE = (
    Law(
        "root",
        "inode 1 is the root: a nameless folder without a parent, as soon as there is any node",
        """SELECT 1, 'inode 1 is missing or no nameless folder' WHERE EXISTS (SELECT 1 FROM node) AND NOT EXISTS
           (SELECT 1 FROM node WHERE ino = 1 AND parent IS NULL AND name = '' AND kind = 'folder')""",
    ),
    Law(
        "parent-is-folder",
        "the parent of a node is a folder",
        "SELECT n.ino, p.kind FROM node n JOIN node p ON p.ino = n.parent WHERE p.kind <> 'folder'",
    ),
    Law(
        "no-cycle",
        "every chain of parents ends at a node without a parent",
        """WITH RECURSIVE reached (ino) AS (SELECT ino FROM node WHERE parent IS NULL UNION
               SELECT n.ino FROM node n JOIN reached r ON n.parent = r.ino)
           SELECT ino, name FROM node WHERE ino NOT IN (SELECT ino FROM reached)""",
    ),
    Law(
        "name",
        "a node in the tree has a name that a Linux folder can hold",
        """SELECT ino, name FROM node WHERE parent IS NOT NULL AND (name IN ('', '.', '..')
           OR instr(name, '/') OR instr(name, char(0)) OR length(CAST(name AS BLOB)) > 255)""",
    ),
    Law(
        "unlinked-is-empty",
        "a node that was unlinked holds no other node",
        f"""SELECT p.ino, 'holds ' || n.ino FROM node n {_FOLDER_OF_NODE}
            WHERE p.parent IS NULL AND p.item_id IS NULL AND p.ino <> 1""",  # noqa: S608
    ),
    Law(
        "unlinked-is-forgotten",
        "a node that was unlinked is kept only while it is open",
        "SELECT ino, name FROM node WHERE parent IS NULL AND item_id IS NULL AND ino <> 1",
        heals=True,
    ),
    Law(
        "folder-only",
        "only folders are listed, only files have content, only symlinks have a target",
        """SELECT ino, kind FROM node WHERE (listed = 1 AND kind <> 'folder')
           OR (content_id IS NOT NULL AND kind <> 'file') OR (symlink_target IS NOT NULL AND kind <> 'symlink')""",
    ),
)

_ITEMS = (
    Law(
        "node-has-item",
        "a node's item is known, and of the same kind",
        """SELECT n.ino, n.item_id FROM node n LEFT JOIN item i ON i.item_id = n.item_id
           WHERE n.item_id IS NOT NULL AND (i.item_id IS NULL OR i.kind <> n.kind)""",
    ),
    Law(
        "item-is-wanted",
        "an item is kept for its node, for a pending removal, or because a node here has its name or was sent under it",
        """SELECT i.item_id, i.name FROM item i WHERE NOT EXISTS (SELECT 1 FROM node n WHERE n.item_id = i.item_id)
           AND NOT EXISTS (SELECT 1 FROM journal j WHERE j.item_id = i.item_id AND j.aspect = 'remove')
           AND NOT EXISTS (SELECT 1 FROM node p JOIN node n ON n.parent = p.ino AND n.name = i.shown_name
                           WHERE p.item_id = i.parent_id)
           AND NOT EXISTS (SELECT 1 FROM journal j WHERE j.sent_parent_id = i.parent_id AND j.sent_name = i.name
                           AND j.aspect = 'create' AND j.sent_generation >= 0)
           AND NOT EXISTS (SELECT 1 FROM journal j WHERE j.base_parent_id = i.parent_id AND j.base_name = i.name
                           AND j.aspect = 'remove' AND j.item_id IS NULL)""",
    ),
    Law(
        "size-told",
        "a file without pending content has the size that the remote told",
        f"""SELECT n.ino, n.size || ' is not ' || i.size FROM {_ITEM_OF_NODE} WHERE n.kind = 'file' AND n.size <> i.size
            AND NOT EXISTS (SELECT 1 FROM journal j WHERE j.ino = n.ino AND j.aspect = 'content')""",  # noqa: S608
    ),
)

_CONTENTS = (
    Law(
        "content-exists",
        "a node's content has a row, and that row names the node",
        """SELECT n.ino, n.content_id FROM node n LEFT JOIN content c ON c.content_id = n.content_id
           WHERE n.content_id IS NOT NULL AND (c.content_id IS NULL OR c.ino <> n.ino)""",
    ),
    Law(
        "content-size",
        "a file is as long as its content",
        """SELECT n.ino, n.size || ' is not ' || c.size FROM node n JOIN content c ON c.content_id = n.content_id
           WHERE n.size <> c.size""",
    ),
    Law(
        "dirty-has-node",
        "bytes that exist nowhere else belong to a node",
        """SELECT c.content_id, 'of inode ' || c.ino FROM content c WHERE c.dirty = 1
           AND NOT EXISTS (SELECT 1 FROM node n WHERE n.content_id = c.content_id)""",
    ),
    Law(
        "clean-has-node",
        "a content that no node has is kept only while it is open",
        """SELECT c.content_id, 'of inode ' || c.ino FROM content c WHERE c.dirty = 0
           AND NOT EXISTS (SELECT 1 FROM node n WHERE n.content_id = c.content_id)""",
        heals=True,
    ),
    Law(
        "usage",
        "what the contents take together is what the catalog says at once",
        """SELECT 'usage', u.held_bytes || ' in ' || u.contents FROM usage u, (SELECT count(*) AS n,
           coalesce(sum(held_bytes), 0) AS held, coalesce(sum(dirty * held_bytes), 0) AS dirty FROM content) c
           WHERE u.contents <> c.n OR u.held_bytes <> c.held OR u.dirty_bytes <> c.dirty""",
    ),
    Law(
        "bundle-place",
        "a content in a bundle has a place there, which is nobody else's and of which no room is to be given back",
        """SELECT content_id, 'in bundle ' || bundle || ' at ' || bundle_at FROM (
               SELECT content_id, bundle, bundle_at, size, lead(bundle_at) OVER
                   (PARTITION BY bundle ORDER BY bundle_at, size) AS next_at
               FROM content WHERE bundle IS NOT NULL AND size > 0) c
           WHERE next_at < bundle_at + size OR EXISTS (SELECT 1 FROM dropped d
               WHERE d.bundle = c.bundle AND d.bundle_at = c.bundle_at AND d.size > 0)
           UNION ALL SELECT content_id, 'half a place' FROM content WHERE (bundle IS NULL) <> (bundle_at IS NULL)""",
    ),
    Law(
        "clean-has-version",
        "clean bytes are a version that the remote told",
        "SELECT content_id, 'no version' FROM content WHERE dirty = 0 AND version IS NULL",
    ),
    Law(
        "clean-is-told",
        "a file in the tree without pending content has clean bytes of the version that the remote told",
        f"""SELECT n.ino, coalesce(c.version, 'NULL') || ' is not ' || coalesce(i.content_version, 'NULL')
            FROM {_ITEM_OF_NODE} JOIN content c ON c.content_id = n.content_id
            WHERE (c.dirty = 1 OR c.version IS NOT i.content_version)
            AND NOT EXISTS (SELECT 1 FROM journal j WHERE j.ino = n.ino AND j.aspect = 'content')""",  # noqa: S608
    ),
)

_OUTBOX = (
    Law(
        "new-is-journalled",
        "a node in the tree that the remote does not know is in the outbox as a creation",
        """SELECT n.ino, n.name FROM node n WHERE n.item_id IS NULL AND n.parent IS NOT NULL
           AND n.kind NOT IN ('fifo', 'socket', 'char', 'block')
           AND NOT EXISTS (SELECT 1 FROM journal j WHERE j.ino = n.ino AND j.aspect = 'create')""",
    ),
    Law(
        "local-kinds-stay",
        "a pipe, socket or device is never in the outbox, and no item",
        """SELECT n.ino, n.kind FROM node n WHERE n.kind IN ('fifo', 'socket', 'char', 'block')
           AND (n.item_id IS NOT NULL OR EXISTS (SELECT 1 FROM journal j WHERE j.ino = n.ino))""",
    ),
    Law(
        "place-is-journalled",
        "a node that is elsewhere than the remote told is in the outbox with its place",
        f"""SELECT n.ino, n.name FROM {_ITEM_OF_NODE} {_FOLDER_OF_NODE} WHERE n.parent IS NOT NULL
            AND (p.item_id IS NOT i.parent_id OR n.name <> i.shown_name)
            AND NOT EXISTS (SELECT 1 FROM journal j WHERE j.ino = n.ino AND j.aspect = 'place')""",  # noqa: S608
    ),
    Law(
        "attributes-are-journalled",
        "a file whose mode or time is not what the remote told is in the outbox with them",
        f"""SELECT n.ino, n.mode || '/' || n.mtime_ns FROM {_ITEM_OF_NODE} WHERE n.kind = 'file'
            AND (n.mode <> i.mode OR n.mtime_ns <> i.mtime_ns) AND NOT EXISTS
            (SELECT 1 FROM journal j WHERE j.ino = n.ino AND j.aspect IN ('content', 'attributes'))""",  # noqa: S608
    ),
    Law(
        "xattrs-are-journalled",
        "extended attributes of a node in the tree that the remote does not have are in the outbox",
        """SELECT n.ino, x.name FROM xattr x JOIN node n ON n.ino = x.ino WHERE n.parent IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM journal j WHERE j.ino = n.ino AND j.aspect = 'xattrs')""",
    ),
    Law(
        "change-has-node",
        "a change in the outbox that is no removal is one of a node here",
        """SELECT j.ino, j.aspect FROM journal j LEFT JOIN node n ON n.ino = j.ino
           WHERE j.aspect <> 'remove' AND n.ino IS NULL""",
    ),
    Law(
        "creation-or-change",
        "what is to be created has no item; what is to be changed has the item that the row names",
        """SELECT j.ino, j.aspect FROM journal j JOIN node n ON n.ino = j.ino
           WHERE (j.aspect = 'create' AND (n.item_id IS NOT NULL OR n.parent IS NULL))
           OR (j.aspect IN ('content', 'place', 'attributes') AND (n.item_id IS NULL OR n.item_id IS NOT j.item_id))
           OR (j.aspect = 'xattrs' AND n.item_id IS NOT j.item_id)""",
    ),
    Law(
        "content-is-dirty",
        "pending content is dirty bytes",
        """SELECT j.ino, j.aspect FROM journal j JOIN node n ON n.ino = j.ino
           LEFT JOIN content c ON c.content_id = n.content_id WHERE coalesce(c.dirty, 0) = 0
           AND (j.aspect = 'content' OR (j.aspect = 'create' AND n.kind = 'file'))""",
    ),
    Law(
        "removal-has-no-node",
        "what is to be removed has no node in the tree, and its item is known or its place is",
        """SELECT j.ino, j.item_id FROM journal j LEFT JOIN item i ON i.item_id = j.item_id
           WHERE j.aspect = 'remove' AND (EXISTS (SELECT 1 FROM node n WHERE n.item_id = j.item_id)
           OR EXISTS (SELECT 1 FROM node n WHERE n.ino = j.ino AND n.parent IS NOT NULL)
           OR (j.item_id IS NOT NULL AND i.item_id IS NULL))""",
    ),
    Law(
        "generation",
        "no change was sent in a state that it has not reached",
        "SELECT ino, aspect FROM journal WHERE sent_generation > generation",
    ),
    Law(
        "nothing-runs",
        "no request is under way while nobody runs",
        "SELECT ino, aspect FROM journal WHERE state = 'running'",
        heals=True,
    ),
)

LAWS = (*_TREE, *_ITEMS, *_CONTENTS, *_OUTBOX)
