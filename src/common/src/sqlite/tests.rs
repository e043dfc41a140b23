use tnv_proto::{ErrorCode, Failure};

use super::readers::READERS;
use super::*;

const NUMBERS: Schema = Schema {
    component: "test",
    sqlite: &["CREATE TABLE numbers (n INTEGER PRIMARY KEY)"],
    mysql: &[],
    mysql_database: "",
    older: &[],
};

fn open(folder: &tempfile::TempDir) -> Sqlite {
    Sqlite::open(&folder.path().join("deep/er/test.db"), &NUMBERS).unwrap()
}

async fn insert(db: &Sqlite, n: i64) -> Result<usize, DbError> {
    db.write(move |tx| tx.execute("INSERT INTO numbers VALUES (?)", [n])).await
}

async fn count(db: &Sqlite) -> i64 {
    db.read(|connection| connection.query_row("SELECT count(*) FROM numbers", [], |row| row.get(0)))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_failing_write_does_not_disturb_its_batch() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let writes = (0..100).map(|n| {
        let db = db.clone();
        tokio::spawn(async move { insert(&db, n / 2).await })
    });
    let mut failed = 0;
    for write in writes.collect::<Vec<_>>() {
        failed += usize::from(write.await.unwrap().is_err());
    }
    assert_eq!((failed, count(&db).await), (50, 50));
}

#[tokio::test]
async fn writes_that_come_together_have_each_its_own_outcome() {
    for max_batch in [1, 2, 256] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        let db = Sqlite::open_with(&path, &NUMBERS, max_batch, CommitPolicy::Durable).unwrap();
        let insert = |n: i64| {
            move |tx: &Connection| {
                tx.execute("INSERT INTO numbers VALUES (?)", [n])?;
                // What a write has done before it fails is undone with it.
                tx.execute("INSERT INTO numbers VALUES (?)", [n + 10])
            }
        };
        let outcomes = db.write_all([1, 2, -8, 11, 3].map(insert).into());
        let added: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
        assert_eq!(added, [true, true, false, false, true], "{max_batch}");
        assert_eq!(count(&db).await, 6);
        assert!(db.write_all(Vec::<fn(&Connection) -> rusqlite::Result<()>>::new()).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_block_writes_beside_the_writer_and_in_no_one_elses_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let (gate, wait) = std::sync::mpsc::channel::<()>();
    let (begun, running) = std::sync::mpsc::channel();
    let held = tokio::spawn({
        let db = db.clone();
        async move {
            let hold = move |_: &Connection| {
                begun.send(()).unwrap();
                wait.recv().unwrap();
                Ok(())
            };
            db.write(hold).await
        }
    });
    tokio::task::spawn_blocking(move || running.recv().unwrap()).await.unwrap();
    let writes = [vec![1], vec![2, 3, -1], vec![4]].map(|numbers| {
        let db = db.clone();
        tokio::task::spawn_blocking(move || {
            let insert = |n| {
                move |tx: &Connection| {
                    tx.execute(
                        "INSERT INTO numbers SELECT ?1 WHERE ?1 >= 0 OR abs(-9223372036854775808)",
                        [n],
                    )
                }
            };
            db.write_all(numbers.into_iter().map(insert).collect::<Vec<_>>())
        })
    });
    // Those that came alone wait for the thread, the group for the connection.
    while db.shared.queued.load(Ordering::Relaxed) < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(count(&db).await, 0);
    gate.send(()).unwrap();
    held.await.unwrap().unwrap();
    let mut added = Vec::new();
    for write in writes {
        added.push(write.await.unwrap().iter().map(Result::is_ok).collect::<Vec<_>>());
    }
    assert_eq!(added, [vec![true], vec![true, true, false], vec![true]]);
    assert_eq!(count(&db).await, 4);
}

#[tokio::test]
async fn only_a_durable_commit_is_synced() {
    let folder = tempfile::tempdir().unwrap();
    for (policy, level) in [(CommitPolicy::Durable, 2), (CommitPolicy::Relaxed, 1)] {
        let db = Sqlite::open_with(&folder.path().join("test.db"), &NUMBERS, 256, policy).unwrap();
        let found = db.write(|tx| tx.query_row("PRAGMA synchronous", [], |row| row.get::<_, i64>(0)));
        assert_eq!(found.await.unwrap(), level, "{policy:?}");
    }
}

#[tokio::test]
async fn processes_share_a_file_and_a_later_open_keeps_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (open(&folder), open(&folder));
    insert(&one, 1).await.unwrap();
    insert(&other, 2).await.unwrap();
    drop((one, other));
    assert_eq!(count(&open(&folder)).await, 2);
}

