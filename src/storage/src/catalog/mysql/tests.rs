use std::path::Path;

use tnv_common::config::Settings;
use tnv_common::database::{Database, DatabaseConfig};
use tnv_proto::Checksum;
use tnv_testbed::{Galera, MariaDb, installed};

use super::super::{Location, SCHEMA, contract, copies_contract};
use super::*;

#[test]
fn rows_are_dealt_out_to_few_sizes() {
    let sizes = |count: usize| buckets(&vec![(); count]).map(<[()]>::len).collect::<Vec<_>>();
    assert_eq!(sizes(0), [0; 0]);
    assert_eq!(sizes(1), [1]);
    assert_eq!(sizes(11), [8, 2, 1]);
    assert_eq!(sizes(75), [32, 32, 8, 2, 1]);
}

#[test]
fn lists_of_ids_have_few_lengths() {
    let lengths = [1, 2, 8, 9, 64].map(|count| listed(&vec!["a"; count]).1.len());
    assert_eq!(lengths, [1, 8, 8, 64, 64]);
    let (marks, values) = listed(&["a", "b"]);
    assert_eq!(marks, "?, ?, ?, ?, ?, ?, ?, ?");
    assert_eq!((&values[0], &values[1], &values[7]), (&"a".into(), &"b".into(), &"b".into()));
}

async fn open(server: &MariaDb, storage: &str) -> Arc<MySqlCatalog> {
    open_as(server, storage, false).await
}

async fn open_as(server: &MariaDb, storage: &str, replicates: bool) -> Arc<MySqlCatalog> {
    let membership = Membership { storage: storage.to_owned(), group: "group001".to_owned(), replicates };
    let mut settings = Settings::built_in("storage");
    settings.set("database.url", &server.url(), "test");
    match DatabaseConfig::read(&mut settings).open(&SCHEMA).await.unwrap() {
        Database::MySql(db) => Arc::new(MySqlCatalog::new(db, membership)),
        Database::Sqlite(_) => unreachable!("the address is a server's"),
    }
}

fn file(user: &str, id: &str, path: &str) -> NewFile {
    NewFile {
        key: FileKey::new("tnvideo", user, id).unwrap(),
        group: "group001".to_owned(),
        file_path: format!("../data/{path}"),
        path_index: 0,
        path: path.to_owned(),
        size: 7,
        created_ms: 1,
        crc32: u32::MAX,
        blake3: Checksum([7; 32]),
        content_type: "video/mp4".to_owned(),
        name: "电影 🎬.mp4".to_owned(),
        copies: Vec::new(),
    }
}

#[tokio::test]
async fn mysql_keeps_the_contract() {
    if installed(&["mariadbd"]) {
        let server = MariaDb::start();
        contract(&*open(&server, "one").await, &*open(&server, "two").await).await;
    }
}

