//! Meetings, their agendas and their files, in the database.

mod contract;
mod mysql;
mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tnv_common::database::{Database, DbError, Schema};

pub use contract::contract;
pub use mysql::MySqlMeetings;
pub use sqlite::SqliteMeetings;

/// The hub's tables.
pub static SCHEMA: Schema = Schema {
    component: "hub",
    sqlite: &[include_str!("../../../sql/sqlite/hub.sql")],
    mysql: &[include_str!("../../../sql/mysql/hub.sql")],
    mysql_database: "tnv_hubdb",
    older: &[],
};

/// The meetings in this database.
pub(crate) fn open(database: Database) -> Arc<dyn Meetings> {
    match database {
        Database::Sqlite(db) => Arc::new(SqliteMeetings(db)),
        Database::MySql(db) => Arc::new(MySqlMeetings(db)),
    }
}

/// How far a meeting has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It has not begun.
    Pending,
    /// It runs: nodes hold its package.
    Active,
    /// It is over.
    Ended,
}

impl Status {
    /// As the tables have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Active => "active",
            Status::Ended => "ended",
        }
    }

    /// What the tables mean; what they never have counts as ended.
    pub(crate) fn of(text: &str) -> Status {
        match text {
            "pending" => Status::Pending,
            "active" => Status::Active,
            _ => Status::Ended,
        }
    }
}

/// One item of an agenda.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgendaItem {
    /// What it is about.
    pub title: String,
    /// Its place in the agenda, as its author counts.
    #[serde(default)]
    pub position: i64,
    /// What else its author has written down.
    #[serde(flatten)]
    pub details: serde_json::Map<String, serde_json::Value>,
}

impl AgendaItem {
    /// As one object.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let mut item = self.details.clone();
        item.insert("title".to_owned(), self.title.as_str().into());
        item.insert("position".to_owned(), self.position.into());
        item.into()
    }
}

/// What people say of a meeting.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Subject {
    /// What it is called.
    pub title: String,
    /// When it is, in their own words.
    pub time: Option<String>,
    /// What it is about.
    pub intro: Option<String>,
    /// In the order they gave.
    pub agenda: Vec<AgendaItem>,
}

/// A meeting without its files.
#[derive(Debug, Clone, PartialEq)]
pub struct Meeting {
    /// Its id, for ever.
    pub id: String,
    /// What people say of it.
    pub subject: Subject,
    /// How far it has come.
    pub status: Status,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// When anything of it but its status changed last.
    pub changed_ms: i64,
}

/// A meeting with all of its files, as they were at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Whole {
    /// The meeting.
    pub meeting: Meeting,
    /// In the order of their paths, byte by byte.
    pub files: Vec<MeetingFile>,
}

/// One version of a file, whose bytes lie in the cluster under its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeetingFile {
    /// Its id in the cluster: no two versions have the same.
    pub id: String,
    /// The meeting it belongs to.
    pub meeting: String,
    /// Its path in the package.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its content type; empty if not known.
    pub content_type: String,
    /// The CRC32 of its bytes.
    pub crc32: u32,
    /// The BLAKE3 of its bytes as 64 hexadecimal digits.
    pub blake3: String,
    /// When it was stored, in milliseconds since 1970.
    pub created_ms: i64,
}

/// What became of a file that was to join its meeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joined {
    /// It is there now; a file of the same path is gone.
    Present,
    /// Another path there counts as the same name.
    Collides(String),
    /// The meeting has as many files as it may have.
    Full,
    /// There is no such meeting, or the file was given up meanwhile.
    Gone,
}

/// A file whose bytes are to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its id in the cluster.
    pub id: String,
    /// The meeting it belonged to.
    pub meeting: String,
}

/// A place in the order of age: lists go on behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// When the meeting was made.
    pub created_ms: i64,
    /// Its id.
    pub id: String,
}

/// Where meetings are kept. Every change is durable when it returns.
#[async_trait]
pub trait Meetings: Send + Sync {
    /// Adds a meeting without files. `false`: its id is taken.
    async fn create(&self, meeting: Meeting) -> Result<bool, DbError>;

    /// A meeting and its files, all of one moment.
    async fn find(&self, id: &str) -> Result<Option<Whole>, DbError>;

    /// Meetings without their agendas and files, the newest first, from behind `after` on.
    async fn list(&self, after: Option<&Position>, limit: u32) -> Result<Vec<Meeting>, DbError>;

    /// The ids of all meetings that run, in order.
    async fn active(&self) -> Result<Vec<String>, DbError>;

    /// Says something else of a meeting. `false`: there is none.
    async fn change(&self, id: &str, subject: Subject, now_ms: i64) -> Result<bool, DbError>;

    /// Begins or ends a meeting. `false`: there is none.
    async fn set_status(&self, id: &str, status: Status) -> Result<bool, DbError>;

    /// Removes a meeting; its files are gone. `false`: there was none.
    async fn delete(&self, id: &str, now_ms: i64) -> Result<bool, DbError>;

    /// Notes that the bytes of a file are about to be stored, so that they are found should nothing come of it.
    async fn expect_file(&self, id: &str, meeting: &str, path: &str, now_ms: i64) -> Result<(), DbError>;

    /// Adds a file whose bytes are stored to its meeting, which has at most `max_files` then. `taken` is the hash of the
    /// name as it counts for collisions. A file that cannot join is abandoned.
    async fn join(&self, file: MeetingFile, taken: &str, max_files: u32) -> Result<Joined, DbError>;

    /// Gives up a file that was expected: its bytes can be removed at once.
    async fn abandon(&self, id: &str) -> Result<(), DbError>;

    /// Removes a file from its meeting. `false`: it was not there.
    async fn remove_file(&self, meeting: &str, id: &str, now_ms: i64) -> Result<bool, DbError>;

    /// One version of a file that is present, or gone and not yet forgotten.
    async fn file(&self, id: &str) -> Result<Option<MeetingFile>, DbError>;

    /// Files that have been gone since before `gone_ms`, or expected since before `expected_ms`: up to `limit` of them, in
    /// the order of their ids, from behind the id `after` on.
    async fn leftovers(
        &self,
        gone_ms: i64,
        expected_ms: i64,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Leftover>, DbError>;

    /// Forgets files that are not present and whose bytes are removed.
    async fn forget(&self, ids: Vec<String>) -> Result<(), DbError>;
}
