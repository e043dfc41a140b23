-- Groups whose storages keep a copy of each file each.

-- How this storage replicates: none, shared-volume or copies. Those of a group that say copies are its members, unless
-- their state is removed; the other states are active, filling and draining.
ALTER TABLE t_storage ADD COLUMN replication TEXT NOT NULL DEFAULT 'none';

-- The order that a storage get a copy of a file. Where it will lie is not known yet, so it is no row of t_copy.
CREATE TABLE IF NOT EXISTS t_pending (
    file_table  INTEGER NOT NULL,
    file_id     TEXT NOT NULL,
    storage     TEXT NOT NULL,
    file_size   INTEGER NOT NULL,
    since_ms    INTEGER NOT NULL,
    tries       INTEGER NOT NULL DEFAULT 0,
    next_try_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (file_table, file_id, storage)
) WITHOUT ROWID;
-- The last column is there so that a storage's backlog can be told from the index alone.
CREATE INDEX IF NOT EXISTS t_pending_due ON t_pending (storage, next_try_ms, since_ms, file_size);