#[tokio::test]
async fn the_nodes_of_a_galera_cluster_keep_the_contract() {
    if installed(Galera::PROGRAMS) {
        let cluster = Galera::start(2);
        contract(&*open(cluster.node(0), "one").await, &*open(cluster.node(1), "two").await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_keeps_the_contract_of_copies() {
    if installed(&["mariadbd"]) {
        let server = MariaDb::start();
        let open = |storage| open_as(&server, storage, true);
        copies_contract([&*open("one").await, &*open("two").await, &*open("three").await]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_of_a_galera_cluster_keep_the_contract_of_copies() {
    if installed(Galera::PROGRAMS) {
        let cluster = Galera::start(2);
        let open = |node, storage| open_as(cluster.node(node), storage, true);
        copies_contract([&*open(0, "one").await, &*open(1, "two").await, &*open(1, "three").await]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_each_gets_its_own_outcome() {
    if !installed(&["mariadbd"]) {
        return;
    }
    let server = MariaDb::start();
    let catalogs = [open(&server, "one").await, open(&server, "two").await];
    // Each id twice, at different storages, over all three tables.
    let inserts: Vec<_> = (0..400)
        .map(|n| {
            let (catalog, id) = (catalogs[n % 2].clone(), n / 2);
            let new = file(&format!("user{}", id % 5), &format!("file{id}"), &format!("000/000/000/{n}"));
            tokio::spawn(async move { (id, catalog.insert(new).await.unwrap()) })
        })
        .collect();
    let mut added = vec![0; 200];
    for insert in inserts {
        let (id, is_added) = insert.await.unwrap();
        added[id] += usize::from(is_added);
    }
    assert_eq!(added, [1; 200], "one of two gets an id");
    assert_eq!(server.query("SELECT COUNT(*) FROM tnv_storagedb.t_copy").trim(), "200");

    let deletes: Vec<_> = (0..400)
        .map(|n| {
            let (catalog, id) = (catalogs[n % 2].clone(), n / 2);
            let key = FileKey::new("tnvideo", &format!("user{}", id % 5), &format!("file{id}")).unwrap();
            tokio::spawn(async move {
                let seen = catalog.find(&key).await.unwrap();
                (id, seen, catalog.delete(&key, None).await.unwrap())
            })
        })
        .collect();
    let mut deleted = vec![0; 200];
    for delete in deletes {
        let (id, seen, is_deleted) = delete.await.unwrap();
        assert!(seen.is_none_or(|row| row.name == "电影 🎬.mp4" && row.crc32 == u32::MAX));
        deleted[id] += usize::from(is_deleted);
    }
    assert_eq!(deleted, [1; 200], "one of two deletes a file");
    assert_eq!(server.query("SELECT DISTINCT state FROM tnv_storagedb.t_copy").trim(), "deleting");
}

#[tokio::test]
async fn an_insert_that_was_committed_unheard_succeeds_when_it_is_repeated() {
    if !installed(&["mariadbd"]) {
        return;
    }
    let server = MariaDb::start();
    let catalog = open(&server, "one").await;
    let new = file("tnv001", "a", "000/000/000/a");
    assert!(catalog.insert(new.clone()).await.unwrap());
    assert!(catalog.insert(new.clone()).await.unwrap(), "the same copy again");
    let other = NewFile { path: "000/000/000/b".to_owned(), ..new };
    assert!(!catalog.insert(other).await.unwrap(), "another copy");
}

/// As the older system makes its tables, of the given character set.
fn make_older(server: &MariaDb, charset: &str) {
    server.execute("DROP DATABASE IF EXISTS tnv_storagedb; CREATE DATABASE tnv_storagedb");
    for n in 1..=3 {
        server.execute(&format!(
            "CREATE TABLE tnv_storagedb.t_file_0{n} (id VARCHAR(128) PRIMARY KEY, appid VARCHAR(16), userid VARCHAR(255),
                 status INT DEFAULT 0, file_path VARCHAR(255), file_size BIGINT,
                 create_time TIMESTAMP DEFAULT CURRENT_TIMESTAMP, update_time TIMESTAMP NULL) CHARSET {charset}"
        ));
    }
    server.execute(
        "INSERT INTO tnv_storagedb.t_file_02 (id, appid, userid, file_path, file_size)
         VALUES ('Old', 'tnvideo', 'tnv001', '../data/000/000/0A1/5F6E7AD2_1FF', 7)",
    );
}

#[tokio::test]
async fn an_older_database_is_served_and_goes_on_being_filled_by_its_servers() {
    if !installed(&["mariadbd"]) {
        return;
    }
    let server = MariaDb::start();
    for charset in ["latin1", "utf8mb3", "utf8mb4"] {
        make_older(&server, charset);
        let catalog = open(&server, "one").await;
        let key = |id: &str| FileKey::new("tnvideo", "tnv001", id).unwrap();
        let row = catalog.find(&key("Old")).await.unwrap().unwrap();
        assert_eq!(row.location, Location::Written("../data/000/000/0A1/5F6E7AD2_1FF".to_owned()));
        assert_eq!((row.size, row.created_ms, row.checksum().is_known()), (7, 0, false));
        assert_eq!(catalog.find(&key("old")).await.unwrap(), None, "letters differ in case");
        assert!(catalog.insert(file("tnv001", "new", "000/000/000/new")).await.unwrap());
        assert!(matches!(catalog.find(&key("new")).await.unwrap().unwrap().location, Location::Here { .. }));
        server.execute(
            "INSERT INTO tnv_storagedb.t_file_02 SET id = 'later', appid = 'tnvideo', userid = 'tnv001',
                 file_path = '../data/000/000/000/5F6E7AD2_000', file_size = 9",
        );
        assert_eq!(catalog.find(&key("later")).await.unwrap().unwrap().size, 9);
        let place = Leftover { path_index: 0, path: "000/000/0A1/5F6E7AD2_1FF".to_owned() };
        assert!(catalog.delete(&key("Old"), Some(place.clone())).await.unwrap());
        assert_eq!(catalog.leftovers(None, 9).await.unwrap(), [place]);
    }
}

#[tokio::test]
async fn the_script_may_be_run_by_hand_twice() {
    if !installed(&["mariadbd"]) {
        return;
    }
    let server = MariaDb::start();
    make_older(&server, "utf8mb3");
    for _ in 0..2 {
        for script in ["storage.sql", "storage-2.sql"] {
            server.load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sql/mysql").join(script));
        }
    }
    let catalog = open(&server, "one").await;
    assert!(catalog.insert(file("tnv001", "new", "000/000/000/new")).await.unwrap());
}

#[tokio::test]
async fn lists_and_leftovers_use_their_indexes() {
    if !installed(&["mariadbd"]) {
        return;
    }
    let server = MariaDb::start();
    let catalog = open(&server, "one").await;
    assert!(catalog.insert(file("tnv001", "new", "000/000/000/new")).await.unwrap());
    server.execute(
        "INSERT INTO tnv_storagedb.t_file_02 (id, appid, userid, file_path, file_size, created_ms, file_name)
         SELECT seq, 'tnvideo', CONCAT('u', seq % 3), 'x', 1, seq, CONCAT('n', seq) FROM tnv_storagedb.seq_1_to_3000;
         ANALYZE TABLE tnv_storagedb.t_file_02",
    );
    let plan = |query: &str| server.query(&format!("EXPLAIN FORMAT=JSON {query}"));
    let of = "FROM tnv_storagedb.t_file_02 f WHERE f.appid = 'tnvideo' AND f.userid = 'u1'";
    let newest = plan(&format!(
        "SELECT f.id {of} AND (f.listed_ms < 900 OR (f.listed_ms = 900 AND f.id < 'x'))
         ORDER BY f.appid DESC, f.userid DESC, f.listed_ms DESC, f.id DESC LIMIT 10"
    ));
    assert!(newest.contains("\"key\": \"i_age\"") && !newest.contains("filesort"), "{newest}");
    let prefix = plan(&format!(
        "SELECT f.id {of} AND f.listed_name LIKE 'n12%' ORDER BY f.listed_name, f.id LIMIT 10"
    ));
    assert!(prefix.contains("\"key\": \"i_name\""), "{prefix}");
    let filled = storage::LEFTOVERS
        .replace("FROM t_copy", "FROM tnv_storagedb.t_copy")
        .replace("LIMIT ?", "LIMIT 9")
        .replace('?', "'1'");
    let leftovers = plan(&filled);
    assert!(leftovers.contains("\"key\": \"i_state\"") && !leftovers.contains("filesort"), "{leftovers}");
    for query in [copies::PENDING, copies::BACKLOG] {
        let query =
            query.replace("FROM t_pending", "FROM tnv_storagedb.t_pending").replace("LIMIT ?", "LIMIT 9");
        let orders = plan(&query.replace('?', "'1'"));
        assert!(orders.contains("\"key\": \"i_due\"") && !orders.contains("filesort"), "{orders}");
    }
}
