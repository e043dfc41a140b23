//! Numbers in MySQL.

use async_trait::async_trait;
use tnv_common::database::DbError;
use tnv_common::mysql::prelude::Queryable;
use tnv_common::mysql::{Conn, Error, MySql, Work};

use super::Steps;
use crate::allocator::Block;

/// A row that is there already.
const DUPLICATE: u16 = 1062;

/// Numbers in MySQL.
#[derive(Debug, Clone)]
pub struct MySqlSteps(
    /// The database.
    pub MySql,
);

/// Takes a block in one transaction. Run again after a commit that nobody heard of it takes another one: numbers are
/// skipped, never given twice. In Galera it may fail at its commit, where another node was faster, and is run again.
struct Advance<'a> {
    key: &'a str,
    step: u32,
}

#[async_trait]
impl Work for Advance<'_> {
    type Output = Option<Block>;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Option<Block>, Error> {
        let find = "SELECT id_value FROM t_id_gen WHERE id = ? FOR UPDATE";
        let mut current: Option<i64> = connection.exec_first(find, (self.key,)).await?;
        if current.is_none() {
            let begin = "INSERT INTO t_id_gen (id, id_value) VALUES (?, ?)";
            match connection.exec_drop(begin, (self.key, self.step)).await {
                Ok(()) => return Ok(Some(Block { next: 0, end: i64::from(self.step) })),
                // Another server was faster, and its row is there by now.
                Err(Error::Server(error)) if error.code == DUPLICATE => {
                    current = connection.exec_first(find, (self.key,)).await?;
                }
                Err(error) => return Err(error),
            }
        }
        let next = current.unwrap_or(0).max(0);
        let Some(end) = next.checked_add(i64::from(self.step)) else { return Ok(None) };
        let advance = "UPDATE t_id_gen SET id_value = ?, update_time = CURRENT_TIMESTAMP WHERE id = ?";
        connection.exec_drop(advance, (end, self.key)).await?;
        Ok(Some(Block { next, end }))
    }
}

#[async_trait]
impl Steps for MySqlSteps {
    async fn advance(&self, key: &str, step: u32) -> Result<Option<Block>, DbError> {
        self.0.write(&Advance { key, step }).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tnv_common::config::Settings;
    use tnv_common::database::{Database, DatabaseConfig};
    use tnv_testbed::{Galera, MariaDb, installed};

    use super::super::{SCHEMA, contract};
    use super::*;

    async fn open(url: &str) -> MySqlSteps {
        let mut settings = Settings::built_in("id");
        settings.set("database.url", url, "test");
        match DatabaseConfig::read(&mut settings).open(&SCHEMA).await.unwrap() {
            Database::MySql(db) => MySqlSteps(db),
            Database::Sqlite(_) => unreachable!("the address is a server's"),
        }
    }

    #[tokio::test]
    async fn mysql_keeps_the_contract() {
        if installed(&["mariadbd"]) {
            let server = MariaDb::start();
            contract(&open(&server.url()).await).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_servers_never_get_the_same_block_not_even_the_first() {
        if installed(&["mariadbd"]) {
            let server = MariaDb::start();
            take_at_once(&server, &server).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_nodes_of_a_galera_cluster_keep_the_contract() {
        if installed(Galera::PROGRAMS) {
            let cluster = Galera::start(2);
            contract(&open(&cluster.node(0).url()).await).await;
            take_at_once(cluster.node(0), cluster.node(1)).await;
        }
    }

    async fn take_at_once(one: &MariaDb, two: &MariaDb) {
        let (one, two) = (open(&one.url()).await, open(&two.url()).await);
        let tasks = (0..200).map(|n| {
            let steps = if n % 2 == 0 { one.clone() } else { two.clone() };
            tokio::spawn(async move {
                (n / 20, steps.advance(&format!("k{}", n / 20), 10).await.unwrap().unwrap().next)
            })
        });
        let mut firsts = BTreeSet::new();
        for task in tasks.collect::<Vec<_>>() {
            assert!(firsts.insert(task.await.unwrap()));
        }
        assert!((0..10).all(|key| firsts.contains(&(key, 190))), "no block is skipped either");
    }

    #[tokio::test]
    async fn counting_goes_on_where_an_older_server_is() {
        if !installed(&["mariadbd"]) {
            return;
        }
        let server = MariaDb::start();
        server.execute(
            "CREATE DATABASE tnv_idsdb; CREATE TABLE tnv_idsdb.t_id_gen (id VARCHAR(64) PRIMARY KEY, id_value BIGINT,
                 create_time TIMESTAMP DEFAULT CURRENT_TIMESTAMP, update_time DATETIME NULL);
             INSERT INTO tnv_idsdb.t_id_gen (id, id_value) VALUES ('../data', 12340), ('full', 9223372036854775800)",
        );
        let steps = open(&server.url()).await;
        assert_eq!(steps.advance("../data", 10).await.unwrap(), Some(Block { next: 12_340, end: 12_350 }));
        server.execute("UPDATE tnv_idsdb.t_id_gen SET id_value = id_value + 1000 WHERE id = '../data'");
        assert_eq!(steps.advance("../data", 10).await.unwrap(), Some(Block { next: 13_350, end: 13_360 }));
        assert_eq!(steps.advance("full", 10).await.unwrap(), None);
    }
}
