//! What uploads leave, and what those that fail do not.

use std::time::Duration;

use tnv_proto::{Command, ErrorCode, Header, Request, Upload};
use tnv_storage::{SyncPolicy, WriteMode, Writing};
use tokio::io::AsyncWriteExt;

use crate::lab::{Lab, key, pattern};

#[tokio::test]
async fn an_upload_comes_back_as_it_was() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    for (file, len) in [("small", 10), ("large", 3 << 20)] {
        storage.upload(file, &pattern(len, 1)).await.unwrap();
        assert_eq!(storage.download(file).await.unwrap(), pattern(len, 1), "{file}");
    }
    assert_eq!(lab.rows(), (2, 2));
    assert!(lab.files().iter().all(|file| !file.ends_with(".tmp")));
}

#[tokio::test]
async fn a_file_without_bytes_is_a_file() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    storage.upload("empty", b"").await.unwrap();
    assert_eq!(storage.download("empty").await.unwrap(), b"");
    let attributes = storage.stat("empty").await.unwrap();
    assert_eq!((attributes.size, attributes.crc32), (0, 0));
    assert_eq!(attributes.blake3.0, *blake3::hash(b"").as_bytes());
    assert_eq!(storage.upload("empty", b"").await.unwrap_err().code, ErrorCode::CONFLICT);
    assert_eq!(lab.files().len(), 1);
}

#[tokio::test]
async fn an_upload_cut_off_leaves_nothing() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    for sent in [0, 1, 100_000, 5 << 20] {
        let mut wire = storage.connect().await;
        wire.begin_upload("cut", 8 << 20).await;
        wire.send(&pattern(sent, 1)).await;
        // Before the first buffer is full there is no file yet.
        if sent > 1 << 20 {
            lab.until_files(1).await;
        }
        drop(wire);
        lab.until_files(0).await;
    }
    assert_eq!(lab.rows(), (0, 0));
    storage.upload("cut", &pattern(1000, 2)).await.unwrap();
    assert_eq!(storage.download("cut").await.unwrap(), pattern(1000, 2));
}

#[tokio::test]
async fn a_lie_about_the_size_is_refused() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    for (said, body) in [(7_u64, 8_u64), (8, 7), (0, 8), (1 << 62, 8)] {
        let mut wire = storage.connect().await;
        let mut frame = Upload { key: key("lie"), size: said }.to_frame();
        frame[..10].copy_from_slice(&Header::request(Command::Upload, Upload::LEN as u64 + body).encode());
        wire.send(&frame).await;
        wire.send(&pattern(body as usize, 1)).await;
        assert_eq!(wire.reply().await.unwrap_err().code, ErrorCode::BAD_REQUEST);
        // The body was small, so the connection lives on, and the next frame is where it should be.
        assert_eq!(wire.download("lie").await.unwrap_err().code, ErrorCode::NOT_FOUND);
    }
    let mut wire = storage.connect().await;
    let mut frame = Upload { key: key("lie"), size: 0 }.to_frame();
    frame[410..418].copy_from_slice(&(-1_i64).to_be_bytes());
    wire.send(&frame).await;
    assert_eq!(wire.reply().await.unwrap_err().code, ErrorCode::BAD_REQUEST);
    assert_eq!((lab.files().len(), lab.rows()), (0, (0, 0)));
}

#[tokio::test]
async fn bytes_behind_an_upload_are_the_next_frame() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    let mut wire = storage.connect().await;
    let mut frames = Upload { key: key("first"), size: 5 }.to_frame();
    frames.extend_from_slice(b"12345");
    frames.extend_from_slice(&key("first").to_frame(Command::FileSize));
    wire.send(&frames).await;
    assert_eq!(wire.reply().await.unwrap(), b"");
    assert_eq!(wire.reply().await.unwrap(), 5_i64.to_be_bytes());
}

