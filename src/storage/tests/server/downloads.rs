//! What a storage sends, and what it had better not.

use tnv_proto::{Checksum, Download, ErrorCode, HEADER_LEN, Header, Request, STATUS_OK};
use tnv_storage::SendMode;
use tokio::io::AsyncReadExt;

use crate::lab::{Lab, key, pattern, until};

#[tokio::test]
async fn a_read_of_another_file_than_the_expected_one_is_refused() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    storage.upload("file", &pattern(1000, 1)).await.unwrap();
    let checksum = storage.stat("file").await.unwrap().blake3;
    assert_eq!(storage.read("file", checksum).await.unwrap(), pattern(1000, 1));
    assert_eq!(storage.read("file", Checksum::UNKNOWN).await.unwrap(), pattern(1000, 1));
    assert_eq!(storage.read("file", Checksum([7; 32])).await.unwrap_err().code, ErrorCode::CHANGED);

    storage.delete("file").await.unwrap();
    storage.upload("file", &pattern(1000, 2)).await.unwrap();
    assert_eq!(storage.read("file", checksum).await.unwrap_err().code, ErrorCode::CHANGED);
    assert_eq!(storage.download("file").await.unwrap(), pattern(1000, 2));
}

#[tokio::test]
async fn a_file_shorter_than_its_row_is_an_error() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    storage.upload("short", &pattern(1000, 1)).await.unwrap();
    std::fs::OpenOptions::new().write(true).open(lab.only_file()).unwrap().set_len(999).unwrap();
    let mut wire = storage.connect().await;
    assert_eq!(wire.download("short").await.unwrap_err().code, ErrorCode::INTERNAL);
    // The refusal was whole, so the connection lives on.
    assert_eq!(wire.download("none").await.unwrap_err().code, ErrorCode::NOT_FOUND);
}

#[tokio::test]
async fn a_damaged_file_is_marked_and_stays_its_owners() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    let damaged = "SELECT count(*) FROM t_copy WHERE state = 'damaged'";
    for (name, damage) in [("longer", 1001), ("shorter", 999), ("other", 1000)] {
        storage.upload(name, &pattern(1000, 1)).await.unwrap();
        let told = storage.stat(name).await.unwrap();
        let mut bytes = pattern(damage, 1);
        bytes[500] ^= 1;
        std::fs::write(lab.only_file(), bytes).unwrap();
        assert_eq!(storage.download(name).await.unwrap_err().code, ErrorCode::INTERNAL, "{name}");
        until(|| lab.count(damaged) == 1).await;
        let failure = storage.download(name).await.unwrap_err();
        assert_eq!(failure.code, ErrorCode::INTERNAL, "{name}");
        assert!(failure.text.contains("is damaged here"), "{name}: {failure}");
        assert_eq!(storage.stat(name).await.unwrap(), told);
        assert!(storage.upload(name, b"again").await.is_err(), "its id is taken");
        storage.delete(name).await.unwrap();
        assert_eq!(storage.download(name).await.unwrap_err().code, ErrorCode::NOT_FOUND);
        lab.until_files(0).await;
    }
}

#[tokio::test]
async fn bytes_of_a_damaged_file_are_not_taken_for_its_end() {
    const LEN: usize = 4 << 20;
    let mut lab = Lab::new().await;
    lab.config.send_mode = SendMode::Copy;
    let storage = lab.start().await;
    storage.upload("rotten", &pattern(LEN, 1)).await.unwrap();
    let mut bytes = pattern(LEN, 1);
    bytes[LEN / 2] ^= 1;
    std::fs::write(lab.only_file(), bytes).unwrap();
    let mut wire = storage.connect().await;
    wire.send(&Download { key: key("rotten"), offset: 0, size: 0 }.to_frame()).await;
    let mut got = Vec::new();
    let _ = wire.0.read_to_end(&mut got).await;
    assert!(got.len() < HEADER_LEN + LEN, "{}", got.len());
    until(|| lab.count("SELECT count(*) FROM t_copy WHERE state = 'damaged'") == 1).await;
    assert!(storage.download("rotten").await.unwrap_err().text.contains("is damaged here"));
}

#[tokio::test]
async fn a_file_that_gets_shorter_on_its_way_out_ends_early() {
    const LEN: usize = 64 << 20;
    let lab = Lab::new().await;
    let storage = lab.start().await;
    storage.upload("shrinks", &pattern(LEN, 1)).await.unwrap();
    let mut wire = storage.connect().await;
    wire.send(&Download { key: key("shrinks"), offset: 0, size: 0 }.to_frame()).await;
    let mut header = [0; HEADER_LEN];
    wire.0.read_exact(&mut header).await.unwrap();
    let header = Header::decode(header).unwrap();
    assert_eq!((header.status, header.body_len), (STATUS_OK, LEN as u64));
    std::fs::OpenOptions::new().write(true).open(lab.only_file()).unwrap().set_len(1 << 20).unwrap();
    let mut got = Vec::new();
    // Reset or closed, but never filled up with something else.
    let _ = wire.0.read_to_end(&mut got).await;
    assert!(got.len() < LEN, "{}", got.len());
    assert!(got == pattern(LEN, 1)[..got.len()], "wrong bytes were sent");
}

#[tokio::test]
async fn a_file_that_is_gone_is_an_error_and_keeps_its_row() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    storage.upload("gone", &pattern(1000, 1)).await.unwrap();
    std::fs::remove_file(lab.only_file()).unwrap();
    assert_eq!(storage.download("gone").await.unwrap_err().code, ErrorCode::INTERNAL);
    assert_eq!(lab.rows(), (1, 1));
    storage.delete("gone").await.unwrap();
    assert_eq!(storage.download("gone").await.unwrap_err().code, ErrorCode::NOT_FOUND);
}

#[tokio::test]
async fn a_row_of_the_older_system_is_served_from_where_it_says() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    let place = "000/001/002/5F6E7AD2_003";
    std::fs::create_dir_all(lab.store().join(place).parent().unwrap()).unwrap();
    std::fs::write(lab.store().join(place), pattern(100_000, 9)).unwrap();
    let add = |id: &str, path: &str, size: i64| {
        let insert = "INSERT INTO t_file_02 (id, appid, userid, status, file_path, file_size)
                      VALUES (?, 'tnvideo', 'tnv001', 0, ?, ?)";
        lab.sql().execute(insert, rusqlite::params![id, path, size]).unwrap();
    };
    add("old", &format!("../store/{place}"), 100_000);
    assert_eq!(storage.download("old").await.unwrap(), pattern(100_000, 9));
    assert!(!storage.stat("old").await.unwrap().blake3.is_known());
    // A piece of it, with a checksum that nobody can check.
    assert_eq!(storage.read("old", Checksum([7; 32])).await.unwrap(), pattern(100_000, 9));

    add("away", "../other/000/001/002/5F6E7AD2_003", 100_000);
    assert_eq!(storage.download("away").await.unwrap_err().code, ErrorCode::UNAVAILABLE);
    add("outside", "../store/../../../etc/passwd", 1);
    assert_eq!(storage.download("outside").await.unwrap_err().code, ErrorCode::UNAVAILABLE);
    add("wrong", &format!("../store/{place}"), 99_999);
    assert_eq!(storage.download("wrong").await.unwrap_err().code, ErrorCode::INTERNAL);
}
