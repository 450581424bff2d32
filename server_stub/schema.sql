-- The state of one drive, version 1. Later versions are further files applied in order (see database.py).

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
-- epochs: those that starts of the server began, as JSON; root_id; seq: the newest change; floor: anchors below it are expired

CREATE TABLE items (
    item_id          TEXT PRIMARY KEY,
    parent_id        TEXT,              -- NULL: the root
    name             TEXT NOT NULL,     -- '' for the root
    kind             TEXT NOT NULL CHECK (kind IN ('file', 'folder', 'symlink')),
    size             INTEGER NOT NULL CHECK (size >= 0),
    mode             INTEGER NOT NULL CHECK (mode BETWEEN 0 AND 4095),
    created_ns       INTEGER NOT NULL,
    modified_ns      INTEGER NOT NULL,
    metadata_version TEXT NOT NULL,
    content_version  TEXT,              -- NULL: folders
    digest           TEXT,              -- hex SHA-256; NULL: not computed yet, or not a file
    symlink_target   TEXT,
    seq              INTEGER NOT NULL,  -- of the newest change of this item
    disk_ino         INTEGER,           -- evidence: what lstat said when row and tree last agreed
    disk_mtime_ns    INTEGER,
    disk_ctime_ns    INTEGER,
    disk_size        INTEGER,
    disk_birth_ns    INTEGER NOT NULL DEFAULT 0,  -- 0: the file system does not tell
    disk_marked      INTEGER NOT NULL DEFAULT 0,  -- 1: the file carries the item_id
    disk_listed      INTEGER NOT NULL DEFAULT 0,  -- of a folder, 1: its names were compared when it had this evidence
    xattrs           BLOB                -- extended attributes, JSON: name -> base64; NULL: none
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX items_by_name ON items (parent_id, name);
CREATE INDEX items_folders ON items (parent_id, name) WHERE kind = 'folder';
CREATE INDEX items_by_ino ON items (disk_ino);
CREATE INDEX items_unlisted ON items (item_id) WHERE kind = 'folder' AND disk_listed = 0;
CREATE INDEX items_undigested ON items (item_id) WHERE kind = 'file' AND digest IS NULL;
CREATE UNIQUE INDEX items_by_seq ON items (seq);
CREATE INDEX items_by_parent_seq ON items (parent_id, seq); -- the feed of one folder

-- Items whose place does not hold their file any more, until it is known whether it lies elsewhere.
CREATE TABLE missing (
    item_id   TEXT PRIMARY KEY,
    found_ino INTEGER,                  -- what lies at the place instead; NULL: nothing
    due       INTEGER NOT NULL          -- 1: noted before the walk that decides, or by it
) STRICT, WITHOUT ROWID;
CREATE INDEX missing_by_ino ON missing (found_ino) WHERE found_ino IS NOT NULL;

-- What was deleted: proof for the feed, and what the trash restores.
CREATE TABLE tombstones (
    item_id    TEXT PRIMARY KEY,
    parent_id  TEXT,
    item       BLOB NOT NULL,           -- the whole item as it was, JSON
    deleted_ns INTEGER NOT NULL,
    reason     TEXT NOT NULL,
    seq        INTEGER NOT NULL,
    lineage    TEXT NOT NULL            -- ids from the root down to the item when it was deleted, joined by '/'
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX tombstones_by_seq ON tombstones (seq);
CREATE INDEX tombstones_by_parent ON tombstones (parent_id, seq);
CREATE INDEX tombstones_by_age ON tombstones (deleted_ns, seq);

-- What can be restored: the item as it was when it was deleted. What was deleted together has one top.
CREATE TABLE trash (
    item_id         TEXT PRIMARY KEY,
    top_id          TEXT NOT NULL,
    parent_id       TEXT,
    content_version TEXT,               -- of a file: lies in the vault
    item            BLOB NOT NULL,      -- the whole item, JSON
    deleted_ns      INTEGER NOT NULL,
    seq             INTEGER NOT NULL    -- of its tombstone
) STRICT, WITHOUT ROWID;
CREATE INDEX trash_by_top ON trash (top_id);
CREATE INDEX trash_by_content ON trash (content_version) WHERE content_version IS NOT NULL;
CREATE INDEX trash_by_age ON trash (deleted_ns);
CREATE UNIQUE INDEX trash_tops ON trash (seq) WHERE item_id = top_id;

-- Moves from folder to folder: how a feed with a scope (or a token with a root) tells what left it.
CREATE TABLE departures (
    seq            INTEGER PRIMARY KEY, -- of the move
    item_id        TEXT NOT NULL,
    kind           TEXT NOT NULL,
    parent_id      TEXT NOT NULL,       -- the folder that was left
    lineage        TEXT NOT NULL,       -- ids from the root down to the item, joined by '/', before the move
    target_lineage TEXT NOT NULL,       -- and after it
    left_ns        INTEGER NOT NULL
) STRICT;
CREATE INDEX departures_by_parent ON departures (parent_id, seq);
CREATE INDEX departures_by_item ON departures (item_id, seq);
CREATE INDEX departures_by_age ON departures (left_ns, seq);

-- Older contents that lie in the vault under their version.
CREATE TABLE kept (
    content_version TEXT PRIMARY KEY,
    item_id         TEXT NOT NULL,
    size            INTEGER NOT NULL,
    digest          TEXT,
    modified_ns     INTEGER NOT NULL,
    kept_ns         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX kept_by_item ON kept (item_id, kept_ns);
CREATE INDEX kept_by_age ON kept (kept_ns);

-- Redo records: written and synced before the tree is touched, gone with the transaction that tells the change.
CREATE TABLE intents (
    intent_id INTEGER PRIMARY KEY,
    body      BLOB NOT NULL
) STRICT;

-- First answers under an idempotency key, stored with the mutation they answer.
CREATE TABLE answers (
    token_id    TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    answer      BLOB NOT NULL,
    created_ns  INTEGER NOT NULL,
    PRIMARY KEY (token_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX answers_by_age ON answers (created_ns);

-- Which item a token's root path meant when it was first used: a later rename takes the token along.
CREATE TABLE token_roots (
    token_id TEXT PRIMARY KEY,
    item_id  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Uploads: bytes lie in the vault under upload_id while the state is open or finished.
CREATE TABLE uploads (
    upload_id  TEXT PRIMARY KEY,
    token_id   TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('open', 'finished', 'committed', 'gone')),
    held_bytes INTEGER NOT NULL CHECK (held_bytes >= 0),  -- the length, or what has arrived while it is unknown
    expires_ns INTEGER NOT NULL,
    body       BLOB NOT NULL            -- the whole upload, JSON
) STRICT, WITHOUT ROWID;
CREATE INDEX uploads_by_token ON uploads (token_id, state);
CREATE INDEX uploads_by_expiry ON uploads (expires_ns);

-- Who is called after a commit, with the message that is on its way.
CREATE TABLE webhooks (
    webhook_id TEXT PRIMARY KEY,
    token_id   TEXT NOT NULL,
    body       BLOB NOT NULL            -- the whole webhook, JSON
) STRICT, WITHOUT ROWID;

-- Who changed what behind the server's back, for people to ask: no part of the feed.
CREATE TABLE activity (
    activity_id INTEGER PRIMARY KEY,
    at_ns       INTEGER NOT NULL,
    outcome     TEXT NOT NULL,          -- added, changed, moved, removed
    item_id     TEXT NOT NULL,
    path        TEXT NOT NULL,          -- below the root; of something removed, where it was
    user        TEXT,                   -- NULL: not told
    protocol    TEXT,
    machine     TEXT
) STRICT;
CREATE INDEX activity_by_item ON activity (item_id, activity_id);
CREATE INDEX activity_by_age ON activity (at_ns);

-- How many there are, so that asking costs one row. Kept by the triggers: a REPLACE tells no DELETE trigger, so what is
-- put counts only where nothing is replaced.
CREATE TABLE counts (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    items      INTEGER NOT NULL,
    tombstones INTEGER NOT NULL
) STRICT;
INSERT INTO counts VALUES (1, 0, 0);
CREATE TRIGGER items_put BEFORE INSERT ON items
WHEN NOT EXISTS (SELECT 1 FROM items WHERE item_id = NEW.item_id) BEGIN
    UPDATE counts SET items = items + 1;
END;
CREATE TRIGGER items_gone AFTER DELETE ON items BEGIN
    UPDATE counts SET items = items - 1;
END;
CREATE TRIGGER tombstones_put BEFORE INSERT ON tombstones
WHEN NOT EXISTS (SELECT 1 FROM tombstones WHERE item_id = NEW.item_id) BEGIN
    UPDATE counts SET tombstones = tombstones + 1;
END;
CREATE TRIGGER tombstones_gone AFTER DELETE ON tombstones BEGIN
    UPDATE counts SET tombstones = tombstones - 1;
END;
