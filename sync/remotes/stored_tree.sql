-- What every stored tree has beside its rows: see stored_tree.py.

CREATE TABLE fact (
    name TEXT PRIMARY KEY,  -- epoch: of this file, in every anchor · seq: the newest number · floor: the oldest that is served
    value TEXT NOT NULL     -- lost_epoch: of data that the server lost · and whatever else an adapter found out
) STRICT;

CREATE TABLE sent (
    key TEXT PRIMARY KEY,   -- idempotency key of a mutation
    request TEXT NOT NULL,  -- digest of what was asked: a key is for one request
    answer TEXT             -- id of the item that was answered, '' when there was none; NULL: the answer is not known
) STRICT;
