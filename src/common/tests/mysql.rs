//! MySQL servers that refuse, hang, die and come back.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tnv_common::config::Settings;
use tnv_common::database::{Database, DatabaseConfig, DbError, Schema};
use tnv_common::mysql::prelude::Queryable;
use tnv_common::mysql::{Conn, Error, MySql, Work};
use tnv_testbed::{MariaDb, installed};

static SCHEMA: Schema = Schema {
    component: "test",
    sqlite: &[],
    mysql: &["CREATE DATABASE IF NOT EXISTS test_db;\nUSE test_db;\n\
              CREATE TABLE IF NOT EXISTS t_schema (component VARCHAR(16) PRIMARY KEY, version INT UNSIGNED NOT NULL);\n\
              CREATE TABLE IF NOT EXISTS t_old (id INT PRIMARY KEY, name VARCHAR(20));\n\
              ALTER TABLE t_old ADD COLUMN /*M! IF NOT EXISTS */ more INT NULL;\n\
              INSERT INTO t_schema VALUES ('test', 1) ON DUPLICATE KEY UPDATE version = GREATEST(version, 1);\n"],
    mysql_database: "test_db",
    older: &[("t_old", &["id", "name"])],
};

struct Insert(i32);

#[async_trait]
impl Work for Insert {
    type Output = ();

    async fn run(&self, connection: &mut Conn, again: bool) -> Result<(), Error> {
        let count: Option<i64> =
            connection.exec_first("SELECT COUNT(*) FROM t_old WHERE id = ?", (self.0,)).await?;
        if again && count == Some(1) {
            return Ok(());
        }
        connection.exec_drop("INSERT INTO t_old (id) VALUES (?)", (self.0,)).await
    }
}

struct Count;

#[async_trait]
impl Work for Count {
    type Output = i64;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<i64, Error> {
        Ok(connection.query_first("SELECT COUNT(*) FROM t_old").await?.unwrap_or(-1))
    }
}

fn config(urls: &[String], more: &[(&str, &str)]) -> DatabaseConfig {
    let mut settings = Settings::built_in("test");
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    settings.set_list("database.urls", &urls, "--set database.urls");
    for (key, value) in [("database.timeout", "1s")].iter().chain(more) {
        settings.set(key, value, key);
    }
    let config = DatabaseConfig::read(&mut settings);
    settings.finish().unwrap();
    config
}

async fn try_open(urls: &[String], more: &[(&str, &str)]) -> Result<MySql, DbError> {
    match config(urls, more).open(&SCHEMA).await? {
        Database::MySql(db) => Ok(db),
        Database::Sqlite(_) => unreachable!("the address is a server's"),
    }
}

async fn open(urls: &[String]) -> MySql {
    try_open(urls, &[]).await.unwrap()
}

fn server() -> Option<MariaDb> {
    installed(&["mariadbd"]).then(MariaDb::start)
}

#[tokio::test]
async fn tables_are_made_once_and_never_anew() {
    let Some(server) = server() else { return };
    let urls = [server.url()];
    let opens = (0..4).map(|_| {
        tokio::spawn({
            let urls = urls.clone();
            async move { try_open(&urls, &[]).await.map(drop) }
        })
    });
    for opened in opens.collect::<Vec<_>>() {
        opened.await.unwrap().unwrap();
    }
    open(&urls).await.write(&Insert(1)).await.unwrap();
    assert_eq!(open(&urls).await.read(&Count).await.unwrap(), 1);
    let found = config(&urls, &[]).check(&SCHEMA).await.unwrap();
    assert!(found.contains("MariaDB") && found.contains("test tables up to date"), "{found}");
}

