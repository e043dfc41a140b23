//! Numbers in SQLite.

use async_trait::async_trait;
use tnv_common::database::DbError;
use tnv_common::sqlite::Sqlite;

use super::Steps;
use crate::allocator::Block;

/// Numbers in SQLite.
#[derive(Debug, Clone)]
pub struct SqliteSteps(
    /// The database.
    pub Sqlite,
);

#[async_trait]
impl Steps for SqliteSteps {
    async fn advance(&self, key: &str, step: u32) -> Result<Option<Block>, DbError> {
        let key = key.to_owned();
        self.0
            .write(move |tx| {
                let current: Option<i64> = rusqlite::OptionalExtension::optional(
                    tx.prepare_cached("SELECT id_value FROM t_id_gen WHERE id = ?")?
                        .query_row([&key], |row| row.get(0)),
                )?;
                let next = current.unwrap_or(0).max(0);
                let Some(end) = next.checked_add(i64::from(step)) else { return Ok(None) };
                tx.prepare_cached(
                    "INSERT INTO t_id_gen (id, id_value) VALUES (?, ?)
                     ON CONFLICT (id) DO UPDATE SET id_value = excluded.id_value, update_time = CURRENT_TIMESTAMP",
                )?
                .execute((&key, end))?;
                Ok(Some(Block { next, end }))
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{SCHEMA, contract};
    use super::*;

    fn open(folder: &tempfile::TempDir) -> SqliteSteps {
        SqliteSteps(Sqlite::open(&folder.path().join("tnv.db"), &SCHEMA).unwrap())
    }

    #[tokio::test]
    async fn sqlite_keeps_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        contract(&open(&folder)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_servers_on_one_file_never_get_the_same_block() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (open(&folder), open(&folder));
        let tasks = (0..40).map(|n| {
            let steps = if n % 2 == 0 { one.clone() } else { two.clone() };
            tokio::spawn(async move { steps.advance("k", 10).await.unwrap().unwrap().next })
        });
        let mut firsts = BTreeSet::new();
        for task in tasks.collect::<Vec<_>>() {
            assert!(firsts.insert(task.await.unwrap()));
        }
        assert_eq!(firsts.last(), Some(&390));
    }

    #[tokio::test]
    async fn numbers_end_at_the_largest() {
        let folder = tempfile::tempdir().unwrap();
        let steps = open(&folder);
        steps.advance("k", 10).await.unwrap();
        let set = |tx: &rusqlite::Connection| tx.execute("UPDATE t_id_gen SET id_value = ?", [i64::MAX - 5]);
        steps.0.write(set).await.unwrap();
        assert_eq!(steps.advance("k", 10).await.unwrap(), None);
    }
}
