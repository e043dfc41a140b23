-- The hub's tables in MySQL and MariaDB: meetings, their agendas, and the files of their packages. May be run again and
-- again: it adds what is missing, and drops nothing.

CREATE DATABASE IF NOT EXISTS tnv_hubdb DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
USE tnv_hubdb;

CREATE TABLE IF NOT EXISTS t_schema (
    component VARCHAR(16) NOT NULL PRIMARY KEY,
    version   INT UNSIGNED NOT NULL,
    serial    BIGINT UNSIGNED NOT NULL DEFAULT 0
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS t_meeting (
    id         VARCHAR(64) NOT NULL PRIMARY KEY,
    title      VARCHAR(1024) NOT NULL,
    time       VARCHAR(255) NULL,
    intro      MEDIUMTEXT NULL,
    status     VARCHAR(8) NOT NULL,
    revision   BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL,
    KEY i_age (created_ms, id),
    KEY i_status (status, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What else an item has beside its title is kept as JSON.
CREATE TABLE IF NOT EXISTS t_agenda_item (
    meeting  VARCHAR(64) NOT NULL,
    place    INT NOT NULL,
    position BIGINT NOT NULL,
    title    VARCHAR(1024) NOT NULL,
    details  MEDIUMTEXT NOT NULL,
    PRIMARY KEY (meeting, place)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- One row for each version of a file; its id is that of the bytes in the cluster, which are never written over. A file
-- is coming until it is stored, then present, and gone when it was replaced or deleted: its bytes are removed a while
-- later, and then the row. `taken` is a hash of the name as it counts for collisions, while the file is present.
CREATE TABLE IF NOT EXISTS t_meeting_file (
    id           VARCHAR(127) NOT NULL PRIMARY KEY,
    meeting      VARCHAR(64) NOT NULL,
    path         VARCHAR(1024) NOT NULL,
    taken        CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    size         BIGINT NOT NULL,
    content_type VARCHAR(128) NOT NULL,
    crc32        INT UNSIGNED NOT NULL,
    blake3       CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_ms   BIGINT NOT NULL,
    state        VARCHAR(8) NOT NULL,
    state_ms     BIGINT NOT NULL,
    UNIQUE KEY u_taken (meeting, taken),
    KEY i_state (state, state_ms)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO t_schema (component, version) VALUES ('hub', 1) ON DUPLICATE KEY UPDATE version = GREATEST(version, 1);
