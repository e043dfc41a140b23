-- The tracker's tables: which groups there are, and which group is whose.

CREATE TABLE IF NOT EXISTS t_groups_info (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    group_name  TEXT NOT NULL UNIQUE,
    create_time TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    update_time TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);

-- A user has one group for ever; the unique key decides when two trackers choose at once.
CREATE TABLE IF NOT EXISTS t_router (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    appid       TEXT NOT NULL,
    userid      TEXT NOT NULL,
    group_name  TEXT NOT NULL,
    create_time TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    update_time TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (appid, userid)
);
