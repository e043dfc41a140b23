-- The hub's tables: meetings, their agendas, and the files of their packages.

CREATE TABLE IF NOT EXISTS t_meeting (
    id         TEXT PRIMARY KEY,
    title      TEXT NOT NULL,
    time       TEXT,
    intro      TEXT,
    status     TEXT NOT NULL CHECK (status IN ('pending', 'active', 'ended')),
    revision   INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS t_meeting_by_age ON t_meeting (created_ms, id);
CREATE INDEX IF NOT EXISTS t_meeting_by_status ON t_meeting (status, id);

-- What else an item has beside its title is kept as JSON.
CREATE TABLE IF NOT EXISTS t_agenda_item (
    meeting  TEXT NOT NULL,
    place    INTEGER NOT NULL,
    position INTEGER NOT NULL,
    title    TEXT NOT NULL,
    details  TEXT NOT NULL,
    PRIMARY KEY (meeting, place)
) WITHOUT ROWID;

-- One row for each version of a file; its id is that of the bytes in the cluster, which are never written over. A file
-- is coming until it is stored, then present, and gone when it was replaced or deleted: its bytes are removed a while
-- later, and then the row. `taken` is a hash of the name as it counts for collisions, while the file is present.
CREATE TABLE IF NOT EXISTS t_meeting_file (
    id           TEXT PRIMARY KEY,
    meeting      TEXT NOT NULL,
    path         TEXT NOT NULL,
    taken        TEXT,
    size         INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    crc32        INTEGER NOT NULL,
    blake3       TEXT NOT NULL,
    created_ms   INTEGER NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('coming', 'present', 'gone')),
    state_ms     INTEGER NOT NULL,
    UNIQUE (meeting, taken)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS t_meeting_file_to_settle ON t_meeting_file (state, state_ms) WHERE state <> 'present';