#[tokio::test]
async fn four_rights_are_enough_once_the_tables_are_there() {
    let Some(server) = server() else { return };
    server.execute("CREATE USER few@'%' IDENTIFIED BY 'hunter2'; GRANT SELECT, INSERT, UPDATE, DELETE ON test_db.* TO few@'%'");
    let few = [server.url_of("few", "hunter2")];
    let refused = try_open(&few, &[]).await.unwrap_err().to_string();
    assert!(refused.contains("test_db") && !refused.contains("hunter2"), "{refused}");
    let off = try_open(&[server.url()], &[("database.migrate", "false")]).await.unwrap_err().to_string();
    assert!(off.contains("--migrate") && off.contains(&server.address()), "{off}");
    config(&[server.url()], &[("database.migrate", "false")]).migrate(&SCHEMA).await.unwrap();
    let db = open(&few).await;
    db.write(&Insert(1)).await.unwrap();
    assert_eq!(db.read(&Count).await.unwrap(), 1);
}

#[tokio::test]
async fn what_a_person_must_put_right_is_said_at_once() {
    let Some(server) = server() else { return };
    let wrong = try_open(&[server.url_of("tnv", "hunter2")], &[]).await.unwrap_err();
    assert!(matches!(wrong, DbError::Open { .. }), "{wrong:?}");
    let wrong = wrong.to_string();
    assert!(
        wrong.contains(&server.address()) && wrong.contains("password") && !wrong.contains("hunter2"),
        "{wrong}"
    );

    server.execute("CREATE DATABASE test_db; CREATE TABLE test_db.t_old (id INT, colour INT)");
    let foreign = try_open(&[server.url()], &[]).await.unwrap_err().to_string();
    assert!(foreign.contains("t_old has no column name") && foreign.contains("another program"), "{foreign}");

    server.execute("DROP TABLE test_db.t_old");
    open(&[server.url()]).await;
    server.execute("UPDATE test_db.t_schema SET version = 7");
    let newer = try_open(&[server.url()], &[]).await.unwrap_err().to_string();
    assert!(newer.contains("have version 7, this program knows 1"), "{newer}");
}

