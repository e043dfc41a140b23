//! Groups and routes in the database: a user has one group for ever.

use async_trait::async_trait;
use rusqlite::OptionalExtension;
use tnv_common::sqlite::{DbError, Migrations, Sqlite};
use tnv_proto::{AppId, GroupName, UserId};

/// The tracker's tables.
pub(crate) const MIGRATIONS: Migrations =
    Migrations { component: "tracker", steps: &[include_str!("../../../sql/sqlite/tracker.sql")] };

/// Where groups and routes are kept.
#[async_trait]
pub trait Routes: Send + Sync {
    /// All groups. Names that no group can have are left out.
    async fn groups(&self) -> Result<Vec<GroupName>, DbError>;

    /// Makes a group known; one that is known already stays.
    async fn add_group(&self, group: &GroupName) -> Result<(), DbError>;

    /// The user's group, if it has one.
    async fn group_of(&self, app: &AppId, user: &UserId) -> Result<Option<GroupName>, DbError>;

    /// Gives the user this group, unless it has one by now, and returns the one it has.
    async fn assign(&self, app: &AppId, user: &UserId, group: &GroupName) -> Result<GroupName, DbError>;
}

/// Routes in SQLite.
#[derive(Debug, Clone)]
pub struct SqliteRoutes(
    /// The database.
    pub Sqlite,
);

const FIND: &str = "SELECT group_name FROM t_router WHERE appid = ? AND userid = ?";

fn valid(name: &str) -> Option<GroupName> {
    GroupName::new(name).inspect_err(|error| tracing::warn!(name, %error, "a group in the database")).ok()
}

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

/// What every [`Routes`] must do; each implementation's tests call it with an empty one.
///
/// # Panics
/// If it does not.
pub async fn contract(routes: &dyn Routes) {
    let group = |name: &str| GroupName::new(name).expect("a valid name");
    let app = AppId::new("tnvideo").expect("a valid app");
    let user = |name: &str| UserId::new(name).expect("a valid user");
    let ok = "the database answers";

    assert!(routes.groups().await.expect(ok).is_empty());
    routes.add_group(&group("group002")).await.expect(ok);
    routes.add_group(&group("group001")).await.expect(ok);
    routes.add_group(&group("group002")).await.expect(ok);
    assert_eq!(routes.groups().await.expect(ok), [group("group001"), group("group002")]);

    assert_eq!(routes.group_of(&app, &user("a")).await.expect(ok), None);
    assert_eq!(routes.assign(&app, &user("a"), &group("group001")).await.expect(ok), group("group001"));
    assert_eq!(routes.assign(&app, &user("a"), &group("group002")).await.expect(ok), group("group001"));
    assert_eq!(routes.group_of(&app, &user("a")).await.expect(ok), Some(group("group001")));

    let other = AppId::new("other").expect("a valid app");
    assert_eq!(routes.group_of(&other, &user("a")).await.expect(ok), None);
    let odd = user("'; DROP TABLE t_router; -- 会议");
    assert_eq!(routes.assign(&app, &odd, &group("group002")).await.expect(ok), group("group002"));
    assert_eq!(routes.group_of(&app, &odd).await.expect(ok), Some(group("group002")));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &tempfile::TempDir) -> SqliteRoutes {
        SqliteRoutes(Sqlite::open(&folder.path().join("tnv.db"), &MIGRATIONS).unwrap())
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
