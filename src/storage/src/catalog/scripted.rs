//! A catalog whose every look at a file finds what the test says.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use tnv_common::database::DbError;
use tnv_proto::{AppId, FileKey, UserId};

use super::{Catalog, FileRow, Leftover, NewFile, Page, StorageRow};

/// Finds each of these rows in turn, and the last one ever after.
pub(crate) struct Scripted(Mutex<VecDeque<Option<FileRow>>>);

impl Scripted {
    pub(crate) fn new(finds: impl IntoIterator<Item = Option<FileRow>>) -> Scripted {
        Scripted(Mutex::new(finds.into_iter().collect()))
    }
}

#[async_trait]
impl Catalog for Scripted {
    async fn find(&self, _: &FileKey) -> Result<Option<FileRow>, DbError> {
        let mut finds = self.0.lock().unwrap();
        Ok(if finds.len() > 1 { finds.pop_front().flatten() } else { finds.front().cloned().flatten() })
    }

    async fn is_taken(&self, _: &FileKey) -> Result<bool, DbError> {
        Err(DbError::Closed)
    }

    async fn list(&self, _: &AppId, _: &UserId, _: Page) -> Result<Vec<(String, FileRow)>, DbError> {
        Err(DbError::Closed)
    }

    async fn insert(&self, _: NewFile) -> Result<bool, DbError> {
        Err(DbError::Closed)
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

    async fn register(&self, _: StorageRow) -> Result<(), DbError> {
        Err(DbError::Closed)
    }
}
