-- The storages' tables in MySQL and MariaDB. May be run again and again: it adds what is missing, to a database of the
-- older system as well, and drops nothing.
-- On MySQL, which has no ADD ... IF NOT EXISTS, a second run by hand needs: mysql --force < sql/mysql/storage.sql

CREATE DATABASE IF NOT EXISTS tnv_storagedb DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
USE tnv_storagedb;

CREATE TABLE IF NOT EXISTS t_schema (
    component VARCHAR(16) NOT NULL PRIMARY KEY,
    version   INT UNSIGNED NOT NULL,
    serial    BIGINT UNSIGNED NOT NULL DEFAULT 0
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The columns of the older system. A user's files are in the table that a hash of the user's name chooses.
CREATE TABLE IF NOT EXISTS t_file_01 (
    id          VARCHAR(127) NOT NULL PRIMARY KEY,
    appid       VARCHAR(16) NOT NULL,
    userid      VARCHAR(255) NOT NULL,
    status      TINYINT NOT NULL DEFAULT 0,
    file_path   VARCHAR(1024) NOT NULL,
    file_size   BIGINT NOT NULL,
    create_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    update_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS t_file_02 (
    id          VARCHAR(127) NOT NULL PRIMARY KEY,
    appid       VARCHAR(16) NOT NULL,
    userid      VARCHAR(255) NOT NULL,
    status      TINYINT NOT NULL DEFAULT 0,
    file_path   VARCHAR(1024) NOT NULL,
    file_size   BIGINT NOT NULL,
    create_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    update_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS t_file_03 (
    id          VARCHAR(127) NOT NULL PRIMARY KEY,
    appid       VARCHAR(16) NOT NULL,
    userid      VARCHAR(255) NOT NULL,
    status      TINYINT NOT NULL DEFAULT 0,
    file_path   VARCHAR(1024) NOT NULL,
    file_size   BIGINT NOT NULL,
    create_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    update_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Ours beside them. They may be NULL, so that servers of the older system can go on inserting. The two listed_ columns
-- are what lists are ordered by: they are made of the others and take no room in the rows.
ALTER TABLE t_file_01 ADD COLUMN /*M! IF NOT EXISTS */ group_name VARCHAR(16) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL;
ALTER TABLE t_file_01 ADD COLUMN /*M! IF NOT EXISTS */ file_name VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL;
ALTER TABLE t_file_01 ADD COLUMN /*M! IF NOT EXISTS */ content_type VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL;
ALTER TABLE t_file_01 ADD COLUMN /*M! IF NOT EXISTS */ crc32 INT UNSIGNED NULL;
ALTER TABLE t_file_01 ADD COLUMN /*M! IF NOT EXISTS */ blake3 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL;
ALTER TABLE t_file_01 ADD COLUMN /*M! IF NOT EXISTS */ created_ms BIGINT NULL;
ALTER TABLE t_file_01 ADD COLUMN /*M! IF NOT EXISTS */ listed_ms BIGINT AS (IFNULL(created_ms, 0)) VIRTUAL;
ALTER TABLE t_file_01 ADD COLUMN /*M! IF NOT EXISTS */ listed_name VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin AS (IFNULL(file_name, '')) VIRTUAL;
ALTER TABLE t_file_01 ADD INDEX /*M! IF NOT EXISTS */ i_age (appid, userid, listed_ms, id);
ALTER TABLE t_file_01 ADD INDEX /*M! IF NOT EXISTS */ i_name (appid, userid, listed_name(191));
ALTER TABLE t_file_02 ADD COLUMN /*M! IF NOT EXISTS */ group_name VARCHAR(16) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL;
ALTER TABLE t_file_02 ADD COLUMN /*M! IF NOT EXISTS */ file_name VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL;
ALTER TABLE t_file_02 ADD COLUMN /*M! IF NOT EXISTS */ content_type VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL;
ALTER TABLE t_file_02 ADD COLUMN /*M! IF NOT EXISTS */ crc32 INT UNSIGNED NULL;
ALTER TABLE t_file_02 ADD COLUMN /*M! IF NOT EXISTS */ blake3 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL;
ALTER TABLE t_file_02 ADD COLUMN /*M! IF NOT EXISTS */ created_ms BIGINT NULL;
ALTER TABLE t_file_02 ADD COLUMN /*M! IF NOT EXISTS */ listed_ms BIGINT AS (IFNULL(created_ms, 0)) VIRTUAL;
ALTER TABLE t_file_02 ADD COLUMN /*M! IF NOT EXISTS */ listed_name VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin AS (IFNULL(file_name, '')) VIRTUAL;
ALTER TABLE t_file_02 ADD INDEX /*M! IF NOT EXISTS */ i_age (appid, userid, listed_ms, id);
ALTER TABLE t_file_02 ADD INDEX /*M! IF NOT EXISTS */ i_name (appid, userid, listed_name(191));
ALTER TABLE t_file_03 ADD COLUMN /*M! IF NOT EXISTS */ group_name VARCHAR(16) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL;
ALTER TABLE t_file_03 ADD COLUMN /*M! IF NOT EXISTS */ file_name VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL;
ALTER TABLE t_file_03 ADD COLUMN /*M! IF NOT EXISTS */ content_type VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL;
ALTER TABLE t_file_03 ADD COLUMN /*M! IF NOT EXISTS */ crc32 INT UNSIGNED NULL;
ALTER TABLE t_file_03 ADD COLUMN /*M! IF NOT EXISTS */ blake3 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL;
ALTER TABLE t_file_03 ADD COLUMN /*M! IF NOT EXISTS */ created_ms BIGINT NULL;
ALTER TABLE t_file_03 ADD COLUMN /*M! IF NOT EXISTS */ listed_ms BIGINT AS (IFNULL(created_ms, 0)) VIRTUAL;
ALTER TABLE t_file_03 ADD COLUMN /*M! IF NOT EXISTS */ listed_name VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin AS (IFNULL(file_name, '')) VIRTUAL;
ALTER TABLE t_file_03 ADD INDEX /*M! IF NOT EXISTS */ i_age (appid, userid, listed_ms, id);
ALTER TABLE t_file_03 ADD INDEX /*M! IF NOT EXISTS */ i_name (appid, userid, listed_name(191));

-- Every storage that ever joined; its id is also in the mark file of each of its store paths.
CREATE TABLE IF NOT EXISTS t_storage (
    id         VARCHAR(64) NOT NULL PRIMARY KEY,
    group_name VARCHAR(16) NOT NULL,
    host       VARCHAR(128) NOT NULL,
    address    VARCHAR(320) NOT NULL,
    state      VARCHAR(16) NOT NULL,
    created_ms BIGINT NOT NULL,
    seen_ms    BIGINT NOT NULL,
    KEY i_address (host, address)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- One row for each copy of a file's bytes: where it lies, below which store path of which storage. Its state is
-- present, pending, deleting or damaged.
CREATE TABLE IF NOT EXISTS t_copy (
    storage     VARCHAR(64) NOT NULL,
    path_index  INT UNSIGNED NOT NULL,
    path        VARCHAR(64) NOT NULL,
    file_table  TINYINT UNSIGNED NOT NULL,
    file_id     VARCHAR(127) NOT NULL,
    state       VARCHAR(8) NOT NULL,
    tries       INT UNSIGNED NOT NULL DEFAULT 0,
    next_try_ms BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (storage, path_index, path),
    KEY i_file (file_table, file_id),
    KEY i_state (storage, state, path_index, path)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO t_schema (component, version) VALUES ('storage', 1) ON DUPLICATE KEY UPDATE version = GREATEST(version, 1);
