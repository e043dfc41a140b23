-- Lists of a user's files, by age and by name. Files of older servers have neither: NULL. A query that is to use these
-- indexes must write their expressions as they stand here.

CREATE INDEX IF NOT EXISTS t_file_01_by_age  ON t_file_01 (appid, userid, IFNULL(created_ms, 0), id);
CREATE INDEX IF NOT EXISTS t_file_02_by_age  ON t_file_02 (appid, userid, IFNULL(created_ms, 0), id);
CREATE INDEX IF NOT EXISTS t_file_03_by_age  ON t_file_03 (appid, userid, IFNULL(created_ms, 0), id);
CREATE INDEX IF NOT EXISTS t_file_01_by_name ON t_file_01 (appid, userid, IFNULL(file_name, ''), id);
CREATE INDEX IF NOT EXISTS t_file_02_by_name ON t_file_02 (appid, userid, IFNULL(file_name, ''), id);
CREATE INDEX IF NOT EXISTS t_file_03_by_name ON t_file_03 (appid, userid, IFNULL(file_name, ''), id);
