-- What an adapter knows of a server that keeps no feed, and often no ids: the tree as last seen, in the order of its
-- changes. It lies in the mount's state folder; losing it loses every invented id, so it is never deleted alone.

CREATE TABLE entry (
    item_id TEXT PRIMARY KEY,
    parent_id TEXT,                 -- NULL: the root
    name TEXT NOT NULL,             -- as the server tells it
    kind TEXT NOT NULL CHECK (kind IN ('file', 'folder')),
    size INTEGER NOT NULL,
    mode INTEGER NOT NULL,          -- kept here where the server keeps none
    mtime_ns INTEGER NOT NULL,      -- exact, as this machine set it, while the content is the same
    server_mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,      -- as first told: some servers tell the last change for the creation
    tag TEXT,                       -- ETag as told, weak mark included
    content INTEGER NOT NULL,       -- number of the content; a new one for every content that may differ
    digest TEXT,                    -- 'sha-256:…' of that content, if anybody knows
    settles_s REAL,                 -- the server's time after which the tag proves the content; NULL: it does
    handed_out INTEGER NOT NULL,    -- 1: its bytes are, or may be, on this machine
    permitted TEXT NOT NULL,        -- capabilities, space-separated
    native_id TEXT,                 -- the server's own id
    listed INTEGER NOT NULL,        -- folders: 1 once all children are here; only those are looked at for changes
    token TEXT,                     -- folders: the server's own position of changes in it
    seq INTEGER NOT NULL,           -- position of the last change in the feed
    gone INTEGER NOT NULL           -- 1: a tombstone
) STRICT;
CREATE UNIQUE INDEX entry_place ON entry (parent_id, name) WHERE gone = 0;
CREATE INDEX entry_seq ON entry (seq);
CREATE INDEX entry_gone ON entry (seq) WHERE gone = 1;
CREATE INDEX entry_size ON entry (size) WHERE gone = 0 AND kind = 'file';
CREATE INDEX entry_native ON entry (native_id) WHERE native_id IS NOT NULL;
CREATE INDEX entry_settles ON entry (settles_s) WHERE settles_s IS NOT NULL AND gone = 0;

CREATE TABLE passing (
    name TEXT PRIMARY KEY,          -- of an upload that has not its own name yet
    folder_id TEXT NOT NULL,        -- the folder that it is sent into
    since_s REAL NOT NULL           -- the server's time when it was sent, or last seen to be there
) STRICT;