#[tokio::test]
async fn tables_of_an_older_deployment_are_added_to() {
    let Some(server) = server() else { return };
    server.execute(
        "CREATE DATABASE test_db; CREATE TABLE test_db.t_old (id INT PRIMARY KEY, name VARCHAR(20)) CHARSET latin1;
         INSERT INTO test_db.t_old VALUES (7, 'seven')",
    );
    let db = open(&[server.url()]).await;
    db.write(&Insert(8)).await.unwrap();
    assert_eq!(server.query("SELECT name, more FROM test_db.t_old WHERE id = 7").trim(), "seven\tNULL");
    assert_eq!(db.read(&Count).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_dead_hangs_or_only_reads_is_left_for_the_next() {
    if !installed(&["mariadbd"]) {
        return;
    }
    let mut servers = [MariaDb::start(), MariaDb::start()];
    let urls = [servers[0].url(), servers[1].url()];
    open(&urls[1..]).await;
    let db = open(&urls).await;
    let counts = |servers: &[MariaDb; 2]| {
        [0, 1].map(|n| servers[n].query("SELECT COUNT(*) FROM test_db.t_old").trim().parse::<i64>().unwrap())
    };
    db.write(&Insert(1)).await.unwrap();
    assert_eq!(counts(&servers), [1, 0], "the first is used");

    servers[0].set_read_only(true);
    db.write(&Insert(2)).await.unwrap();
    assert_eq!(counts(&servers), [1, 1], "one that only reads is left");
    servers[0].set_read_only(false);

    servers[1].pause();
    db.write(&Insert(3)).await.unwrap();
    servers[1].resume();
    assert_eq!(counts(&servers)[0], 2, "one that hangs is left");

    servers[0].kill();
    db.write(&Insert(4)).await.unwrap();
    assert_eq!(
        servers[1].query("SELECT COUNT(*) FROM test_db.t_old WHERE id = 4").trim(),
        "1",
        "a dead one is left"
    );

    // With both gone reads fail at once and say why; with one back all is well.
    servers[1].kill();
    let gone = loop {
        match db.read(&Count).await {
            Err(error) => break error,
            Ok(_) => tokio::task::yield_now().await,
        }
    };
    let text = gone.to_string();
    assert!(matches!(gone, DbError::Away { .. }), "{gone:?}");
    assert!(text.contains(&servers[0].address()) && text.contains(&servers[1].address()), "{text}");
    assert!(!text.contains("secret"), "{text}");
    servers[1].restart();
    while db.read(&Count).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_noticed_without_an_error() {
    let Some(mut server) = server() else { return };
    let db = open(&[server.url()]).await;
    // Several pooled connections, all of which die.
    let reads: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn({
                let db = db.clone();
                async move { db.read(&Count).await.unwrap() }
            })
        })
        .collect();
    for read in reads {
        read.await.unwrap();
    }
    server.stop();
    server.restart();
    for n in 0..8 {
        db.write(&Insert(n)).await.unwrap();
    }
    assert_eq!(db.read(&Count).await.unwrap(), 8);
}

struct Meet {
    first: i32,
    second: i32,
    barrier: Arc<tokio::sync::Barrier>,
    runs: std::sync::atomic::AtomicUsize,
}

#[async_trait]
impl Work for Meet {
    type Output = ();

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<(), Error> {
        connection.exec_drop("UPDATE t_old SET more = 1 WHERE id = ?", (self.first,)).await?;
        if self.runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
            self.barrier.wait().await;
        }
        connection.exec_drop("UPDATE t_old SET more = 1 WHERE id = ?", (self.second,)).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_tried_again_as_a_whole() {
    let Some(server) = server() else { return };
    let db = open(&[server.url()]).await;
    db.write(&Insert(1)).await.unwrap();
    db.write(&Insert(2)).await.unwrap();
    let barrier = Arc::new(tokio::sync::Barrier::new(2));
    let meet = |first, second| Meet { first, second, barrier: barrier.clone(), runs: Default::default() };
    let (one, other) = (meet(1, 2), meet(2, 1));
    let (a, b) = tokio::join!(db.write(&one), db.write(&other));
    a.unwrap();
    b.unwrap();
    let runs = one.runs.into_inner() + other.runs.into_inner();
    assert_eq!(runs, 3, "one of them ran twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_is_given_up_leaves_no_answer_to_the_next() {
    let Some(server) = server() else { return };
    let db = open(&[server.url()]).await;
    struct Slow;
    #[async_trait]
    impl Work for Slow {
        type Output = Option<i64>;
        async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Option<i64>, Error> {
            connection.query_first("SELECT SLEEP(0.2) + 41").await
        }
    }
    for _ in 0..20 {
        let slow = tokio::time::timeout(Duration::from_millis(20), db.read(&Slow)).await;
        assert!(slow.is_err(), "it was given up");
        assert_eq!(db.read(&Count).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn encryption_is_used_where_it_is_asked_for() {
    if !installed(&["mariadbd", "openssl"]) {
        return;
    }
    let server = MariaDb::start_with_tls();
    let (ca, (cert, key)) = (server.certificates().ca(), server.certificates().client());
    let safe = [server.url_of("tls", "secret")];
    assert!(try_open(&safe, &[]).await.is_err(), "it takes no plain connections");
    try_open(&safe, &[("database.tls", "on")]).await.unwrap();
    let unknown = try_open(&safe, &[("database.tls", "required")]).await.unwrap_err().to_string();
    assert!(unknown.contains("tls_ca"), "{unknown}");
    let ca = ca.to_str().unwrap();
    try_open(&safe, &[("database.tls", "required"), ("database.tls_ca", ca)]).await.unwrap();
    let known = [server.url_of("x509", "secret")];
    let client = [("database.tls_cert", cert.to_str().unwrap()), ("database.tls_key", key.to_str().unwrap())];
    let with_ca = [("database.tls", "required"), ("database.tls_ca", ca)];
    assert!(try_open(&known, &with_ca).await.is_err(), "it asks for a certificate");
    try_open(&known, &[with_ca, client].concat()).await.unwrap();
    // A server without encryption: on goes on without, required does not.
    let plain = MariaDb::start_with(&["--skip-ssl"]);
    try_open(&[plain.url()], &[("database.tls", "on")]).await.unwrap();
    assert!(try_open(&[plain.url()], &with_ca).await.is_err());
}
