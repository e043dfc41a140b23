-- Groups whose storages keep a copy of each file each. To be run behind storage.sql; may be run again and again.
-- On MySQL, which has no ADD ... IF NOT EXISTS, a second run by hand needs: mysql --force < sql/mysql/storage-2.sql

CREATE DATABASE IF NOT EXISTS tnv_storagedb DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
USE tnv_storagedb;

-- How this storage replicates: none, shared-volume or copies. Those of a group that say copies are its members, unless
-- their state is removed; the other states are active, filling and draining.
ALTER TABLE t_storage ADD COLUMN /*M! IF NOT EXISTS */ replication VARCHAR(16) NOT NULL DEFAULT 'none';

-- The order that a storage get a copy of a file. Where it will lie is not known yet, so it is no row of t_copy. The last
-- column of i_due is there so that a storage's backlog can be told from the index alone.
CREATE TABLE IF NOT EXISTS t_pending (
    file_table  TINYINT UNSIGNED NOT NULL,
    file_id     VARCHAR(127) NOT NULL,
    storage     VARCHAR(64) NOT NULL,
    file_size   BIGINT NOT NULL,
    since_ms    BIGINT NOT NULL,
    tries       INT UNSIGNED NOT NULL DEFAULT 0,
    next_try_ms BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (file_table, file_id, storage),
    KEY i_due (storage, next_try_ms, since_ms, file_size)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO t_schema (component, version) VALUES ('storage', 2) ON DUPLICATE KEY UPDATE version = GREATEST(version, 2);
