//! Which database a server keeps its tables in.

use std::path::PathBuf;

use crate::config::Settings;
use crate::sqlite::{DbError, Migrations, Sqlite};

/// The `database.*` keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseConfig {
    /// One SQLite file, which all servers of one machine may share.
    Sqlite(PathBuf),
}

impl DatabaseConfig {
    /// Reads `database.url`; a relative path counts from the config file's folder.
    pub fn read(settings: &mut Settings) -> DatabaseConfig {
        const KEY: &str = "database.url";
        let url = settings.text(KEY, "sqlite:data/tnv.db");
        match url.strip_prefix("sqlite:") {
            Some("") => settings.problem(KEY, "the file is missing: write sqlite:PATH"),
            Some(path) => return DatabaseConfig::Sqlite(settings.folder_of(KEY).join(path)),
            None => settings.problem(KEY, "unknown kind of database: write sqlite:PATH"),
        }
        DatabaseConfig::Sqlite(PathBuf::new())
    }

    /// Opens the database and brings its tables up to date.
    ///
    /// # Errors
    /// [`DbError`] if it cannot be opened, or was made by a newer version.
    pub fn open(&self, migrations: &Migrations) -> Result<Sqlite, DbError> {
        match self {
            DatabaseConfig::Sqlite(path) => Sqlite::open(path, migrations),
        }
    }
}
