//! Meetings in MySQL.

mod change;
mod find;

use async_trait::async_trait;
use tnv_common::database::DbError;
use tnv_common::mysql::prelude::FromValue;
use tnv_common::mysql::{DriverError, Error, MySql, Row, Value};

use self::change::{Abandon, Change, Create, Delete, Expect, Forget, Join, Remove, SetStatus};
use self::find::{Active, Find, FindFile, Leftovers, List};
use super::{Joined, Leftover, Meeting, MeetingFile, Meetings, Position, Status, Subject, Whole};

/// Meetings in MySQL.
#[derive(Debug, Clone)]
pub struct MySqlMeetings(
    /// The database.
    pub MySql,
);

/// A column of a row; an error where its value is of another kind, which only another program's table has.
fn column<T: FromValue>(row: &mut Row, name: &str) -> Result<T, Error> {
    let broken = |value| Error::Driver(DriverError::FromValue { value });
    match row.take_opt::<T, _>(name) {
        Some(value) => value.map_err(|error| broken(error.0)),
        None => Err(broken(Value::NULL)),
    }
}

#[async_trait]
impl Meetings for MySqlMeetings {
    async fn create(&self, meeting: Meeting) -> Result<bool, DbError> {
        self.0.write(&Create(&meeting)).await
    }

    async fn find(&self, id: &str) -> Result<Option<Whole>, DbError> {
        self.0.read(&Find(id)).await
    }

    async fn list(&self, after: Option<&Position>, limit: u32) -> Result<Vec<Meeting>, DbError> {
        self.0.read(&List { after, limit }).await
    }

    async fn active(&self) -> Result<Vec<String>, DbError> {
        self.0.read(&Active).await
    }

    async fn change(&self, id: &str, subject: Subject, now_ms: i64) -> Result<bool, DbError> {
        self.0.write(&Change { id, subject: &subject, now_ms }).await
    }

    async fn set_status(&self, id: &str, status: Status) -> Result<bool, DbError> {
        self.0.write(&SetStatus { id, status }).await
    }

    async fn delete(&self, id: &str, now_ms: i64) -> Result<bool, DbError> {
        self.0.write(&Delete { id, now_ms }).await
    }

    async fn expect_file(&self, id: &str, meeting: &str, path: &str, now_ms: i64) -> Result<(), DbError> {
        self.0.write(&Expect { id, meeting, path, now_ms }).await
    }

    async fn join(&self, file: MeetingFile, taken: &str, max_files: u32) -> Result<Joined, DbError> {
        self.0.write(&Join { file: &file, taken, max_files }).await
    }

    async fn abandon(&self, id: &str) -> Result<(), DbError> {
        self.0.write(&Abandon(id)).await
    }

    async fn remove_file(&self, meeting: &str, id: &str, now_ms: i64) -> Result<bool, DbError> {
        self.0.write(&Remove { meeting, id, now_ms }).await
    }

    async fn file(&self, id: &str) -> Result<Option<MeetingFile>, DbError> {
        self.0.read(&FindFile(id)).await
    }

    async fn leftovers(
        &self,
        gone_ms: i64,
        expected_ms: i64,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Leftover>, DbError> {
        self.0.read(&Leftovers { gone_ms, expected_ms, after, limit }).await
    }

    async fn forget(&self, ids: Vec<String>) -> Result<(), DbError> {
        self.0.write(&Forget(&ids)).await
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tnv_common::config::Settings;
    use tnv_common::database::{Database, DatabaseConfig};
    use tnv_testbed::{Galera, MariaDb, installed};

    use super::super::{SCHEMA, contract};
    use super::*;

    async fn open(server: &MariaDb) -> MySqlMeetings {
        let mut settings = Settings::built_in("hub");
        settings.set("database.url", &server.url(), "test");
        match DatabaseConfig::read(&mut settings).open(&SCHEMA).await.unwrap() {
            Database::MySql(db) => MySqlMeetings(db),
            Database::Sqlite(_) => unreachable!("the address is a server's"),
        }
    }

    #[tokio::test]
    async fn mysql_keeps_the_contract() {
        if installed(&["mariadbd"]) {
            contract(&open(&MariaDb::start()).await).await;
        }
    }

    #[tokio::test]
    async fn the_nodes_of_a_galera_cluster_keep_the_contract() {
        if installed(Galera::PROGRAMS) {
            contract(&open(Galera::start(2).node(0)).await).await;
        }
    }

    #[tokio::test]
    async fn the_script_may_be_run_by_hand_twice() {
        if !installed(&["mariadbd"]) {
            return;
        }
        let server = MariaDb::start();
        for _ in 0..2 {
            server.load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sql/mysql/hub.sql"));
        }
        contract(&open(&server).await).await;
    }
}
