//! Looking up files.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use tnv_common::batch::Execute;
use tnv_common::database::DbError;
use tnv_common::mysql::prelude::Queryable;
use tnv_common::mysql::{Conn, Error, MySql, Row, Value, Work};
use tnv_proto::FileKey;

use super::{LONGEST_LIST, column, listed};
use crate::catalog::{FileRow, Location};
use crate::layout::table_of;

/// Look-ups that go together.
pub(super) struct Finds {
    pub(super) db: MySql,
    pub(super) storage: Arc<str>,
}

#[async_trait]
impl Execute for Finds {
    type Operation = FileKey;
    type Outcome = Option<FileRow>;

    async fn execute(&self, keys: &[FileKey]) -> Result<Vec<Option<FileRow>>, DbError> {
        self.db.read(&Find { keys, storage: &self.storage }).await
    }
}

struct Find<'a> {
    keys: &'a [FileKey],
    storage: &'a str,
}

#[async_trait]
impl Work for Find<'_> {
    type Output = Vec<Option<FileRow>>;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Self::Output, Error> {
        let mut found = HashMap::new();
        for table in 1..=3 {
            let ids = ids_in(table, self.keys);
            for ids in ids.chunks(LONGEST_LIST) {
                let (marks, ids) = listed(ids);
                let query = query(table, &marks);
                let params: Vec<Value> = [self.storage.into()].into_iter().chain(ids).collect();
                for mut row in connection.exec::<Row, _, _>(query, params).await? {
                    let (id, app, user): (String, String, String) =
                        (column(&mut row, "id")?, column(&mut row, "appid")?, column(&mut row, "userid")?);
                    found.entry((table, app, user, id)).or_insert(read_row(&mut row)?);
                }
            }
        }
        // Compared here and not by the database, to whom letters that differ in case alone may be the same.
        let of = |key: &FileKey| {
            let (app, user, file) = (key.app.to_string(), key.user.to_string(), key.file.to_string());
            found.get(&(table_of(&key.user), app, user, file)).cloned()
        };
        Ok(self.keys.iter().map(of).collect())
    }
}

/// Looks up ids; the parameters are the storage and the ids.
fn query(table: u8, marks: &str) -> String {
    format!(
        "SELECT f.id, f.appid, f.userid, {COLUMNS} FROM t_file_0{table} f {COPY} WHERE f.id IN ({marks})",
        COPY = copy(table),
    )
}

/// What [`read_row`] reads, of `t_file_0N f` and [`copy`].
pub(super) const COLUMNS: &str = "f.file_size, f.file_path, f.created_ms, f.crc32, f.blake3, f.content_type,
    f.file_name, c.path_index, c.path, c.state";

/// Joins a storage's copy; the first parameter is the storage. The index is not left to the database: with statistics
/// from when the table was small it reads all copies of the storage instead of the file's few.
pub(super) fn copy(table: u8) -> String {
    format!(
        "LEFT JOIN t_copy c FORCE INDEX (i_file)
           ON c.file_table = {table} AND c.file_id = f.id AND c.storage = ? AND c.state IN ('present', 'damaged')"
    )
}

pub(super) fn read_row(row: &mut Row) -> Result<FileRow, Error> {
    let (path, blake3): (Option<String>, Option<String>) = (column(row, "path")?, column(row, "blake3")?);
    let is_ours = blake3.is_some();
    let location = match path {
        Some(path) if column::<String>(row, "state")? == "damaged" => {
            Location::Damaged { path_index: column(row, "path_index")?, path }
        }
        Some(path) => Location::Here { path_index: column(row, "path_index")?, path },
        None if is_ours => Location::Elsewhere,
        // Rows of the older system have neither checksums nor copies.
        None => Location::Written(column(row, "file_path")?),
    };
    let size: i64 = column(row, "file_size")?;
    let mut text = |name: &str| column::<Option<String>>(row, name).map(Option::unwrap_or_default);
    let (content_type, name) = (text("content_type")?, text("file_name")?);
    Ok(FileRow {
        size: u64::try_from(size).unwrap_or(0),
        created_ms: column::<Option<i64>>(row, "created_ms")?.unwrap_or(0),
        crc32: column::<Option<u32>>(row, "crc32")?.unwrap_or(0),
        blake3: blake3.unwrap_or_default(),
        content_type,
        name,
        location,
    })
}

/// Questions whether an id is taken, by whomever, that go together.
pub(super) struct Taken {
    pub(super) db: MySql,
}

#[async_trait]
impl Execute for Taken {
    type Operation = FileKey;
    type Outcome = bool;

    async fn execute(&self, keys: &[FileKey]) -> Result<Vec<bool>, DbError> {
        self.db.read(&AreTaken(keys)).await
    }
}

struct AreTaken<'a>(&'a [FileKey]);

#[async_trait]
impl Work for AreTaken<'_> {
    type Output = Vec<bool>;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Vec<bool>, Error> {
        let mut taken = HashSet::new();
        for table in 1..=3 {
            let ids = ids_in(table, self.0);
            for ids in ids.chunks(LONGEST_LIST) {
                let (marks, ids) = listed(ids);
                let query = format!("SELECT id FROM t_file_0{table} WHERE id IN ({marks})");
                let found: Vec<String> = connection.exec(query, ids).await?;
                taken.extend(found.into_iter().map(|id| (table, id)));
            }
        }
        // An id that is the same as another for the database alone shows when it is inserted.
        Ok(self.0.iter().map(|key| taken.contains(&(table_of(&key.user), key.file.to_string()))).collect())
    }
}

/// The ids of those files that are in this table.
fn ids_in(table: u8, keys: &[FileKey]) -> Vec<&str> {
    keys.iter().filter(|key| table_of(&key.user) == table).map(|key| key.file.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use tnv_common::config::Settings;
    use tnv_common::database::DatabaseConfig;
    use tnv_testbed::{MariaDb, installed};

    use super::*;
    use crate::catalog::SCHEMA;

    #[tokio::test]
    async fn a_look_up_reads_no_other_copies_whatever_the_statistics_say() {
        if !installed(&["mariadbd"]) {
            return;
        }
        let mut server = MariaDb::start();
        let mut settings = Settings::built_in("storage");
        settings.set("database.url", &server.url(), "test");
        let _tables = DatabaseConfig::read(&mut settings).open(&SCHEMA).await.unwrap();
        server.execute(
            "USE tnv_storagedb;
             INSERT INTO t_copy (storage, path_index, path, file_table, file_id, state)
               SELECT 'one', 0, CONCAT('000/000/000/', seq), 1, CONCAT('file', seq), 'present' FROM seq_1_to_3000;
             INSERT INTO t_file_01 (id, appid, userid, status, file_path, file_size)
               SELECT CONCAT('file', seq), 'a', 'u', 0, 'p', 1 FROM seq_1_to_3000;
             ANALYZE TABLE t_copy, t_file_01;
             UPDATE mysql.innodb_index_stats SET stat_value = 1
               WHERE table_name = 't_copy' AND index_name = 'i_file' AND stat_name LIKE 'n_diff%';",
        );
        server.restart();
        let query = query(1, "'file7', 'file8', 'file9'").replace('?', "'one'");
        let plan = server.query(&format!("USE tnv_storagedb; EXPLAIN {query}"));
        let of = plan.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        let keys: Vec<_> = of.filter(|line| line.get(2) == Some(&"c")).map(|line| line[5]).collect();
        assert_eq!(keys, ["i_file"], "{plan}");
    }
}
