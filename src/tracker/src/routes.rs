//! Groups and routes in the database: a user has one group for ever.

mod mysql;
mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;
use tnv_common::database::{Database, DbError, Schema};
use tnv_proto::{AppId, GroupName, UserId};

pub use mysql::MySqlRoutes;
pub use sqlite::SqliteRoutes;

/// The tracker's tables.
pub static SCHEMA: Schema = Schema {
    component: "tracker",
    sqlite: &[include_str!("../../../sql/sqlite/tracker.sql")],
    mysql: &[include_str!("../../../sql/mysql/tracker.sql")],
    mysql_database: "tnv_trackerdb",
    older: &[
        ("t_groups_info", &["id", "group_name"]),
        ("t_router", &["id", "appid", "userid", "group_name"]),
    ],
};

/// The routes in this database.
///
/// # Errors
/// [`DbError`] if it does not answer.
pub(crate) async fn open(database: Database) -> Result<Arc<dyn Routes>, DbError> {
    Ok(match database {
        Database::Sqlite(db) => Arc::new(SqliteRoutes(db)),
        Database::MySql(db) => Arc::new(MySqlRoutes::open(db).await?),
    })
}

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

fn valid(name: &str) -> Option<GroupName> {
    GroupName::new(name).inspect_err(|error| tracing::warn!(name, %error, "a group in the database")).ok()
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