#[tokio::test]
async fn an_id_that_is_taken_keeps_its_bytes() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    storage.upload("taken", &pattern(1000, 1)).await.unwrap();
    for len in [0, 1000, 200_000] {
        let refused = storage.upload("taken", &pattern(len, 2)).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::CONFLICT);
    }
    assert_eq!(storage.download("taken").await.unwrap(), pattern(1000, 1));
    assert_eq!((lab.files().len(), lab.rows()), (1, (1, 1)));
}

#[tokio::test]
async fn of_uploads_of_one_id_at_once_one_wins() {
    const LEN: usize = 300_000;
    let lab = Lab::new().await;
    let storage = lab.start().await;
    // All of them are past the check whether the id is taken before the first one ends.
    let mut wires = Vec::new();
    for seed in 0..4 {
        let mut wire = storage.connect().await;
        wire.begin_upload("same", LEN as u64).await;
        wire.send(&pattern(LEN, seed)[..LEN - 1]).await;
        wires.push(wire);
    }
    lab.until_files(4).await;
    let mut winner = None;
    for (seed, wire) in wires.iter_mut().enumerate() {
        wire.send(&pattern(LEN, seed as u8)[LEN - 1..]).await;
    }
    for (seed, wire) in wires.iter_mut().enumerate() {
        match wire.reply().await {
            Ok(_) => assert_eq!(winner.replace(seed), None, "two of them won"),
            Err(failure) => assert_eq!(failure.code, ErrorCode::CONFLICT),
        }
    }
    let winner = winner.expect("one of them wins");
    assert_eq!(storage.download("same").await.unwrap(), pattern(LEN, winner as u8));
    assert_eq!((lab.files().len(), lab.rows()), (1, (1, 1)));
    assert!(!lab.files()[0].ends_with(".tmp"));
}

#[tokio::test]
async fn a_catalog_that_fails_at_the_commit_leaves_neither_row_nor_bytes() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    // The file's row is in when its copy's row fails.
    let fail = "CREATE TRIGGER fail BEFORE INSERT ON t_copy BEGIN SELECT RAISE(ABORT, 'as told'); END";
    lab.sql().execute_batch(fail).unwrap();
    let refused = storage.upload("lost", &pattern(100_000, 1)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::UNAVAILABLE, "{refused}");
    assert_eq!((lab.files().len(), lab.rows()), (0, (0, 0)));
    lab.sql().execute_batch("DROP TRIGGER fail").unwrap();
    storage.upload("lost", &pattern(100_000, 2)).await.unwrap();
    assert_eq!(storage.download("lost").await.unwrap(), pattern(100_000, 2));
}

#[tokio::test]
async fn more_than_there_is_room_for_is_refused_before_it_is_sent() {
    let mut lab = Lab::new().await;
    lab.config.max_file_size = 1 << 50;
    let storage = lab.start().await;
    for (size, code) in [(1 << 49, ErrorCode::NO_SPACE), ((1 << 50) + 1, ErrorCode::TOO_LARGE)] {
        let mut wire = storage.connect().await;
        wire.begin_upload("huge", size).await;
        assert_eq!(wire.reply().await.unwrap_err().code, code);
        wire.0.shutdown().await.unwrap();
        assert!(wire.frame().await.is_none());
    }
}

#[tokio::test]
async fn a_stop_cuts_off_a_stalled_upload_and_leaves_nothing() {
    let mut lab = Lab::new().await;
    lab.config.limits.drain_timeout = Duration::from_millis(50);
    let storage = lab.start().await;
    let mut wire = storage.connect().await;
    wire.begin_upload("stalled", 8 << 20).await;
    wire.send(&pattern(3 << 20, 1)).await;
    lab.until_files(1).await;
    storage.stop().await;
    lab.until_files(0).await;
    assert_eq!(lab.rows(), (0, 0));
}

