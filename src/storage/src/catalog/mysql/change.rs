//! Inserts and deletes.

use std::sync::Arc;

use async_trait::async_trait;
use tnv_common::batch::Execute;
use tnv_common::database::DbError;
use tnv_common::mysql::prelude::Queryable;
use tnv_common::mysql::{Conn, Error, MySql, Value, Work};
use tnv_proto::FileKey;

use super::{DUPLICATE, LONGEST_LIST, buckets, copies, listed, repeated};
use crate::catalog::{Leftover, Membership, NewFile};
use crate::layout::table_of;

/// A change of the catalog.
pub(super) enum Change {
    /// Adds a file and this storage's copy of it.
    Insert(NewFile),
    /// Removes a file and marks its copies.
    Delete {
        key: FileKey,
        /// Bytes of this storage that no copy stands for.
        uncounted: Option<Leftover>,
    },
}

/// Changes that go together in one transaction.
pub(super) struct Changes {
    pub(super) db: MySql,
    pub(super) membership: Arc<Membership>,
}

#[async_trait]
impl Execute for Changes {
    type Operation = Change;
    /// Whether the file was added, or was there to be removed.
    type Outcome = bool;

    async fn execute(&self, changes: &[Change]) -> Result<Vec<bool>, DbError> {
        self.db.write(&Apply { changes, membership: &self.membership }).await
    }
}

struct Apply<'a> {
    changes: &'a [Change],
    membership: &'a Membership,
}

/// A file to be added, and its place among the changes.
type Insert<'a> = (usize, &'a NewFile);
/// A file to be removed, and its place among the changes.
type Delete<'a> = (usize, &'a FileKey, Option<&'a Leftover>);

#[async_trait]
impl Work for Apply<'_> {
    type Output = Vec<bool>;

    async fn run(&self, connection: &mut Conn, again: bool) -> Result<Vec<bool>, Error> {
        let mut outcomes = vec![false; self.changes.len()];
        let mut added = Vec::new();
        if again {
            self.take_back_strays(connection).await?;
        }
        for table in 1..=3 {
            for inserts in buckets(&self.inserts(table)) {
                self.insert(connection, table, inserts, &mut added, &mut outcomes).await?;
            }
        }
        for added in buckets(&added) {
            self.insert_copies(connection, added).await?;
        }
        if self.membership.replicates {
            self.order_copies(connection, &added).await?;
            for (_, file) in added.iter().filter(|(_, file)| !file.copies.is_empty()) {
                copies::insert_others(connection, file).await?;
            }
        }
        added.iter().for_each(|(at, _)| outcomes[*at] = true);
        // Behind the copies: what was added just now may be removed again.
        for table in 1..=3 {
            for deletes in self.deletes(table).chunks(LONGEST_LIST) {
                self.delete(connection, table, deletes, again, &mut outcomes).await?;
            }
        }
        Ok(outcomes)
    }
}

