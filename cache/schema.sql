-- The catalog of one mount. Everything here but `journal`, dirty rows of `content`, and nodes without item_id can be
-- rebuilt from the remote. Times since the epoch, unit in the name: …_ns, …_ms, …_s. Sizes: bytes.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,   -- url, root_id, anchor, boot_id, clean (1 after an orderly close), sweep (due | done),
                              -- catalog (random: tells one catalog's inode numbers from another's), push
    value TEXT NOT NULL
) STRICT;

-- The local tree: what stat and readdir tell.
CREATE TABLE node (
    ino            INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused, survives remounts
    parent         INTEGER REFERENCES node (ino),      -- NULL: the root, or a node without a name (unlinked, in limbo)
    name           TEXT    NOT NULL,                   -- as shown here (names that Linux cannot hold are escaped)
    kind           TEXT    NOT NULL
                   CHECK (kind IN ('file', 'folder', 'symlink', 'fifo', 'socket', 'char', 'block')),
    size           INTEGER NOT NULL CHECK (size >= 0),
    mode           INTEGER NOT NULL CHECK (mode BETWEEN 0 AND 4095),
    mtime_ns       INTEGER NOT NULL,
    ctime_ns       INTEGER NOT NULL,
    item_id        TEXT,                               -- NULL: the remote has never seen it
    content_id     INTEGER REFERENCES content (content_id),  -- NULL: no byte of it is here
    symlink_target TEXT,
    listed         INTEGER NOT NULL DEFAULT 0 CHECK (listed IN (0, 1)),  -- every child of this folder is here
    writable       INTEGER NOT NULL DEFAULT 1 CHECK (writable IN (0, 1)),
    uid            INTEGER,                            -- of this machine only; NULL: whoever mounts the drive
    gid            INTEGER,
    atime_ns       INTEGER,                            -- as it was set here; NULL: that of the last change
    device         INTEGER NOT NULL DEFAULT 0          -- of a character or block device
) STRICT;
-- A page of each index that a row is in is written with each new row: none is in an index by what it has not.
CREATE UNIQUE INDEX node_by_item ON node (item_id) WHERE item_id IS NOT NULL;
CREATE UNIQUE INDEX node_by_content ON node (content_id) WHERE content_id IS NOT NULL;
CREATE UNIQUE INDEX node_by_name ON node (parent, name) WHERE parent IS NOT NULL;
CREATE INDEX node_by_parent ON node (parent, ino);     -- readdir: the inode number is the cookie
CREATE INDEX node_folders ON node (parent) WHERE kind = 'folder';  -- a folder's link count, without seeing its files

-- What the remote last told of each item that has a node, a pending removal, or a name that a local node holds.
CREATE TABLE item (
    item_id          TEXT PRIMARY KEY,
    parent_id        TEXT,                             -- NULL: the root
    name             TEXT    NOT NULL,                 -- exactly as the remote tells it
    shown_name       TEXT    NOT NULL,                 -- as this machine can hold it
    kind             TEXT    NOT NULL CHECK (kind IN ('file', 'folder', 'symlink')),
    size             INTEGER NOT NULL,
    mode             INTEGER NOT NULL,
    mtime_ns         INTEGER NOT NULL,
    ctime_ns         INTEGER NOT NULL,
    content_version  TEXT,                             -- NULL: folders
    metadata_version TEXT    NOT NULL,
    digest           TEXT,                             -- 'sha-256:<hex>'
    symlink_target   TEXT,
    capabilities     TEXT    NOT NULL,                 -- space-separated
    xattrs           BLOB                              -- [[name, value], …], MessagePack; NULL: the remote keeps none
) STRICT;
CREATE INDEX item_by_place ON item (parent_id, shown_name);

-- User extended attributes that were changed here, over what the item tells; gone when the remote has them.
CREATE TABLE xattr (
    ino   INTEGER NOT NULL REFERENCES node (ino) ON DELETE CASCADE,
    name  TEXT    NOT NULL,                            -- with its namespace: user.…
    value BLOB,                                        -- NULL: removed here
    PRIMARY KEY (ino, name)
) STRICT, WITHOUT ROWID;

