//! Rows: which files there are, whose they are, and where their bytes lie.

mod contract;
mod copies;
mod mysql;
#[cfg(test)]
mod scripted;
mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tnv_common::database::{Database, DbError, Schema};
use tnv_proto::{AppId, Attributes, Checksum, FileKey, ListOrder, UserId};

use crate::config::Replication;

pub use contract::{contract, copies_contract};
pub use copies::{Backlog, CopyAt, Enlisted, LandedCopy, Member, MemberState, Membership, PendingCopy};
use copies::{FileColumns, REMOVED};
pub use mysql::MySqlCatalog;
#[cfg(test)]
pub(crate) use scripted::Scripted;
pub use sqlite::SqliteCatalog;

const FILE: &[&str] = &["id", "appid", "userid", "file_path", "file_size"];

/// The storages' tables.
pub static SCHEMA: Schema = Schema {
    component: "storage",
    sqlite: &[
        include_str!("../../../sql/sqlite/storage.sql"),
        include_str!("../../../sql/sqlite/storage-2.sql"),
        include_str!("../../../sql/sqlite/storage-3.sql"),
    ],
    mysql: &[
        include_str!("../../../sql/mysql/storage.sql"),
        include_str!("../../../sql/mysql/storage-2.sql"),
    ],
    mysql_database: "tnv_storagedb",
    older: &[("t_file_01", FILE), ("t_file_02", FILE), ("t_file_03", FILE)],
};

/// The catalog in this database, as this storage uses it.
pub(crate) fn open(database: Database, membership: Membership) -> Arc<dyn Catalog> {
    match database {
        Database::Sqlite(db) => Arc::new(SqliteCatalog::new(db, membership)),
        Database::MySql(db) => Arc::new(MySqlCatalog::new(db, membership)),
    }
}

/// Where, seen from one storage, a file's bytes lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Location {
    /// In the store path with this index, at this path below it.
    Here {
        /// The store path's index.
        path_index: u32,
        /// Below the store path.
        path: String,
    },
    /// There as well, but what lies there is not what was stored, or cannot be read: nothing is served from it.
    Damaged {
        /// The store path's index.
        path_index: u32,
        /// Below the store path.
        path: String,
    },
    /// A row of the older system: the path begins with a store path as written in the config.
    Written(String),
    /// This storage has no copy. Others have, unless all of them were removed with theirs.
    Elsewhere,
}

/// A file as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRow {
    /// Length in bytes.
    pub size: u64,
    /// When it was stored, in milliseconds since 1970; 0 in rows of the older system.
    pub created_ms: i64,
    /// The CRC32 of its bytes, where `blake3` is known.
    pub crc32: u32,
    /// The BLAKE3 of its bytes as 64 hexadecimal digits; empty in rows of the older system.
    pub blake3: String,
    /// Its content type; empty if not known.
    pub content_type: String,
    /// The name it came with; empty if not known.
    pub name: String,
    /// Where its bytes lie.
    pub location: Location,
}

impl FileRow {
    /// The BLAKE3, if it is known.
    pub fn checksum(&self) -> Checksum {
        Checksum::from_hex(&self.blake3).unwrap_or(Checksum::UNKNOWN)
    }

    /// As STAT tells it.
    pub fn attributes(&self) -> Attributes {
        Attributes {
            size: self.size,
            created_ms: self.created_ms,
            crc32: self.crc32,
            blake3: self.checksum(),
            content_type: self.content_type.clone(),
            name: self.name.clone(),
        }
    }
}

/// A file whose bytes have come in and are durable.
#[derive(Debug, Clone)]
pub struct NewFile {
    /// Whose it is, and its id.
    pub key: FileKey,
    /// The group that has it.
    pub group: String,
    /// The storage path as the older system writes it: store path, slash, path below it.
    pub file_path: String,
    /// The store path's index.
    pub path_index: u32,
    /// Below the store path.
    pub path: String,
    /// Length in bytes.
    pub size: u64,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// The CRC32 of its bytes.
    pub crc32: u32,
    /// The BLAKE3 of its bytes.
    pub blake3: Checksum,
    /// Its content type: what its owner says, else what its first bytes say.
    pub content_type: String,
    /// The name its owner gave it; empty if none.
    pub name: String,
    /// Where other storages of the group have it already, durable: nobody has to order it for them.
    pub copies: Vec<CopyAt>,
}

