//! Routes in MySQL.

use async_trait::async_trait;
use tnv_common::database::DbError;
use tnv_common::mysql::prelude::Queryable;
use tnv_common::mysql::{Conn, Error, MySql, Work};
use tnv_proto::{AppId, GroupName, UserId};

use super::{Routes, valid};

/// A row that is there already.
const DUPLICATE: u16 = 1062;
/// Contradictions that are named at the start, at most.
const SHOWN: usize = 10;

/// Routes in MySQL.
#[derive(Debug, Clone)]
pub struct MySqlRoutes {
    db: MySql,
    /// Whether the table itself keeps a user from having two groups.
    is_unique: bool,
}

impl MySqlRoutes {
    /// The routes in this database. Where rows of the older system contradict each other, so that the table cannot
    /// have its unique key, they are named in the log.
    ///
    /// # Errors
    /// [`DbError`] if the database does not answer.
    pub async fn open(db: MySql) -> Result<MySqlRoutes, DbError> {
        let (is_unique, contradictions) = db.read(&Inspect).await?;
        if !is_unique {
            tracing::warn!(
                users = contradictions.join(", "),
                "t_router has no unique key (appid, userid), for these users have several rows, of which the first \
                 holds; delete the others and run the tracker with --migrate"
            );
        }
        Ok(MySqlRoutes { db, is_unique })
    }
}

/// Whether t_router has its unique key, and else why it has not.
struct Inspect;

#[async_trait]
impl Work for Inspect {
    type Output = (bool, Vec<String>);

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Self::Output, Error> {
        let keys: Vec<String> = connection
            .query(
                "SELECT index_name FROM information_schema.statistics
                 WHERE table_schema = DATABASE() AND table_name = 't_router' AND non_unique = 0
                 GROUP BY index_name
                 HAVING SUM(column_name = 'appid') = 1 AND SUM(column_name = 'userid') = 1 AND COUNT(*) = 2",
            )
            .await?;
        if !keys.is_empty() {
            return Ok((true, Vec::new()));
        }
        let twice = "SELECT appid, userid, GROUP_CONCAT(group_name ORDER BY id) FROM t_router
                     GROUP BY appid, userid HAVING COUNT(*) > 1 ORDER BY appid, userid LIMIT ?";
        let twice: Vec<(String, String, String)> = connection.exec(twice, (SHOWN,)).await?;
        Ok((false, twice.into_iter().map(|(app, user, groups)| format!("{app}/{user}: {groups}")).collect()))
    }
}

struct Groups;

#[async_trait]
impl Work for Groups {
    type Output = Vec<String>;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Vec<String>, Error> {
        connection.exec("SELECT DISTINCT group_name FROM t_groups_info ORDER BY group_name", ()).await
    }
}

struct AddGroup<'a>(&'a str);

#[async_trait]
impl Work for AddGroup<'_> {
    type Output = ();

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<(), Error> {
        // An older table may be without its unique key.
        let add = "INSERT INTO t_groups_info (group_name)
                   SELECT ? FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM t_groups_info WHERE group_name = ?)";
        match connection.exec_drop(add, (self.0, self.0)).await {
            Err(Error::Server(error)) if error.code == DUPLICATE => Ok(()),
            outcome => outcome,
        }
    }
}

struct Find<'a> {
    app: &'a str,
    user: &'a str,
}

#[async_trait]
impl Work for Find<'_> {
    type Output = Option<String>;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Option<String>, Error> {
        // Of several rows, which only an older table has, the first holds.
        let find = "SELECT group_name FROM t_router WHERE appid = ? AND userid = ? ORDER BY id LIMIT 1";
        connection.exec_first(find, (self.app, self.user)).await
    }
}

struct Assign<'a> {
    of: Find<'a>,
    group: &'a str,
    is_unique: bool,
}

#[async_trait]
impl Work for Assign<'_> {
    type Output = String;

    async fn run(&self, connection: &mut Conn, again: bool) -> Result<String, Error> {
        if !self.is_unique {
            // What the key would do: of those that choose at once, one waits or fails and begins again.
            connection
                .query_drop("UPDATE t_schema SET serial = serial + 1 WHERE component = 'tracker'")
                .await?;
        }
        if let Some(group) = self.of.run(connection, again).await? {
            return Ok(group);
        }
        let assign = "INSERT INTO t_router (appid, userid, group_name) VALUES (?, ?, ?)";
        match connection.exec_drop(assign, (self.of.app, self.of.user, self.group)).await {
            // Another tracker was faster.
            Err(Error::Server(error)) if error.code == DUPLICATE => {
                Ok(self.of.run(connection, again).await?.unwrap_or_else(|| self.group.to_owned()))
            }
            outcome => outcome.map(|()| self.group.to_owned()),
        }
    }
}

#[async_trait]
impl Routes for MySqlRoutes {
    async fn groups(&self) -> Result<Vec<GroupName>, DbError> {
        Ok(self.db.read(&Groups).await?.iter().filter_map(|name| valid(name)).collect())
    }

    async fn add_group(&self, group: &GroupName) -> Result<(), DbError> {
        self.db.write(&AddGroup(group.as_str())).await
    }

