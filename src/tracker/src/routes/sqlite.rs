//! Routes in SQLite.

use async_trait::async_trait;
use rusqlite::OptionalExtension;
use tnv_common::database::DbError;
use tnv_common::sqlite::Sqlite;
use tnv_proto::{AppId, GroupName, UserId};

use super::{Routes, valid};

/// Routes in SQLite.
#[derive(Debug, Clone)]
pub struct SqliteRoutes(
    /// The database.
    pub Sqlite,
);

const FIND: &str = "SELECT group_name FROM t_router WHERE appid = ? AND userid = ?";

#[async_trait]
impl Routes for SqliteRoutes {
    async fn groups(&self) -> Result<Vec<GroupName>, DbError> {
        let names: Vec<String> = self
            .0
            .read(|connection| {
                let mut query =
                    connection.prepare_cached("SELECT group_name FROM t_groups_info ORDER BY group_name")?;
                query.query_map([], |row| row.get(0))?.collect()
            })
            .await?;
        Ok(names.iter().filter_map(|name| valid(name)).collect())
    }

    async fn add_group(&self, group: &GroupName) -> Result<(), DbError> {
        let group = group.clone();
        self.0
            .write(move |tx| {
                tx.prepare_cached("INSERT OR IGNORE INTO t_groups_info (group_name) VALUES (?)")?
                    .execute([group.as_str()])
            })
            .await?;
        Ok(())
    }

    async fn group_of(&self, app: &AppId, user: &UserId) -> Result<Option<GroupName>, DbError> {
        let (app, user) = (app.clone(), user.clone());
        let name: Option<String> = self
            .0
            .read(move |connection| {
                let mut query = connection.prepare_cached(FIND)?;
                query.query_row([app.as_str(), user.as_str()], |row| row.get(0)).optional()
            })
            .await?;
        Ok(name.as_deref().and_then(valid))
    }

    async fn assign(&self, app: &AppId, user: &UserId, group: &GroupName) -> Result<GroupName, DbError> {
        let (app, user, wanted) = (app.clone(), user.clone(), group.clone());
        let name: String = self
            .0
            .write(move |tx| {
                tx.prepare_cached(
                    "INSERT OR IGNORE INTO t_router (appid, userid, group_name) VALUES (?, ?, ?)",
                )?
                .execute([app.as_str(), user.as_str(), wanted.as_str()])?;
                tx.prepare_cached(FIND)?.query_row([app.as_str(), user.as_str()], |row| row.get(0))
            })
            .await?;
        Ok(valid(&name).unwrap_or_else(|| group.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SCHEMA, contract};
    use super::*;

    fn open(folder: &tempfile::TempDir) -> SqliteRoutes {
        SqliteRoutes(Sqlite::open(&folder.path().join("tnv.db"), &SCHEMA).unwrap())
    }

    #[tokio::test]
    async fn sqlite_keeps_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        contract(&open(&folder)).await;
    }

    #[tokio::test]
    async fn two_trackers_that_choose_at_once_choose_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let trackers = [open(&folder), open(&folder)];
        let app = AppId::new("tnvideo").unwrap();
        for n in 0..20 {
            let user = UserId::new(&format!("user{n}")).unwrap();
            let (one, two) = (GroupName::new("group001").unwrap(), GroupName::new("group002").unwrap());
            let (a, b) =
                tokio::join!(trackers[0].assign(&app, &user, &one), trackers[1].assign(&app, &user, &two));
            assert_eq!(a.unwrap(), b.unwrap());
        }
    }
}
