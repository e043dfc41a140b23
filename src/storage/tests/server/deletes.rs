//! Deleted stays deleted, and costs nobody else anything.

use std::time::Duration;

use tnv_proto::{Download, ErrorCode, HEADER_LEN, Request};
use tokio::io::AsyncReadExt;

use crate::lab::{Lab, key, pattern, until};

#[tokio::test]
async fn a_delete_takes_rows_and_bytes() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    storage.upload("file", &pattern(1000, 1)).await.unwrap();
    assert_eq!(storage.download("file").await.unwrap(), pattern(1000, 1));
    storage.delete("file").await.unwrap();
    assert!(lab.files().is_empty());
    assert_eq!(storage.stat("file").await.unwrap_err().code, ErrorCode::NOT_FOUND);
    assert_eq!(storage.delete("file").await.unwrap_err().code, ErrorCode::NOT_FOUND);
    until(|| lab.rows() == (0, 0)).await;
    storage.upload("file", &pattern(500, 2)).await.unwrap();
    assert_eq!(storage.download("file").await.unwrap(), pattern(500, 2));
}

#[tokio::test]
async fn a_download_outlives_the_delete_of_its_file() {
    const LEN: usize = 64 << 20;
    let lab = Lab::new().await;
    let storage = lab.start().await;
    storage.upload("file", &pattern(LEN, 1)).await.unwrap();
    let mut wire = storage.connect().await;
    wire.send(&Download { key: key("file"), offset: 0, size: 0 }.to_frame()).await;
    let mut header = [0; HEADER_LEN];
    wire.0.read_exact(&mut header).await.unwrap();
    storage.delete("file").await.unwrap();
    assert!(lab.files().is_empty());
    let mut body = vec![0; LEN];
    wire.0.read_exact(&mut body).await.unwrap();
    assert!(body == pattern(LEN, 1));
}

#[tokio::test]
async fn what_a_delete_could_not_finish_the_next_start_does() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    storage.upload("dead", &pattern(1000, 1)).await.unwrap();
    storage.upload("alive", &pattern(1000, 2)).await.unwrap();
    storage.stop().await;
    // As a crash right behind the transaction leaves it.
    lab.sql()
        .execute_batch(
            "DELETE FROM t_file_02 WHERE id = 'dead'; UPDATE t_copy SET state = 'deleting' WHERE file_id = 'dead'",
        )
        .unwrap();
    let storage = lab.start().await;
    until(|| lab.rows() == (1, 1)).await;
    assert_eq!(lab.files().len(), 1);
    assert_eq!(storage.download("alive").await.unwrap(), pattern(1000, 2));
}

#[tokio::test]
async fn many_leftovers_of_a_store_path_that_is_away_do_not_hold_up_the_others() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    storage.upload("dead", &pattern(1000, 1)).await.unwrap();
    storage.stop().await;
    lab.sql()
        .execute_batch(
            "UPDATE t_copy SET path_index = 1;
             UPDATE t_file_02 SET id = id;
             WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
             INSERT INTO t_copy (storage, path_index, path, file_table, file_id, state)
             SELECT storage, 0, '000/000/000/' || i, 1, 'x' || i, 'deleting' FROM n, t_copy WHERE file_id = 'dead'",
        )
        .unwrap();
    // The path with the file is number 1 now, and number 0 is away.
    let mark = lab.store().join(".tnv-storage");
    let text = std::fs::read_to_string(&mark).unwrap();
    std::fs::write(&mark, text.replace("\"path\":0", "\"path\":1")).unwrap();
    let storage = lab.start().await;
    assert_eq!(storage.download("dead").await.unwrap(), pattern(1000, 1));
    storage.delete("dead").await.unwrap();
    until(|| lab.count("SELECT count(*) FROM t_copy WHERE path_index = 1") == 0).await;
    assert_eq!(lab.count("SELECT count(*) FROM t_copy WHERE path_index = 0"), 1000);
}

#[tokio::test]
async fn a_delete_of_the_older_system_s_file_is_finished_after_a_failure() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    let place = lab.store().join("000/001/002/5F6E7AD2_003");
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    // What cannot be unlinked stands for a disk that fails.
    std::fs::create_dir(&place).unwrap();
    lab.sql()
        .execute_batch(
            "INSERT INTO t_file_02 (id, appid, userid, status, file_path, file_size)
             VALUES ('old', 'tnvideo', 'tnv001', 0, '../store/000/001/002/5F6E7AD2_003', 9)",
        )
        .unwrap();
    storage.delete("old").await.unwrap();
    assert_eq!(storage.stat("old").await.unwrap_err().code, ErrorCode::NOT_FOUND);
    storage.stop().await;
    std::fs::remove_dir(&place).unwrap();
    std::fs::write(&place, "remains").unwrap();
    let _storage = lab.start().await;
    until(|| !place.exists()).await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_all_leftovers() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    storage.upload("file", b"1").await.unwrap();
    storage.stop().await;
    lab.sql()
        .execute_batch(
            "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 49999)
             INSERT INTO t_copy (storage, path_index, path, file_table, file_id, state)
             SELECT storage, 0, '000/000/000/' || i, 1, 'x' || i, 'deleting' FROM n, t_copy WHERE file_id = 'file'",
        )
        .unwrap();
    let storage = lab.start().await;
    until(|| lab.rows().1 < 50_001).await;
    tokio::time::timeout(Duration::from_secs(20), storage.stop()).await.unwrap();
    assert!(lab.rows().1 > 1, "it swept on to the end");
}
