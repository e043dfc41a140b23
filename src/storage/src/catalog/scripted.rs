//! A catalog whose every look at a file finds what the test says.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use tnv_common::database::DbError;
use tnv_proto::{AppId, FileKey, UserId};

use super::{
    Backlog, Catalog, Enlisted, FileRow, LandedCopy, Leftover, Member, MemberState, NewFile, OwnCopies, Page,
    PendingCopy, StorageRow,
};

type Insert = Box<dyn Fn(&NewFile) -> Result<bool, DbError> + Send + Sync>;

/// Finds each of these rows in turn, and the last one ever after.
pub(crate) struct Scripted {
    finds: Mutex<VecDeque<Option<FileRow>>>,
    insert: Insert,
}

impl Scripted {
    pub(crate) fn new(finds: impl IntoIterator<Item = Option<FileRow>>) -> Scripted {
        let finds = Mutex::new(finds.into_iter().collect());
        Scripted { finds, insert: Box::new(|_| Err(DbError::Closed)) }
    }

    /// The same with something to say of new files.
    pub(crate) fn with_inserts(
        self,
        insert: impl Fn(&NewFile) -> Result<bool, DbError> + Send + Sync + 'static,
    ) -> Scripted {
        Scripted { insert: Box::new(insert), ..self }
    }
}

#[async_trait]
impl Catalog for Scripted {
    /// Others have a turn before the answer comes.
    async fn find(&self, _: &FileKey) -> Result<Option<FileRow>, DbError> {
        let found = {
            let mut finds = self.finds.lock().unwrap();
            if finds.len() > 1 { finds.pop_front().flatten() } else { finds.front().cloned().flatten() }
        };
        tokio::task::yield_now().await;
        Ok(found)
    }

    async fn is_taken(&self, _: &FileKey) -> Result<bool, DbError> {
        Err(DbError::Closed)
    }

    async fn list(&self, _: &AppId, _: &UserId, _: Page) -> Result<Vec<(String, FileRow)>, DbError> {
        Err(DbError::Closed)
    }

    async fn insert(&self, file: NewFile) -> Result<bool, DbError> {
        (self.insert)(&file)
    }

    fn insert_all(&self, files: Vec<NewFile>) -> Vec<Result<bool, DbError>> {
        files.iter().map(&self.insert).collect()
    }

    async fn delete(&self, _: &FileKey, _: Option<Leftover>) -> Result<bool, DbError> {
        Err(DbError::Closed)
    }

    async fn mark_damaged(&self, _: u32, _: &str) -> Result<bool, DbError> {
        Ok(true)
    }

    async fn has_copy(&self, _: u32, _: &str) -> Result<bool, DbError> {
        Err(DbError::Closed)
    }

    async fn seal(&self, _: u32, _: &str) -> Result<bool, DbError> {
        Err(DbError::Closed)
    }

    async fn copies(&self, _: Option<&Leftover>, _: u32) -> Result<OwnCopies, DbError> {
        Err(DbError::Closed)
    }

    async fn leftovers(&self, _: Option<&Leftover>, _: u32) -> Result<Vec<Leftover>, DbError> {
        Err(DbError::Closed)
    }

    async fn forget(&self, _: Vec<Leftover>) -> Result<(), DbError> {
        Err(DbError::Closed)
    }

    async fn last_path_index(&self) -> Result<Option<u32>, DbError> {
        Err(DbError::Closed)
    }

    async fn knows_storage(&self, _: &str) -> Result<bool, DbError> {
        Err(DbError::Closed)
    }

    async fn other_storage_at(&self, _: &str, _: &str) -> Result<Option<String>, DbError> {
        Err(DbError::Closed)
    }

    async fn register(&self, _: StorageRow) -> Result<MemberState, DbError> {
        Err(DbError::Closed)
    }

    async fn members(&self) -> Result<Vec<Member>, DbError> {
        Err(DbError::Closed)
    }

    async fn holders(&self, _: &FileKey) -> Result<Vec<String>, DbError> {
        Err(DbError::Closed)
    }

    async fn pending(&self, _: i64, _: u32) -> Result<Vec<PendingCopy>, DbError> {
        Err(DbError::Closed)
    }

    async fn pending_of(&self, _: &FileKey) -> Result<Option<PendingCopy>, DbError> {
        Err(DbError::Closed)
    }

    async fn land(&self, _: LandedCopy) -> Result<bool, DbError> {
        Err(DbError::Closed)
    }

    async fn postpone(&self, _: &FileKey, _: i64) -> Result<(), DbError> {
        Err(DbError::Closed)
    }

    async fn backlog(&self) -> Result<Backlog, DbError> {
        Err(DbError::Closed)
    }

    async fn enlist(&self, _: Option<Enlisted>, _: u32) -> Result<(u64, Option<Enlisted>), DbError> {
        Err(DbError::Closed)
    }

    async fn backlog_of(&self, _: &str) -> Result<Backlog, DbError> {
        Err(DbError::Closed)
    }

    async fn member_state(&self, _: &str) -> Result<Option<MemberState>, DbError> {
        Err(DbError::Closed)
    }

    async fn change_state(&self, _: &str, _: MemberState, _: MemberState) -> Result<bool, DbError> {
        Err(DbError::Closed)
    }

    async fn only_at(&self, _: &str, _: &[String]) -> Result<u64, DbError> {
        Err(DbError::Closed)
    }

    async fn remove_member(&self, _: &str, _: Option<&[String]>) -> Result<u64, DbError> {
        Err(DbError::Closed)
    }
}
