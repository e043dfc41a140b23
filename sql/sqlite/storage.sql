-- The storages' tables. The first eight columns of t_file_xx are those of the older system; ours follow and may be
-- NULL, so that rows of either kind can be read by both.

CREATE TABLE IF NOT EXISTS t_file_01 (
    id           TEXT PRIMARY KEY,
    appid        TEXT NOT NULL,
    userid       TEXT NOT NULL,
    status       INTEGER NOT NULL DEFAULT 0,
    file_path    TEXT NOT NULL,
    file_size    INTEGER NOT NULL,
    create_time  TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    update_time  TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    group_name   TEXT,
    file_name    TEXT,
    content_type TEXT,
    crc32        INTEGER,
    blake3       TEXT,
    created_ms   INTEGER
);
CREATE TABLE IF NOT EXISTS t_file_02 (
    id           TEXT PRIMARY KEY,
    appid        TEXT NOT NULL,
    userid       TEXT NOT NULL,
    status       INTEGER NOT NULL DEFAULT 0,
    file_path    TEXT NOT NULL,
    file_size    INTEGER NOT NULL,
    create_time  TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    update_time  TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    group_name   TEXT,
    file_name    TEXT,
    content_type TEXT,
    crc32        INTEGER,
    blake3       TEXT,
    created_ms   INTEGER
);
CREATE TABLE IF NOT EXISTS t_file_03 (
    id           TEXT PRIMARY KEY,
    appid        TEXT NOT NULL,
    userid       TEXT NOT NULL,
    status       INTEGER NOT NULL DEFAULT 0,
    file_path    TEXT NOT NULL,
    file_size    INTEGER NOT NULL,
    create_time  TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    update_time  TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    group_name   TEXT,
    file_name    TEXT,
    content_type TEXT,
    crc32        INTEGER,
    blake3       TEXT,
    created_ms   INTEGER
);

-- Every storage that ever joined; its id is also in the mark file of each of its store paths.
CREATE TABLE IF NOT EXISTS t_storage (
    id         TEXT PRIMARY KEY,
    group_name TEXT NOT NULL,
    host       TEXT NOT NULL,
    address    TEXT NOT NULL,
    state      TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    seen_ms    INTEGER NOT NULL
) WITHOUT ROWID;

-- One row for each copy of a file's bytes: where it lies, below which store path of which storage.
CREATE TABLE IF NOT EXISTS t_copy (
    storage     TEXT NOT NULL,
    path_index  INTEGER NOT NULL,
    path        TEXT NOT NULL,
    file_table  INTEGER NOT NULL,
    file_id     TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('present', 'pending', 'deleting', 'damaged')),
    tries       INTEGER NOT NULL DEFAULT 0,
    next_try_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (storage, path_index, path)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS t_copy_of_file ON t_copy (file_table, file_id);
CREATE INDEX IF NOT EXISTS t_copy_to_settle ON t_copy (storage, state) WHERE state <> 'present';
