use rusqlite::StatementStatus;

use super::super::SCHEMA;
use super::*;

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let db = Sqlite::open(&folder.path().join("tnv.db"), &SCHEMA).unwrap();
    let open = |storage: &str| SqliteCatalog::new(db.clone(), membership(storage, false));
    super::super::contract(&open("one"), &open("two")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract_of_copies() {
    let folder = tempfile::tempdir().unwrap();
    let db = Sqlite::open(&folder.path().join("tnv.db"), &SCHEMA).unwrap();
    let open = |storage: &str| SqliteCatalog::new(db.clone(), membership(storage, true));
    super::super::copies_contract([&open("one"), &open("two"), &open("three")]).await;
}

#[tokio::test]
async fn a_look_up_is_planned_once_for_all_files() {
    let folder = tempfile::tempdir().unwrap();
    let db = Sqlite::open(&folder.path().join("tnv.db"), &SCHEMA).unwrap();
    let plans = db.read(|connection| {
        let key = FileKey::new("app", "user", "file").unwrap();
        for _ in 0..3 {
            find(connection, &key, "storage")?;
        }
        let statement = connection.prepare_cached(&find_statement(table_of(&key.user)))?;
        Ok((statement.get_status(StatementStatus::Run), statement.get_status(StatementStatus::RePrepare)))
    });
    assert_eq!(plans.await.unwrap(), (3, 0));
}

fn membership(storage: &str, replicates: bool) -> Membership {
    Membership { storage: storage.to_owned(), group: "group001".to_owned(), replicates }
}

#[tokio::test]
async fn orders_are_found_and_counted_in_their_index() {
    let folder = tempfile::tempdir().unwrap();
    let db = Sqlite::open(&folder.path().join("tnv.db"), &SCHEMA).unwrap();
    for (query, parameters) in [(copies::PENDING, 3), (copies::BACKLOG, 1)] {
        let plan: Vec<String> = db
            .read(move |connection| {
                connection
                    .prepare(&format!("EXPLAIN QUERY PLAN {query}"))?
                    .query_map(rusqlite::params_from_iter(vec![1; parameters]), |row| row.get("detail"))?
                    .collect()
            })
            .await
            .unwrap();
        assert!(plan[0].contains("INDEX t_pending_due"), "{plan:?}");
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{plan:?}");
    }
}

#[tokio::test]
async fn leftovers_are_found_without_a_look_at_every_copy() {
    let folder = tempfile::tempdir().unwrap();
    let db = Sqlite::open(&folder.path().join("tnv.db"), &SCHEMA).unwrap();
    let plan = db
        .read(|connection| {
            connection.query_row(&format!("EXPLAIN QUERY PLAN {LEFTOVERS}"), ("s", 0, "", 1), |row| {
                row.get::<_, String>("detail")
            })
        })
        .await
        .unwrap();
    assert!(plan.contains("t_copy_to_settle"), "{plan}");
}

#[tokio::test]
async fn a_page_is_found_without_a_look_at_those_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let db = Sqlite::open(&folder.path().join("tnv.db"), &SCHEMA).unwrap();
    for (order, search) in [
        (ListOrder::Newest, "t_file_02_by_age (appid=? AND userid=? AND <expr><?)"),
        (ListOrder::Name, "t_file_02_by_name (appid=? AND userid=? AND <expr>>? AND <expr><?)"),
    ] {
        let statement = format!("EXPLAIN QUERY PLAN {}", list_statement(2, order));
        let plan: Vec<String> = db
            .read(move |connection| {
                connection
                    .prepare(&statement)?
                    .query_map(["s", "a", "u", "p", "k", "i", "1"], |row| row.get("detail"))?
                    .collect()
            })
            .await
            .unwrap();
        assert!(plan[0].contains(search), "{plan:?}");
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{plan:?}");
    }
}

#[test]
fn what_lies_behind_a_prefix() {
    for (prefix, next) in [
        ("a", "b"),
        ("films/", "films0"),
        ("z\u{7f}", "z\u{80}"),
        ("\u{d7ff}", "\u{e000}"),
        ("a\u{10ffff}", "b"),
    ] {
        assert_eq!(behind(prefix), Value::Text(next.to_owned()), "{prefix:?}");
    }
    for endless in ["", "\u{10ffff}"] {
        assert_eq!(behind(endless), Value::Blob(Vec::new()), "{endless:?}");
    }
}

#[tokio::test]
async fn a_row_of_the_older_system_is_found_where_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let db = Sqlite::open(&folder.path().join("tnv.db"), &SCHEMA).unwrap();
    db.write(|tx| {
        tx.execute(
            "INSERT INTO t_file_02 (id, appid, userid, status, file_path, file_size)
             VALUES ('old', 'tnvideo', 'tnv001', 0, '../data/000/000/0A1/5F6E7AD2_1FF', 7)",
            [],
        )
    })
    .await
    .unwrap();
    let key = FileKey::new("tnvideo", "tnv001", "old").unwrap();
    let row = SqliteCatalog::new(db, membership("one", false)).find(&key).await.unwrap().unwrap();
    assert_eq!(row.location, Location::Written("../data/000/000/0A1/5F6E7AD2_1FF".to_owned()));
    assert_eq!((row.size, row.checksum().is_known()), (7, false));
}
