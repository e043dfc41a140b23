-- The id server's table in MySQL and MariaDB: for each key (a storage path, as text) the next number that no id server
-- has taken. May be run again and again, on a database of the older system as well, and drops nothing.

CREATE DATABASE IF NOT EXISTS tnv_idsdb DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
USE tnv_idsdb;

CREATE TABLE IF NOT EXISTS t_schema (
    component VARCHAR(16) NOT NULL PRIMARY KEY,
    version   INT UNSIGNED NOT NULL,
    serial    BIGINT UNSIGNED NOT NULL DEFAULT 0
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS t_id_gen (
    id          VARCHAR(64) NOT NULL PRIMARY KEY,
    id_value    BIGINT NOT NULL,
    create_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    update_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO t_schema (component, version) VALUES ('id', 1) ON DUPLICATE KEY UPDATE version = GREATEST(version, 1);