-- One version's bytes; the bytes themselves are in blobs/, those of small ones in blobs/bundles/.
CREATE TABLE content (
    content_id INTEGER PRIMARY KEY AUTOINCREMENT,
    ino        INTEGER NOT NULL,                       -- whose bytes; the node may have moved on to another content
    version    TEXT,                                   -- content_version of the bytes; for dirty ones: the base
    size       INTEGER NOT NULL CHECK (size >= 0),
    resident   BLOB    NOT NULL,                       -- ranges held, as cache.ranges encodes them
    held_bytes INTEGER NOT NULL CHECK (held_bytes >= 0),
    dirty      INTEGER NOT NULL CHECK (dirty IN (0, 1)),  -- holds bytes that exist nowhere else
    durable    INTEGER NOT NULL CHECK (durable IN (0, 1)),  -- the resident bytes are known to be on the disk
    last_use_s INTEGER NOT NULL,
    was_durable INTEGER NOT NULL DEFAULT 0 CHECK (was_durable IN (0, 1)), -- dirty: a state of them was on the disk once
    bundle     INTEGER,                                -- the file that it shares with others; NULL: a blob of its own
    bundle_at  INTEGER,                                -- where in it
    CHECK (dirty = 0 OR bundle IS NULL)
) STRICT;
CREATE INDEX content_bundled ON content (bundle) WHERE bundle IS NOT NULL;
CREATE INDEX content_lru ON content (last_use_s) WHERE dirty = 0 AND held_bytes > 0;
CREATE INDEX content_dirty ON content (content_id) WHERE dirty = 1;
CREATE INDEX content_unsynced ON content (content_id) WHERE durable = 0;

-- What the contents take together, so that asking costs one row however many there are. Kept by the triggers.
CREATE TABLE usage (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    contents    INTEGER NOT NULL,
    held_bytes  INTEGER NOT NULL,                      -- of all contents
    dirty_bytes INTEGER NOT NULL                       -- of those that exist nowhere else
) STRICT;
INSERT INTO usage VALUES (1, 0, 0, 0);

-- Bytes that may still be there: of contents whose row went, and in bundles that their contents left. They are deleted
-- after the commit (the latter when the content is closed), or at the next opening.
CREATE TABLE dropped (
    content_id INTEGER PRIMARY KEY,
    size       INTEGER NOT NULL,
    bundle     INTEGER,                                -- where its bytes are, as in `content`
    bundle_at  INTEGER
) STRICT;

CREATE TRIGGER content_inserted AFTER INSERT ON content BEGIN
    UPDATE usage SET contents = contents + 1, held_bytes = held_bytes + NEW.held_bytes,
                     dirty_bytes = dirty_bytes + NEW.dirty * NEW.held_bytes;
END;
CREATE TRIGGER content_changed AFTER UPDATE OF held_bytes, dirty ON content
WHEN NEW.held_bytes <> OLD.held_bytes OR NEW.dirty <> OLD.dirty BEGIN
    UPDATE usage SET held_bytes = held_bytes + NEW.held_bytes - OLD.held_bytes,
                     dirty_bytes = dirty_bytes + NEW.dirty * NEW.held_bytes - OLD.dirty * OLD.held_bytes;
END;
CREATE TRIGGER content_deleted AFTER DELETE ON content BEGIN
    UPDATE usage SET contents = contents - 1, held_bytes = held_bytes - OLD.held_bytes,
                     dirty_bytes = dirty_bytes - OLD.dirty * OLD.held_bytes;
    INSERT OR IGNORE INTO dropped VALUES (OLD.content_id, OLD.size, OLD.bundle, OLD.bundle_at);
END;

-- Items about which two pieces of news contradicted each other: to be asked for again, also after a restart, because
-- the anchor has passed the news that told of them.
CREATE TABLE doubt (
    item_id TEXT PRIMARY KEY
) STRICT;