impl NewFile {
    /// As STAT will tell it.
    pub fn attributes(&self) -> Attributes {
        Attributes {
            size: self.size,
            created_ms: self.created_ms,
            crc32: self.crc32,
            blake3: self.blake3,
            content_type: self.content_type.clone(),
            name: self.name.clone(),
        }
    }
}

/// A place in the order of a user's files: pages begin behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// In the order of age.
    Age {
        /// When the file was stored, in milliseconds since 1970.
        created_ms: i64,
        /// Its id.
        id: String,
    },
    /// In the order of names.
    Name {
        /// The file's name.
        name: String,
        /// Its id.
        id: String,
    },
}

/// Which part of a user's files is wanted.
#[derive(Debug, Clone)]
pub struct Page {
    /// In which order.
    pub order: ListOrder,
    /// Where the page before ended; of the same order.
    pub after: Option<Position>,
    /// What names begin with.
    pub prefix: String,
    /// How many files at most.
    pub limit: usize,
}

/// A copy of a deleted file whose bytes this storage still has to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The store path's index.
    pub path_index: u32,
    /// Below the store path.
    pub path: String,
}

/// A present copy of this storage, and the file that it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnCopy {
    /// The file.
    pub key: FileKey,
    /// Its length in bytes.
    pub size: u64,
    /// The BLAKE3 of its bytes; [`Checksum::UNKNOWN`] where the row tells none.
    pub blake3: Checksum,
    /// The store path's index.
    pub path_index: u32,
    /// Below the store path.
    pub path: String,
}

/// Some of a storage's copies, and where to go on; `None`: those were the last.
pub type OwnCopies = (Vec<OwnCopy>, Option<Leftover>);

/// A storage as `t_storage` knows it.
#[derive(Debug, Clone)]
pub struct StorageRow {
    /// Its identity, a UUID.
    pub id: String,
    /// Its group.
    pub group: String,
    /// Its host name.
    pub host: String,
    /// Where it listens, or the address it advertises.
    pub address: String,
    /// How its group comes to have the same files.
    pub replication: Replication,
    /// Now, in milliseconds since 1970.
    pub seen_ms: i64,
}