    async fn group_of(&self, app: &AppId, user: &UserId) -> Result<Option<GroupName>, DbError> {
        let name = self.db.read(&Find { app: app.as_str(), user: user.as_str() }).await?;
        Ok(name.as_deref().and_then(valid))
    }

    async fn assign(&self, app: &AppId, user: &UserId, group: &GroupName) -> Result<GroupName, DbError> {
        let of = Find { app: app.as_str(), user: user.as_str() };
        let assign = Assign { of, group: group.as_str(), is_unique: self.is_unique };
        let name = self.db.write(&assign).await?;
        Ok(valid(&name).unwrap_or_else(|| group.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tnv_common::config::Settings;
    use tnv_common::database::{Database, DatabaseConfig};
    use tnv_testbed::{Galera, MariaDb, installed};

    use super::super::{SCHEMA, contract};
    use super::*;

    async fn open(server: &MariaDb) -> MySqlRoutes {
        let mut settings = Settings::built_in("tracker");
        settings.set("database.url", &server.url(), "test");
        match DatabaseConfig::read(&mut settings).open(&SCHEMA).await.unwrap() {
            Database::MySql(db) => MySqlRoutes::open(db).await.unwrap(),
            Database::Sqlite(_) => unreachable!("the address is a server's"),
        }
    }

    /// Two trackers choose for 20 users at once; the group they gave each.
    async fn choose_at_once(trackers: &[MySqlRoutes; 2]) {
        let app = AppId::new("tnvideo").unwrap();
        let (one, two) = (GroupName::new("group001").unwrap(), GroupName::new("group002").unwrap());
        for n in 0..20 {
            let user = UserId::new(&format!("user{n}")).unwrap();
            let (a, b) =
                tokio::join!(trackers[0].assign(&app, &user, &one), trackers[1].assign(&app, &user, &two));
            assert_eq!(a.unwrap(), b.unwrap());
        }
    }

    #[tokio::test]
    async fn mysql_keeps_the_contract() {
        if installed(&["mariadbd"]) {
            contract(&open(&MariaDb::start()).await).await;
        }
    }

    #[tokio::test]
    async fn two_trackers_that_choose_at_once_choose_the_same() {
        if installed(&["mariadbd"]) {
            let server = MariaDb::start();
            choose_at_once(&[open(&server).await, open(&server).await]).await;
        }
    }

    #[tokio::test]
    async fn the_nodes_of_a_galera_cluster_keep_the_contract() {
        if installed(Galera::PROGRAMS) {
            let cluster = Galera::start(2);
            contract(&open(cluster.node(0)).await).await;
            choose_at_once(&[open(cluster.node(0)).await, open(cluster.node(1)).await]).await;
        }
    }

    #[tokio::test]
    async fn rows_that_contradict_each_other_are_left_and_served() {
        if !installed(&["mariadbd"]) {
            return;
        }
        let server = MariaDb::start();
        let columns = "create_time TIMESTAMP DEFAULT CURRENT_TIMESTAMP, update_time TIMESTAMP NULL";
        server.execute(&format!(
            "CREATE DATABASE tnv_trackerdb; USE tnv_trackerdb;
             CREATE TABLE t_groups_info (id INT AUTO_INCREMENT PRIMARY KEY, group_name VARCHAR(32), {columns});
             CREATE TABLE t_router (id INT AUTO_INCREMENT PRIMARY KEY, appid VARCHAR(16), userid VARCHAR(256),
                                    group_name VARCHAR(32), {columns}) CHARSET utf8mb3;
             INSERT INTO t_groups_info (group_name) VALUES ('group002'), ('group001'), ('group001');
             INSERT INTO t_router (appid, userid, group_name) VALUES ('tnvideo', 'twice', 'group002'),
                 ('tnvideo', 'twice', 'group001'), ('tnvideo', 'once', 'group001')"
        ));
        let routes = open(&server).await;
        assert!(!routes.is_unique);
        let names: Vec<_> = routes.groups().await.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["group001", "group002"]);
        let app = AppId::new("tnvideo").unwrap();
        let of =
            async |user: &str| routes.group_of(&app, &UserId::new(user).unwrap()).await.unwrap().unwrap();
        assert_eq!((of("twice").await.as_str(), of("once").await.as_str()), ("group002", "group001"));
        choose_at_once(&[open(&server).await, routes.clone()]).await;
        assert_eq!(
            server.query("SELECT COUNT(*) FROM tnv_trackerdb.t_router WHERE userid LIKE 'user%'").trim(),
            "20"
        );
        assert_eq!(
            server.query("SELECT COUNT(*) FROM tnv_trackerdb.t_router").trim(),
            "23",
            "nothing was dropped"
        );

        // Once somebody has decided, the script gives the table its key.
        server
            .execute("DELETE FROM tnv_trackerdb.t_router WHERE userid = 'twice' AND group_name = 'group001'");
        server.load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sql/mysql/tracker.sql"));
        assert!(open(&server).await.is_unique);
    }

    #[tokio::test]
    async fn the_script_may_be_run_by_hand_twice() {
        if !installed(&["mariadbd"]) {
            return;
        }
        let server = MariaDb::start();
        for _ in 0..2 {
            server.load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sql/mysql/tracker.sql"));
        }
        contract(&open(&server).await).await;
    }
}