-- The outbox: in what each node differs from the remote because of a local change. One row per node and aspect,
-- written in the transaction that makes the change visible.
CREATE TABLE journal (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    ino             INTEGER NOT NULL,
    aspect          TEXT NOT NULL CHECK (aspect IN ('create', 'content', 'place', 'attributes', 'xattrs',
                                          'remove')),
    state           TEXT NOT NULL CHECK (state IN ('pending', 'running', 'parked', 'held')),
    item_id         TEXT,                              -- NULL: the remote has no id for it yet
    base_content    TEXT,                              -- versions and place that the change was made on
    base_metadata   TEXT,
    base_parent_id  TEXT,
    base_name       TEXT,
    generation      INTEGER NOT NULL,                  -- grows with each further change
    key             TEXT NOT NULL,                     -- idempotency key of the request
    sent_generation INTEGER NOT NULL,                  -- generation that the key was used for; -1: never sent
    sent_parent_id  TEXT,                              -- the place that a creation or move without a known answer was sent to
    sent_name       TEXT,
    sent_digest     TEXT,                              -- content sent without a known answer: digests, newest last
    attempts        INTEGER NOT NULL,
    reason          TEXT,                              -- last error, or why it is parked
    not_before_ms   INTEGER NOT NULL,                  -- write-back delay, backoff: by the owner process's steady clock
    queued_at_s     INTEGER NOT NULL,
    UNIQUE (ino, aspect)
) STRICT;
-- Where a move was sent since it was last answered: the item may be there. Not in `journal`, as there may be several.
CREATE TABLE sent_move (
    seq       INTEGER NOT NULL REFERENCES journal (seq) ON DELETE CASCADE,
    parent_id TEXT NOT NULL,
    name      TEXT NOT NULL,
    PRIMARY KEY (seq, parent_id, name)
) STRICT, WITHOUT ROWID;
-- What the remote said to stand in the way of a name that a row of the outbox wants, under a name that it takes for it.
CREATE TABLE folded (
    seq     INTEGER PRIMARY KEY REFERENCES journal (seq) ON DELETE CASCADE,
    wanted  TEXT NOT NULL,
    item_id TEXT NOT NULL,
    name    TEXT NOT NULL
) STRICT;
CREATE INDEX sent_move_by_parent ON sent_move (parent_id);
CREATE INDEX journal_by_time ON journal (not_before_ms) WHERE state = 'pending';
CREATE INDEX journal_by_item ON journal (item_id) WHERE item_id IS NOT NULL;
CREATE INDEX journal_by_base ON journal (base_parent_id, base_name) WHERE base_parent_id IS NOT NULL;
CREATE INDEX journal_by_sent ON journal (sent_parent_id, sent_name) WHERE sent_parent_id IS NOT NULL;

-- Uploads in pieces that are under way: written before a byte of them travels, so that they go on after a crash.
CREATE TABLE upload (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    content_id   INTEGER UNIQUE,                       -- whose bytes; NULL: nobody's any more, the remote is to end it
    digest       TEXT    NOT NULL,                     -- of the content as it is being sent
    size         INTEGER NOT NULL CHECK (size >= 0),
    stream_bytes INTEGER NOT NULL CHECK (stream_bytes >= 0),  -- that travel
    over_item_id TEXT,                                 -- a delta: the base; NULL: the content itself travels
    over_version TEXT,
    over_size    INTEGER,
    recipe       TEXT,                                 -- a delta: identity of its pieces
    key          TEXT    NOT NULL,                     -- idempotency key of the request that begins it
    remote_id    TEXT                                  -- its name there; NULL: asked for, the answer not known
) STRICT;

-- What changed, and what was decided about it; bounded by age of row.
CREATE TABLE activity (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    at_s   INTEGER NOT NULL,
    ino    INTEGER,
    path   TEXT NOT NULL,
    what   TEXT NOT NULL,                              -- a stable word: uploaded, conflict-copy, edit-wins, …
    who    TEXT NOT NULL,                              -- here, server, engine, person; or whom the remote names
    detail TEXT NOT NULL
) STRICT;

-- Files that the remote deleted, or that another node stands for now, while they may be open here: a write through such
-- a handle brings the file back.
CREATE TABLE departed (
    ino    INTEGER PRIMARY KEY REFERENCES node (ino) ON DELETE CASCADE,
    parent INTEGER NOT NULL,                           -- where it was
    name   TEXT    NOT NULL
) STRICT;

-- Conflict copies that nobody has resolved yet.
CREATE TABLE conflict (
    ino     INTEGER PRIMARY KEY REFERENCES node (ino) ON DELETE CASCADE,  -- the copy that holds the local edit
    item_id TEXT NOT NULL,                                               -- the item that kept the name
    at_s    INTEGER NOT NULL
) STRICT;