/// The catalog as one storage uses it.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// The file with this key, if there is one. App, user and id must all match.
    async fn find(&self, key: &FileKey) -> Result<Option<FileRow>, DbError>;

    /// Whether the id is taken in the user's table, be it by whomever.
    async fn is_taken(&self, key: &FileKey) -> Result<bool, DbError>;

    /// A page of a user's files with their ids. Older servers' files have no name and no age: empty, and 0.
    async fn list(&self, app: &AppId, user: &UserId, page: Page) -> Result<Vec<(String, FileRow)>, DbError>;

    /// Adds a file and this storage's copy of it in one durable transaction and, if it replicates, the orders that the
    /// other members of its group get one. `false`: the id is taken, nothing was added.
    async fn insert(&self, file: NewFile) -> Result<bool, DbError>;

    /// The same for several files together: an outcome for each, in their order. What becomes of one does not touch the
    /// others. Blocks.
    fn insert_all(&self, files: Vec<NewFile>) -> Vec<Result<bool, DbError>>;

    /// Removes a file's row and all orders to copy it, and marks its copies as to be deleted, on every storage, in one
    /// durable transaction. `false`: no such file.
    /// `uncounted` is where this storage has bytes of it that no copy stands for: a row of the older system.
    async fn delete(&self, key: &FileKey, uncounted: Option<Leftover>) -> Result<bool, DbError>;

    /// Marks the copy at this place of this storage as damaged, durably. `false`: no file is served from there. If the
    /// storage replicates and another one has a present copy, it is ordered in the same transaction.
    async fn mark_damaged(&self, path_index: u32, path: &str) -> Result<bool, DbError>;

    /// Whether the copy at this place of this storage belongs to a file.
    async fn has_copy(&self, path_index: u32, path: &str) -> Result<bool, DbError>;

    /// Makes sure that no row will ever stand for the bytes at this place of this storage, unless one does already: an
    /// insert of it that is still on its way fails. Whether one does.
    async fn seal(&self, path_index: u32, path: &str) -> Result<bool, DbError>;

    /// This storage's present copies and their files, in order of their places, from behind `after` on; at least one of them
    /// is looked at, and up to `limit`.
    async fn copies(&self, after: Option<&Leftover>, limit: u32) -> Result<OwnCopies, DbError>;

    /// Up to `limit` of this storage's copies that are to be deleted, in order, from behind `after` on.
    async fn leftovers(&self, after: Option<&Leftover>, limit: u32) -> Result<Vec<Leftover>, DbError>;

    /// Forgets copies whose bytes are gone for good.
    async fn forget(&self, gone: Vec<Leftover>) -> Result<(), DbError>;

    /// The highest number of a store path that a copy of this storage lies in.
    async fn last_path_index(&self) -> Result<Option<u32>, DbError>;

    /// Whether a storage with this id has ever registered.
    async fn knows_storage(&self, id: &str) -> Result<bool, DbError>;

    /// Another storage that was last seen on this host at this address.
    async fn other_storage_at(&self, host: &str, address: &str) -> Result<Option<String>, DbError>;

    /// Writes who this storage is, where, and how it replicates, and tells its state. That stays what it was, unless
    /// the storage has only now begun to replicate: then it fills, if the group has other members.
    async fn register(&self, storage: StorageRow) -> Result<MemberState, DbError>;

    /// The members of this storage's group, itself included, in the order of their ids.
    async fn members(&self) -> Result<Vec<Member>, DbError>;

    /// The other storages with a present copy of this file.
    async fn holders(&self, key: &FileKey) -> Result<Vec<String>, DbError>;

    /// Up to `limit` of this storage's orders that are due: first those that have been for longest, then those that
    /// have waited for longest.
    async fn pending(&self, now_ms: i64, limit: u32) -> Result<Vec<PendingCopy>, DbError>;

    /// This storage's order for this file, due or not.
    async fn pending_of(&self, key: &FileKey) -> Result<Option<PendingCopy>, DbError>;

    /// Puts a copy in the place of this storage's order for it and of a damaged copy, whose bytes then are to be deleted,
    /// in one durable transaction. `false`: that file was not ordered, or is not any more, or has a copy here already; no
    /// row stands for these bytes. The same copy may be landed again.
    ///
    /// # Errors
    /// [`DbError`]; also where the place is sealed. As after an insert, a row may stand all the same if it is in doubt.
    async fn land(&self, copy: LandedCopy) -> Result<bool, DbError>;

    /// Has this storage's order for this file wait until then: it was tried once more.
    async fn postpone(&self, key: &FileKey, next_try_ms: i64) -> Result<(), DbError>;

    /// What this storage still has to get.
    async fn backlog(&self) -> Result<Backlog, DbError>;

    /// Looks at up to `limit` files behind `after` and orders those of the group that other storages have and this one
    /// lacks, in one transaction. How many were ordered, and where to go on; `None`: that was the last page.
    async fn enlist(&self, after: Option<Enlisted>, limit: u32) -> Result<(u64, Option<Enlisted>), DbError>;

    /// What the storage with this identity still has to get.
    async fn backlog_of(&self, id: &str) -> Result<Backlog, DbError>;

    /// The state of the storage with this identity, which may be removed. `None`: it never was a member of this group.
    async fn member_state(&self, id: &str) -> Result<Option<MemberState>, DbError>;

    /// Changes the state of the storage with this identity from `from` to `to`, durably. `false`: it has another one.
    async fn change_state(&self, id: &str, from: MemberState, to: MemberState) -> Result<bool, DbError>;

    /// How many files the storage with this identity has a present copy of, of which none of `others` has one. It looks
    /// at each of its copies.
    async fn only_at(&self, id: &str, others: &[String]) -> Result<u64, DbError>;

    /// Ends the membership of the storage with this identity, for good: its orders go, and its copies' rows. With `others`
    /// only if each file that it has a present copy of is also at one of these: how many are not; 0 = it is done. What
    /// it takes meanwhile is counted or fails. Cut off in between it may be asked for again.
    async fn remove_member(&self, id: &str, others: Option<&[String]>) -> Result<u64, DbError>;
}
