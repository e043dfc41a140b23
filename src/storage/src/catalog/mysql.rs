//! The catalog in MySQL. Under load, look-ups go together in one statement, and inserts and deletes in one transaction.

mod change;
mod copies;
mod find;
mod list;
mod members;
mod storage;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use tnv_common::batch::Batcher;
use tnv_common::clock;
use tnv_common::database::DbError;
use tnv_common::mysql::prelude::FromValue;
use tnv_common::mysql::{DriverError, Error, MySql, Row, Value};
use tnv_proto::{AppId, FileKey, UserId};
use tokio::runtime::Handle;

use self::change::{Change, Changes};
use self::copies::{BacklogOf, Clear, Enlist, Holders, Land, Own, Pending, PendingOf, Postpone};
use self::find::{Finds, Taken, read_row};
use self::list::List;
use self::members::{ChangeState, Members, OnlyAt, Register, Remove, RemoveRows, StateOf};
use self::storage::{
    Forget, HasCopy, KnowsStorage, LastPathIndex, Leftovers, MarkDamaged, OtherStorageAt, Seal,
};
use super::{
    Backlog, Catalog, Enlisted, FileRow, LandedCopy, Leftover, Member, MemberState, Membership, NewFile,
    OwnCopies, Page, PendingCopy, StorageRow,
};

/// Transactions of changes at a time: one is filled while the other is being committed. With more of them each would have
/// fewer changes, which costs more than it brings.
const CHANGE_LANES: usize = 2;
/// The same where each change has a transaction of its own. The server commits those that come together together.
const SINGLE_CHANGE_LANES: usize = 4;
/// Statements of look-ups at a time.
const FIND_LANES: usize = 4;

/// How many rows a statement adds. A statement for each number of rows would be one more to be prepared; so the rows
/// are dealt out to a few sizes.
const BUCKETS: [usize; 6] = [32, 16, 8, 4, 2, 1];
/// How many ids a statement looks for, at most.
const LONGEST_LIST: usize = 64;

/// Rows of each kind of a removed storage that go in one transaction.
const REMOVED_AT_ONCE: u64 = 1000;

/// A row that is there already.
const DUPLICATE: u16 = 1062;

/// The catalog in MySQL, as one storage uses it.
pub struct MySqlCatalog {
    db: MySql,
    storage: Arc<str>,
    membership: Arc<Membership>,
    changes: Batcher<Changes>,
    finds: Batcher<Finds>,
    taken: Batcher<Taken>,
}

impl MySqlCatalog {
    /// The catalog for this storage. Needs a runtime.
    pub fn new(db: MySql, membership: Membership) -> MySqlCatalog {
        let (storage, max_batch): (Arc<str>, _) = (membership.storage.as_str().into(), db.max_batch());
        let membership = Arc::new(membership);
        let changes = Changes { db: db.clone(), membership: membership.clone() };
        let finds = Finds { db: db.clone(), storage: storage.clone() };
        let taken = Taken { db: db.clone() };
        let change_lanes = if max_batch > 1 { CHANGE_LANES } else { SINGLE_CHANGE_LANES };
        MySqlCatalog {
            changes: Batcher::start(changes, change_lanes, max_batch),
            finds: Batcher::start(finds, FIND_LANES, max_batch),
            taken: Batcher::start(taken, FIND_LANES, max_batch),
            db,
            storage,
            membership,
        }
    }
}

/// Deals out `rows` to statements of the sizes in [`BUCKETS`].
fn buckets<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = BUCKETS.into_iter().find(|size| *size <= rows.len())?;
        let (bucket, rest) = rows.split_at(size);
        rows = rest;
        Some(bucket)
    })
}

/// Up to [`LONGEST_LIST`] ids for a statement that looks for them: its question marks and their values. The last id is
/// repeated up to one of three lengths, for the reason of [`BUCKETS`]; it is not found more often by that.
fn listed(ids: &[&str]) -> (String, Vec<Value>) {
    let length = [1, 8].into_iter().find(|length| *length >= ids.len()).unwrap_or(LONGEST_LIST);
    let mut values: Vec<Value> = ids.iter().map(|&id| id.into()).collect();
    let last = values.last().cloned().unwrap_or(Value::NULL);
    values.resize(length, last);
    (repeated("?", length), values)
}

/// `one` as often as `count` says, between commas.
fn repeated(one: &str, count: usize) -> String {
    vec![one; count].join(", ")
}

/// A column of a row; an error where its value is of another kind, which only another program's table has.
fn column<T: FromValue>(row: &mut Row, name: &str) -> Result<T, Error> {
    match row.take_opt::<T, _>(name) {
        Some(value) => value.map_err(|error| broken(error.0)),
        None => Err(broken(Value::NULL)),
    }
}

/// The error of a column that holds what it should not.
fn broken(value: Value) -> Error {
    Error::Driver(DriverError::FromValue { value })
}

#[async_trait]
impl Catalog for MySqlCatalog {
    async fn find(&self, key: &FileKey) -> Result<Option<FileRow>, DbError> {
        self.finds.run(key.clone()).await
    }

    async fn is_taken(&self, key: &FileKey) -> Result<bool, DbError> {
        self.taken.run(key.clone()).await
    }