#[tokio::test]
async fn a_write_that_panics_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let broken = db.write(|tx| {
        tx.execute("INSERT INTO numbers VALUES (1)", [])?;
        if true { panic!("as told") } else { Ok(()) }
    });
    broken.await.unwrap_err();
    insert(&db, 2).await.unwrap();
    assert_eq!(count(&db).await, 1);
}

#[tokio::test]
async fn a_full_disk_is_told_as_one_and_passes() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let limit = |pages: u32| db.write(move |tx| tx.pragma_update(None, "max_page_count", pages));
    limit(1).await.unwrap();
    let fill = |tx: &Connection| {
        tx.execute(
            "INSERT INTO numbers WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
                    LIMIT 100000) SELECT i FROM n",
            [],
        )
    };
    let error = db.write(fill).await.unwrap_err();
    assert_eq!(Failure::from(error).code, ErrorCode::NO_SPACE);
    limit(1 << 20).await.unwrap();
    assert_eq!(db.write(fill).await.unwrap(), 100_000);
}

#[tokio::test]
async fn reads_that_are_given_up_do_not_cost_connections() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let mut gates = Vec::new();
    for _ in 0..READERS {
        let (gate, wait) = std::sync::mpsc::channel::<()>();
        let (begun, running) = oneshot::channel();
        let db = db.clone();
        let read = tokio::spawn(async move {
            db.read(move |_| {
                let _ = begun.send(());
                let _ = wait.recv();
                Ok(())
            })
            .await
        });
        running.await.unwrap();
        read.abort();
        read.await.unwrap_err();
        gates.push(gate);
    }
    // They still run, so there is no connection for another one.
    assert_eq!(db.shared.readers.at_rest(), 0);
    drop(gates);
    assert_eq!(count(&db).await, 0);
}

#[tokio::test]
async fn many_reads_at_once_are_all_answered_and_their_connections_rest_again() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    insert(&db, 1).await.unwrap();
    let reads = (0..500).map(|_| {
        let db = db.clone();
        tokio::spawn(async move { count(&db).await })
    });
    for read in reads.collect::<Vec<_>>() {
        assert_eq!(read.await.unwrap(), 1);
    }
    while db.shared.readers.at_rest() < READERS {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_read_that_panics_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let broken = (0..2 * READERS).map(|_| {
        let db = db.clone();
        tokio::spawn(async move { db.read(|_| if true { panic!("as told") } else { Ok(()) }).await })
    });
    let broken: Vec<_> = broken.collect();
    assert_eq!(count(&db).await, 0);
    for read in broken {
        assert!(matches!(read.await.unwrap(), Err(DbError::Closed)));
    }
    assert_eq!(count(&db).await, 0);
}

#[test]
fn a_runtime_that_has_gone_leaves_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder);
    let runtime = || tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    let gone = runtime();
    let (gate, wait) = std::sync::mpsc::channel::<()>();
    let (begun, running) = std::sync::mpsc::channel();
    // Its only thread is busy, so the read does not get to run before the runtime goes.
    gone.spawn_blocking(move || {
        begun.send(()).unwrap();
        let _ = wait.recv();
    });
    running.recv().unwrap();
    let read = gone.spawn({
        let db = db.clone();
        async move { count(&db).await }
    });
    gone.block_on(tokio::task::yield_now());
    drop(read);
    gone.shutdown_background();
    drop(gate);
    assert_eq!(runtime().block_on(count(&db)), 0);
}

#[test]
fn servers_that_start_together_make_the_tables_once() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        let opens: Vec<_> = (0..8).map(|_| scope.spawn(|| open(&folder))).collect();
        assert!(opens.into_iter().all(|open| open.join().is_ok()));
    });
}

#[test]
fn tables_of_a_newer_version_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder));
    let older = Schema { sqlite: &[], ..NUMBERS };
    let error = Sqlite::open(&folder.path().join("deep/er/test.db"), &older).unwrap_err().to_string();
    assert!(error.contains("have version 1, this program knows 0"), "{error}");
}

#[test]
fn a_file_that_is_no_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    std::fs::write(&path, [7; 4096]).unwrap();
    let error = Sqlite::open(&path, &NUMBERS).unwrap_err().to_string();
    assert!(error.contains("clip.mp4: file is not a database"), "{error}");
}