impl Apply<'_> {
    /// What is to be added to a table. Transactions that lock rows in one order do not wait for each other in a circle.
    fn inserts(&self, table: u8) -> Vec<Insert<'_>> {
        let mut inserts: Vec<Insert<'_>> = Vec::new();
        for (at, change) in self.changes.iter().enumerate() {
            if let Change::Insert(file) = change
                && table_of(&file.key.user) == table
            {
                inserts.push((at, file));
            }
        }
        inserts.sort_by(|a, b| a.1.key.file.as_str().cmp(b.1.key.file.as_str()));
        inserts
    }

    /// What is to be removed from a table, in the same order.
    fn deletes(&self, table: u8) -> Vec<Delete<'_>> {
        let mut deletes: Vec<Delete<'_>> = Vec::new();
        for (at, change) in self.changes.iter().enumerate() {
            if let Change::Delete { key, uncounted } = change
                && table_of(&key.user) == table
            {
                deletes.push((at, key, uncounted.as_ref()));
            }
        }
        deletes.sort_by(|a, b| a.1.file.as_str().cmp(b.1.file.as_str()));
        deletes
    }

    /// Removes copies that an earlier run has left without their file: where a Galera node gives a transaction up and
    /// does not say so, its beginning is undone and the rest stands.
    async fn take_back_strays(&self, connection: &mut Conn) -> Result<(), Error> {
        for change in self.changes {
            let Change::Insert(file) = change else { continue };
            let (table, id) = (table_of(&file.key.user), file.key.file.as_str());
            let take_back = format!(
                "DELETE FROM t_copy WHERE storage = ? AND path_index = ? AND path = ? AND file_table = {table}
                 AND file_id = ? AND state = 'present'
                 AND NOT EXISTS (SELECT 1 FROM t_file_0{table} f WHERE f.id = ? AND f.file_path = ?)"
            );
            let own = (self.membership.storage.as_str(), file.path_index, file.path.as_str());
            let others = file
                .copies
                .iter()
                .map(|copy| (copy.storage.as_str(), copy.place.path_index, copy.place.path.as_str()));
            for (storage, index, path) in others.chain([own]) {
                let params = (storage, index, path, id, id, file.file_path.as_str());
                connection.exec_drop(take_back.as_str(), params).await?;
            }
        }
        Ok(())
    }

    async fn insert<'a>(
        &self,
        connection: &mut Conn,
        table: u8,
        inserts: &[Insert<'a>],
        added: &mut Vec<Insert<'a>>,
        outcomes: &mut [bool],
    ) -> Result<(), Error> {
        match insert_rows(connection, table, inserts).await {
            Ok(()) => added.extend_from_slice(inserts),
            // Some id is taken. Nothing of the statement stands; which one it is shows one by one.
            Err(error) if is_duplicate(&error) => {
                for insert in inserts {
                    match insert_rows(connection, table, std::slice::from_ref(insert)).await {
                        Ok(()) => added.push(*insert),
                        Err(error) if is_duplicate(&error) => {
                            // By this very copy, if an earlier run was committed after all.
                            outcomes[insert.0] = self.is_own(connection, table, insert.1).await?;
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn insert_copies(&self, connection: &mut Conn, files: &[Insert<'_>]) -> Result<(), Error> {
        let statement = format!(
            "INSERT INTO t_copy (storage, path_index, path, file_table, file_id, state) VALUES {}",
            repeated("(?, ?, ?, ?, ?, 'present')", files.len())
        );
        let params: Vec<Value> = files
            .iter()
            .flat_map(|(_, file)| -> [Value; 5] {
                [
                    self.membership.storage.as_str().into(),
                    file.path_index.into(),
                    file.path.as_str().into(),
                    table_of(&file.key.user).into(),
                    file.key.file.as_str().into(),
                ]
            })
            .collect();
        connection.exec_drop(statement, params).await
    }

    async fn order_copies(&self, connection: &mut Conn, files: &[Insert<'_>]) -> Result<(), Error> {
        for table in 1..=3 {
            let of_table = files.iter().filter(|(_, file)| table_of(&file.key.user) == table);
            let ids: Vec<&str> = of_table.map(|(_, file)| file.key.file.as_str()).collect();
            if !ids.is_empty() {
                copies::order(connection, self.membership, table, &ids).await?;
            }
        }
        Ok(())
    }

    async fn is_own(&self, connection: &mut Conn, table: u8, file: &NewFile) -> Result<bool, Error> {
        let query =
            "SELECT 1 FROM t_copy WHERE storage = ? AND path_index = ? AND path = ? AND file_table = ?
                     AND file_id = ? AND state = 'present'";
        let place = (
            self.membership.storage.as_str(),
            file.path_index,
            file.path.as_str(),
            table,
            file.key.file.as_str(),
        );
        let found: Option<i64> = connection.exec_first(query, place).await?;
        Ok(found.is_some())
    }

    async fn delete(
        &self,
        connection: &mut Conn,
        table: u8,
        deletes: &[Delete<'_>],
        again: bool,
        outcomes: &mut [bool],
    ) -> Result<(), Error> {
        let ids: Vec<&str> = deletes.iter().map(|(_, key, _)| key.file.as_str()).collect();
        let (marks, ids) = listed(&ids);
        let query = format!(
            "SELECT id, appid, userid FROM t_file_0{table} WHERE id IN ({marks}) ORDER BY id FOR UPDATE"
        );
        let rows: Vec<(String, String, String)> = connection.exec(query, ids).await?;
        let is_there = |key: &FileKey| {
            rows.iter().any(|(id, app, user)| {
                (id.as_str(), app.as_str(), user.as_str())
                    == (key.file.as_str(), key.app.as_str(), key.user.as_str())
            })
        };
        let mut found: Vec<&Delete<'_>> = deletes.iter().filter(|(_, key, _)| is_there(key)).collect();
        // Of two deletes of one file at once, one finds it.
        found.dedup_by(|a, b| a.1.file == b.1.file);
        if !found.is_empty() {
            self.delete_rows(connection, table, &found).await?;
        }
        for (at, _, _) in &found {
            outcomes[*at] = true;
        }
        if again {
            // What is not there was removed by the run that nobody heard of, as far as anybody can know.
            deletes.iter().for_each(|(at, _, _)| outcomes[*at] = true);
        }
        Ok(())
    }

    async fn delete_rows(
        &self,
        connection: &mut Conn,
        table: u8,
        deletes: &[&Delete<'_>],
    ) -> Result<(), Error> {
        let ids: Vec<&str> = deletes.iter().map(|(_, key, _)| key.file.as_str()).collect();
        let (marks, ids) = listed(&ids);
        let delete = format!("DELETE FROM t_file_0{table} WHERE id IN ({marks})");
        connection.exec_drop(delete, ids.clone()).await?;
        // Before the copies are marked: a copy that lands meanwhile at another node of a cluster takes an order with it.
        // Either that order is in the way of this transaction, or the copy is there already.
        copies::cancel(connection, table, &marks, ids.clone()).await?;
        let mark = format!(
            "UPDATE t_copy FORCE INDEX (i_file) SET state = 'deleting' WHERE file_table = {table} AND file_id IN ({marks})"
        );
        connection.exec_drop(mark, ids).await?;
        for (_, key, uncounted) in deletes {
            let Some(place) = uncounted else { continue };
            let add = "INSERT INTO t_copy (storage, path_index, path, file_table, file_id, state)
                       VALUES (?, ?, ?, ?, ?, 'deleting')";
            let copy = (
                self.membership.storage.as_str(),
                place.path_index,
                place.path.as_str(),
                table,
                key.file.as_str(),
            );
            match connection.exec_drop(add, copy).await {
                Err(error) if is_duplicate(&error) => {}
                outcome => outcome?,
            }
        }
        Ok(())
    }
}

async fn insert_rows(connection: &mut Conn, table: u8, files: &[Insert<'_>]) -> Result<(), Error> {
    let statement = format!(
        "INSERT INTO t_file_0{table} (id, appid, userid, status, file_path, file_size, group_name, content_type, crc32,
                                      blake3, created_ms, file_name) VALUES {}",
        repeated("(?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?)", files.len())
    );
    let params: Vec<Value> = files
        .iter()
        .flat_map(|(_, file)| -> [Value; 11] {
            [
                file.key.file.as_str().into(),
                file.key.app.as_str().into(),
                file.key.user.as_str().into(),
                file.file_path.as_str().into(),
                file.size.into(),
                file.group.as_str().into(),
                file.content_type.as_str().into(),
                file.crc32.into(),
                file.blake3.to_string().into(),
                file.created_ms.into(),
                file.name.as_str().into(),
            ]
        })
        .collect();
    connection.exec_drop(statement, params).await
}

fn is_duplicate(error: &Error) -> bool {
    matches!(error, Error::Server(error) if error.code == DUPLICATE)
}

#[cfg(test)]
mod tests {
    use tnv_common::config::Settings;
    use tnv_common::database::{Database, DatabaseConfig};
    use tnv_proto::Checksum;
    use tnv_testbed::{MariaDb, installed};

    use super::*;
    use crate::catalog::SCHEMA;

    /// As it is run when an earlier run got lost.
    struct Again<'a>(Apply<'a>);

    #[async_trait]
    impl Work for Again<'_> {
        type Output = Vec<bool>;

        async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Vec<bool>, Error> {
            self.0.run(connection, true).await
        }
    }

    #[tokio::test]
    async fn what_a_lost_run_has_left_counts_for_nothing() {
        if !installed(&["mariadbd"]) {
            return;
        }
        let server = MariaDb::start();
        let mut settings = Settings::built_in("storage");
        settings.set("database.url", &server.url(), "test");
        let Database::MySql(db) = DatabaseConfig::read(&mut settings).open(&SCHEMA).await.unwrap() else {
            unreachable!("the address is a server's")
        };
        let membership =
            Membership { storage: "one".to_owned(), group: "group001".to_owned(), replicates: true };
        let insert = |id: &str| {
            Change::Insert(NewFile {
                key: FileKey::new("tnvideo", "tnv001", id).unwrap(),
                group: "group001".to_owned(),
                file_path: format!("../data/{id}"),
                path_index: 0,
                path: id.to_owned(),
                size: 7,
                created_ms: 1,
                crc32: 0,
                blake3: Checksum([7; 32]),
                content_type: String::new(),
                name: String::new(),
                copies: Vec::new(),
            })
        };
        // Of the one the copy alone, of the other as well, while somebody else has taken its id; of the third all.
        server.execute(
            "INSERT INTO tnv_storagedb.t_copy (storage, path_index, path, file_table, file_id, state) VALUES
               ('one', 0, 'free', 2, 'free', 'present'), ('one', 0, 'taken', 2, 'taken', 'present'),
               ('one', 0, 'whole', 2, 'whole', 'present');
             INSERT INTO tnv_storagedb.t_file_02 (id, appid, userid, file_path, file_size) VALUES
               ('taken', 'tnvideo', 'tnv001', 'elsewhere', 1), ('whole', 'tnvideo', 'tnv001', '../data/whole', 7)",
        );
        let changes = [insert("free"), insert("taken"), insert("whole")];
        let again = Again(Apply { changes: &changes, membership: &membership });
        assert_eq!(db.write(&again).await.unwrap(), [true, false, true]);
        let copies = server.query("SELECT path FROM tnv_storagedb.t_copy ORDER BY path");
        assert_eq!(copies.lines().collect::<Vec<_>>(), ["free", "whole"]);
    }
}