    async fn list(&self, app: &AppId, user: &UserId, page: Page) -> Result<Vec<(String, FileRow)>, DbError> {
        self.db.read(&List { app, user, page: &page, storage: &self.storage }).await
    }

    async fn insert(&self, file: NewFile) -> Result<bool, DbError> {
        self.changes.run(Change::Insert(file)).await
    }

    fn insert_all(&self, files: Vec<NewFile>) -> Vec<Result<bool, DbError>> {
        Handle::current().block_on(join_all(files.into_iter().map(|file| self.insert(file))))
    }

    async fn delete(&self, key: &FileKey, uncounted: Option<Leftover>) -> Result<bool, DbError> {
        self.changes.run(Change::Delete { key: key.clone(), uncounted }).await
    }

    async fn mark_damaged(&self, path_index: u32, path: &str) -> Result<bool, DbError> {
        let (membership, now_ms) = (&*self.membership, clock::unix_millis());
        self.db.write(&MarkDamaged { membership, path_index, path, now_ms }).await
    }

    async fn has_copy(&self, path_index: u32, path: &str) -> Result<bool, DbError> {
        self.db.read(&HasCopy { storage: &self.storage, path_index, path }).await
    }

    async fn seal(&self, path_index: u32, path: &str) -> Result<bool, DbError> {
        self.db.write(&Seal { storage: &self.storage, path_index, path }).await
    }

    async fn copies(&self, after: Option<&Leftover>, limit: u32) -> Result<OwnCopies, DbError> {
        self.db.read(&Own { storage: &self.storage, after, limit }).await
    }

    async fn leftovers(&self, after: Option<&Leftover>, limit: u32) -> Result<Vec<Leftover>, DbError> {
        self.db.read(&Leftovers { storage: &self.storage, after, limit }).await
    }

    async fn forget(&self, gone: Vec<Leftover>) -> Result<(), DbError> {
        self.db.write(&Forget { storage: &self.storage, gone: &gone }).await
    }

    async fn last_path_index(&self) -> Result<Option<u32>, DbError> {
        self.db.read(&LastPathIndex(&self.storage)).await
    }

    async fn knows_storage(&self, id: &str) -> Result<bool, DbError> {
        self.db.read(&KnowsStorage(id)).await
    }

    async fn other_storage_at(&self, host: &str, address: &str) -> Result<Option<String>, DbError> {
        self.db.read(&OtherStorageAt { host, address, own: &self.storage }).await
    }

    async fn register(&self, storage: StorageRow) -> Result<MemberState, DbError> {
        self.db.write(&Register(&storage)).await
    }

    async fn members(&self) -> Result<Vec<Member>, DbError> {
        self.db.read(&Members(&self.membership.group)).await
    }

    async fn holders(&self, key: &FileKey) -> Result<Vec<String>, DbError> {
        self.db.read(&Holders { key, storage: &self.storage }).await
    }

    async fn pending(&self, now_ms: i64, limit: u32) -> Result<Vec<PendingCopy>, DbError> {
        let storage = &*self.storage;
        let (pending, orphans) = self.db.read(&Pending { storage, now_ms, limit }).await?;
        if !orphans.is_empty() {
            self.db.write(&Clear { storage, orphans: &orphans }).await?;
        }
        Ok(pending)
    }

    async fn pending_of(&self, key: &FileKey) -> Result<Option<PendingCopy>, DbError> {
        self.db.read(&PendingOf { key, storage: &self.storage }).await
    }

    async fn land(&self, copy: LandedCopy) -> Result<bool, DbError> {
        self.db.write(&Land { copy: &copy, storage: &self.storage }).await
    }

    async fn postpone(&self, key: &FileKey, next_try_ms: i64) -> Result<(), DbError> {
        self.db.write(&Postpone { key, storage: &self.storage, next_try_ms }).await
    }

    async fn backlog(&self) -> Result<Backlog, DbError> {
        self.db.read(&BacklogOf(&self.storage)).await
    }

    async fn enlist(&self, after: Option<Enlisted>, limit: u32) -> Result<(u64, Option<Enlisted>), DbError> {
        let after = after.unwrap_or(Enlisted::START);
        let (membership, now_ms) = (&*self.membership, clock::unix_millis());
        self.db.write(&Enlist { membership, after, limit, now_ms }).await
    }

    async fn backlog_of(&self, id: &str) -> Result<Backlog, DbError> {
        self.db.read(&BacklogOf(id)).await
    }

    async fn member_state(&self, id: &str) -> Result<Option<MemberState>, DbError> {
        self.db.read(&StateOf { storage: id, group: &self.membership.group }).await
    }

    async fn change_state(&self, id: &str, from: MemberState, to: MemberState) -> Result<bool, DbError> {
        self.db.write(&ChangeState { storage: id, from, to }).await
    }

    async fn only_at(&self, id: &str, others: &[String]) -> Result<u64, DbError> {
        self.db.read(&OnlyAt { storage: id, others }).await
    }

    async fn remove_member(&self, id: &str, others: Option<&[String]>) -> Result<u64, DbError> {
        let only_there = self.db.write(&Remove { storage: id, others }).await?;
        if only_there == 0 {
            while !self.db.write(&RemoveRows { storage: id, limit: REMOVED_AT_ONCE }).await? {}
        }
        Ok(only_there)
    }
}

#[cfg(test)]
mod tests;
