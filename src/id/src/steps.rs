//! Blocks of numbers from the database.

mod mysql;
mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;
use tnv_common::database::{Database, DbError, Schema};

pub use mysql::MySqlSteps;
pub use sqlite::SqliteSteps;

use crate::allocator::Block;

/// The id server's table.
pub static SCHEMA: Schema = Schema {
    component: "id",
    sqlite: &[include_str!("../../../sql/sqlite/id.sql")],
    mysql: &[include_str!("../../../sql/mysql/id.sql")],
    mysql_database: "tnv_idsdb",
    older: &[("t_id_gen", &["id", "id_value"])],
};

/// The numbers in this database.
pub(crate) fn open(database: Database) -> Arc<dyn Steps> {
    match database {
        Database::Sqlite(db) => Arc::new(SqliteSteps(db)),
        Database::MySql(db) => Arc::new(MySqlSteps(db)),
    }
}

/// Where the numbers are kept.
#[async_trait]
pub trait Steps: Send + Sync {
    /// Takes the next `step` numbers of `key` out of the database, durably, for this caller alone. `None` when there
    /// are not so many left.
    async fn advance(&self, key: &str, step: u32) -> Result<Option<Block>, DbError>;
}

/// What every [`Steps`] must do; each implementation's tests call it with an empty one.
///
/// # Panics
/// If it does not.
pub async fn contract(steps: &dyn Steps) {
    let ok = "the database answers";
    assert_eq!(steps.advance("../data", 1000).await.expect(ok), Some(Block { next: 0, end: 1000 }));
    assert_eq!(steps.advance("../data", 10).await.expect(ok), Some(Block { next: 1000, end: 1010 }));
    assert_eq!(
        steps.advance("'; DROP TABLE t_id_gen; --", 10).await.expect(ok),
        Some(Block { next: 0, end: 10 })
    );
    assert_eq!(steps.advance("../data", 10).await.expect(ok), Some(Block { next: 1010, end: 1020 }));
}
