-- What the adapter knows of an account, kept beside the catalog of the mount, and rebuilt from the server when it is lost.

CREATE TABLE entry (
    item_id     TEXT PRIMARY KEY,           -- fileid
    parent_id   TEXT,                       -- NULL: the root
    name        TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('file', 'folder')),
    size        INTEGER NOT NULL,
    mtime_s     INTEGER NOT NULL,
    etag        TEXT NOT NULL,
    upload_s    INTEGER,
    checksum    TEXT NOT NULL,
    permissions TEXT NOT NULL,
    version     TEXT,                       -- the content's token as it is told; NULL of folders
    settled     INTEGER NOT NULL,           -- 1: any later write changes the ETag
    mode        INTEGER,                    -- as set here; the server keeps none
    mtime_ns    INTEGER,                    -- as set here, true while the server tells `kept_at_s`
    kept_at_s   INTEGER,                    -- the server's time of it then
    listed_etag TEXT,                       -- of a folder: the ETag its children were listed under; NULL: never; '': to be listed
    seq         INTEGER NOT NULL,           -- its place in the feed
    gone        INTEGER NOT NULL DEFAULT 0, -- 1: a tombstone
    missing     INTEGER NOT NULL DEFAULT 0  -- 1: its folder does not list it any more; where it is has to be asked
) WITHOUT ROWID;

CREATE INDEX entry_place ON entry (parent_id, name) WHERE NOT gone;
CREATE INDEX entry_seq ON entry (seq);
CREATE INDEX entry_gone ON entry (seq) WHERE gone = 1;
CREATE INDEX entry_missing ON entry (missing) WHERE missing;
CREATE INDEX entry_changed ON entry (listed_etag) WHERE listed_etag <> etag AND NOT gone;
CREATE INDEX entry_unsettled ON entry (settled) WHERE NOT settled AND NOT gone;

CREATE TABLE upload (
    id        TEXT PRIMARY KEY, -- the folder of its chunks
    committed TEXT              -- the file it became
) WITHOUT ROWID;
