-- The tracker's tables in MySQL and MariaDB: which groups there are, and which group is whose. May be run again and
-- again: it adds what is missing, to a database of the older system as well, and drops nothing.
-- On MySQL, which has no ADD ... IF NOT EXISTS, a second run by hand needs: mysql --force < sql/mysql/tracker.sql

CREATE DATABASE IF NOT EXISTS tnv_trackerdb DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
USE tnv_trackerdb;

CREATE TABLE IF NOT EXISTS t_schema (
    component VARCHAR(16) NOT NULL PRIMARY KEY,
    version   INT UNSIGNED NOT NULL,
    serial    BIGINT UNSIGNED NOT NULL DEFAULT 0
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS t_groups_info (
    id          INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    group_name  VARCHAR(16) NOT NULL,
    create_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    update_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
    UNIQUE KEY u_group (group_name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- A user has one group for ever.
CREATE TABLE IF NOT EXISTS t_router (
    id          BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    appid       VARCHAR(16) NOT NULL,
    userid      VARCHAR(255) NOT NULL,
    group_name  VARCHAR(16) NOT NULL,
    create_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    update_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO t_schema (component, version) VALUES ('tracker', 1) ON DUPLICATE KEY UPDATE version = GREATEST(version, 1);

-- The key that the older system forgot; it decides when two trackers choose at once. Rows of it that contradict each
-- other are left as they are: the first one holds, and the tracker names them at its start.
ALTER TABLE t_router ADD UNIQUE KEY /*M! IF NOT EXISTS */ u_user (appid, userid);