#[tokio::test]
async fn a_stop_in_the_middle_of_a_commit_waits_for_its_end() {
    let mut lab = Lab::new().await;
    lab.config.limits.drain_timeout = Duration::from_millis(50);
    let storage = lab.start().await;
    // Another process of this machine is writing.
    let busy = lab.sql();
    busy.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut wire = storage.connect().await;
    wire.begin_upload("late", 5).await;
    wire.send(b"12345").await;
    lab.until_files(1).await;
    storage.stop.cancel();
    assert!(wire.frame().await.is_none(), "the connection is cut off");
    busy.execute_batch("COMMIT").unwrap();
    storage.stop().await;
    assert_eq!(lab.rows(), (1, 1));
    assert!(!lab.files()[0].ends_with(".tmp"), "{:?}", lab.files());
}

/// Sizes around the edge of memory, of each buffer, of a preallocated file, and where three buffers are in use.
#[tokio::test]
async fn bytes_of_every_size_come_back_with_their_checksums_however_they_are_written() {
    const KIB: usize = 1024;
    let edges = [16, 64, 64 + 256, 256 + 16, 272 + 256, 1024, 3 * 256 + 16, 5 * 256].map(|edge| edge * KIB);
    let mut sizes: Vec<usize> = edges.iter().flat_map(|edge| [edge - 1, *edge, edge + 1]).collect();
    sizes.extend([0, 1, 4095, 4096, 4097, (2 << 20) + 7, (32 << 20) + 4097]);
    let ways = [
        (SyncPolicy::Always, WriteMode::Buffered),
        (SyncPolicy::Group, WriteMode::Auto),
        (SyncPolicy::Group, WriteMode::Direct),
        (SyncPolicy::None, WriteMode::Direct),
    ];
    for (sync, mode) in ways {
        let mut lab = Lab::new().await;
        lab.config.writing = Writing { sync, mode };
        let storage = lab.start().await;
        for size in &sizes {
            let (file, bytes) = (format!("of {size}"), pattern(*size, (*size % 200) as u8));
            storage.upload(&file, &bytes).await.unwrap();
            assert!(storage.download(&file).await.unwrap() == bytes, "{file} {sync:?} {mode:?}");
            let attributes = storage.stat(&file).await.unwrap();
            assert_eq!(attributes.blake3.0, *blake3::hash(&bytes).as_bytes(), "{file} {sync:?} {mode:?}");
            assert_eq!(attributes.crc32, crc32fast::hash(&bytes), "{file} {sync:?} {mode:?}");
        }
        storage.stop().await;
        assert!(lab.files().iter().all(|file| !file.ends_with(".tmp")));
    }
}

#[tokio::test]
async fn with_no_memory_left_for_large_buffers_all_sizes_still_come_in() {
    let mut lab = Lab::new().await;
    // Less than one large buffer.
    lab.config.buffer_memory = 1;
    let storage = lab.start().await;
    for size in [16_384, 16_385, 65_536, 65_537, 300_000] {
        let (file, bytes) = (format!("of {size}"), pattern(size, 5));
        storage.upload(&file, &bytes).await.unwrap();
        assert!(storage.download(&file).await.unwrap() == bytes, "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_small_uploads_at_once_each_id_is_won_once() {
    const FILES: usize = 60;
    let lab = Lab::new().await;
    let storage = lab.start().await;
    // Each id three times, with other bytes each time.
    let mut uploads = Vec::new();
    for n in 0..3 * FILES {
        let (file, bytes) = (format!("file {}", n % FILES), pattern(500 + n, n as u8));
        uploads.push(tokio::spawn(storage.uploader(file, bytes)));
    }
    let mut winners = vec![None; FILES];
    for (n, upload) in uploads.into_iter().enumerate() {
        match upload.await.unwrap() {
            Ok(()) => assert_eq!(winners[n % FILES].replace(n), None, "two of them won"),
            Err(failure) => assert_eq!(failure.code, ErrorCode::CONFLICT),
        }
    }
    for (file, winner) in winners.into_iter().enumerate() {
        let winner = winner.expect("one of them wins");
        let bytes = storage.download(&format!("file {file}")).await.unwrap();
        assert!(bytes == pattern(500 + winner, winner as u8), "file {file}");
    }
    assert_eq!((lab.files().len(), lab.rows()), (FILES, (FILES as i64, FILES as i64)));
}
