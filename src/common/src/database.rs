//! The database that a server keeps its tables in: one SQLite file, or MySQL/MariaDB servers that hold the same rows.

mod config;

use std::time::Duration;

use tnv_proto::{ErrorCode, Failure};
use tokio::task::spawn_blocking;

pub use config::{DatabaseConfig, MySqlConfig, MySqlServer, Tls};

use crate::mysql::MySql;
use crate::sqlite::{CommitPolicy, Sqlite};

/// A server that starts together with its database gives it so long to come up.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// A database that cannot do what was asked. The texts are for people: they name the server and never a password.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DbError {
    /// It cannot be opened, or its tables cannot be brought up to date or are another program's.
    #[error("database {server}: {reason}")]
    Open {
        /// The file, or the address and the name of the database.
        server: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A statement or a commit failed: nothing was written.
    #[error("database {server}: {reason}")]
    Statement {
        /// The file or the address.
        server: String,
        /// What the database said.
        reason: String,
        /// Whether its disk is full.
        is_full: bool,
    },
    /// No server answers.
    #[error("no database answers: {reasons}")]
    Away {
        /// What became of each server.
        reasons: String,
        /// Whether a commit was on its way: what it asked for may have been written, or may yet be.
        in_doubt: bool,
    },
    /// The database is being closed.
    #[error("the database is closed")]
    Closed,
}

impl DbError {
    /// Whether the change that was asked for may have been made all the same, now or a little later.
    pub fn is_in_doubt(&self) -> bool {
        matches!(self, DbError::Away { in_doubt: true, .. })
    }
}

impl From<DbError> for Failure {
    /// A full disk is 507, everything else is 503: the caller may try another server or try again.
    fn from(error: DbError) -> Self {
        let code = match &error {
            DbError::Statement { is_full: true, .. } => ErrorCode::NO_SPACE,
            _ => ErrorCode::UNAVAILABLE,
        };
        Failure::new(code, error.to_string())
    }
}

/// The tables of one component, as numbered changes. In SQLite the components share a file, so each counts its own.
#[derive(Debug)]
pub struct Schema {
    /// Whose tables: `tracker`, `id` or `storage`.
    pub component: &'static str,
    /// SQL scripts; the first makes version 1, the next version 2, and so on. Landed ones never change.
    pub sqlite: &'static [&'static str],
    /// The same for MySQL. Each script begins with the name of its database, for those who run it by hand, and ends
    /// with a note of its version.
    pub mysql: &'static [&'static str],
    /// The name of the database in MySQL, where the address names none.
    pub mysql_database: &'static str,
    /// Tables and columns that the older system made: what has the names and not the columns is another program's.
    pub older: &'static [(&'static str, &'static [&'static str])],
}

/// An open database.
#[derive(Debug, Clone)]
pub enum Database {
    /// One file.
    Sqlite(Sqlite),
    /// Servers that hold the same rows.
    MySql(MySql),
}

impl DatabaseConfig {
    /// Opens the database and, unless that is switched off, brings its tables up to date. Servers that do not answer
    /// yet are waited for a little.
    ///
    /// # Errors
    /// [`DbError`] if it cannot be opened, or was made by a newer version or another program.
    pub async fn open(&self, schema: &'static Schema) -> Result<Database, DbError> {
        self.open_with(schema, CommitPolicy::Durable).await
    }

    /// The same with another policy for the commits of the embedded database; servers have their own.
    ///
    /// # Errors
    /// As [`DatabaseConfig::open`].
    pub async fn open_with(
        &self,
        schema: &'static Schema,
        policy: CommitPolicy,
    ) -> Result<Database, DbError> {
        match self {
            DatabaseConfig::Sqlite { path, max_batch } => {
                let (path, max_batch) = (path.clone(), *max_batch);
                let open = move || Sqlite::open_with(&path, schema, max_batch, policy);
                spawn_blocking(open).await.unwrap_or(Err(DbError::Closed)).map(Database::Sqlite)
            }
            DatabaseConfig::MySql(config) => {
                MySql::open(config, schema, config.migrate, START_PATIENCE).await.map(Database::MySql)
            }
        }
    }

    /// Brings the tables up to date, whatever `database.migrate` says: what was done, for people.
    ///
    /// # Errors
    /// As [`DatabaseConfig::open`].
    pub async fn migrate(&self, schema: &'static Schema) -> Result<String, DbError> {
        if let DatabaseConfig::MySql(config) = self {
            MySql::open(config, schema, true, START_PATIENCE).await?;
        } else {
            self.open(schema).await?;
        }
        Ok(format!("the {} tables are up to date in {}", schema.component, self.describe()))
    }

    /// Looks at the database without changing it: what was found, for people.
    ///
    /// # Errors
    /// [`DbError`]: what a start would stumble over.
    pub async fn check(&self, schema: &'static Schema) -> Result<String, DbError> {
        match self {
            DatabaseConfig::Sqlite { path, .. } => {
                let path = path.clone();
                spawn_blocking(move || Sqlite::check(&path, schema)).await.unwrap_or(Err(DbError::Closed))
            }
            DatabaseConfig::MySql(config) => MySql::check(config, schema).await,
        }
    }
}
