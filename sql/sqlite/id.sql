-- The id server's table: for each key (a storage path, as text) the next number that no id server has taken.

CREATE TABLE IF NOT EXISTS t_id_gen (
    id          TEXT PRIMARY KEY,
    id_value    INTEGER NOT NULL,
    create_time TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    update_time TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
