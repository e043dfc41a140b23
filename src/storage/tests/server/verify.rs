//! Blocks that are held against their checksums when they are read.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tnv_proto::{Download, ErrorCode, Failure, Request};
use tnv_storage::VerifyReads;
use tokio::io::AsyncReadExt;

use crate::copies::Group;
use crate::lab::{Lab, Running, key, pattern, until};

const BLOCK: usize = 256 * 1024;

/// Turns one bit of a file over, as a disk might that nobody hears of.
fn flip(path: &Path, at: usize) {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).unwrap();
    file.write_all_at(&[byte[0] ^ 4], at as u64).unwrap();
}

async fn part(running: &Running, file: &str, at: usize, len: usize) -> Result<Vec<u8>, Failure> {
    let mut wire = running.connect().await;
    wire.send(&Download { key: key(file), offset: at as i64, size: len as i64 }.to_frame()).await;
    wire.reply().await
}

/// What comes of a whole file before the connection ends.
async fn as_far_as_it_goes(running: &Running, file: &str) -> Vec<u8> {
    let mut wire = running.connect().await;
    wire.send(&Download { key: key(file), offset: 0, size: 0 }.to_frame()).await;
    let mut came = Vec::new();
    let _ = wire.0.read_to_end(&mut came).await;
    came.split_off(tnv_proto::HEADER_LEN.min(came.len()))
}

fn sums(store: &Path) -> Vec<PathBuf> {
    let mut folders = vec![store.join(".tnv-sums")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_block_is_not_sent_in_part_or_in_passing() {
    for (len, at) in [(4_000, 3_000), (100_000, 90_000), (BLOCK, 7), (8 * BLOCK + 5, 5 * BLOCK + 1)] {
        let lab = Lab::new().await;
        let storage = lab.start().await;
        let bytes = pattern(len, 1);
        storage.upload("file", &bytes).await.unwrap();
        assert!(part(&storage, "file", at, 100).await.unwrap() == bytes[at..at + 100], "{len}");
        flip(&lab.only_file(), at);
        let block = at / BLOCK * BLOCK;
        // Blocks before it are well.
        if block > 0 {
            assert!(part(&storage, "file", block - 10, 10).await.unwrap() == bytes[block - 10..block]);
            let came = as_far_as_it_goes(&storage, "file").await;
            assert!(came.len() <= block && came == bytes[..came.len()], "{} of {len}", came.len());
        } else {
            assert_eq!(storage.download("file").await.unwrap_err().code, ErrorCode::INTERNAL, "{len}");
        }
        // Nor next to the bit.
        let near = (at + 50).min(len - 1);
        assert_eq!(part(&storage, "file", near, 1).await.unwrap_err().code, ErrorCode::INTERNAL, "{len}");
        until(|| lab.count("SELECT count(*) FROM t_copy WHERE state = 'damaged'") == 1).await;
        storage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_group_that_is_damaged_at_one_is_sent_from_another_and_repaired() {
    let group = Group::new().await;
    let (one, two) = (group.start("one").await, group.start("two").await);
    let files = [("small", 9_000), ("middle", 200_000), ("large", 4 * BLOCK + 77)];
    for (seed, (file, len)) in (0..).zip(files) {
        one.upload(file, &pattern(len, seed)).await.unwrap();
    }
    group.until_files(&["one", "two"], files.len()).await;
    until(|| group.orders() == 0).await;
    let old = group.files("one");
    for path in &old {
        flip(path, path.metadata().unwrap().len() as usize - 20);
    }
    for (seed, (file, len)) in (0..).zip(files) {
        let bytes = pattern(len, seed);
        let came = part(&one, file, len - 30, 30).await.unwrap();
        assert!(came == bytes[len - 30..], "{file}");
        // Of several blocks some may be out before the damaged one is met, until its mark is seen.
        if len <= BLOCK {
            assert!(one.download(file).await.unwrap() == bytes, "{file}");
        }
    }
    until(|| group.orders() == 0 && group.files("one").iter().all(|path| !old.contains(path))).await;
    two.stop().await;
    for (seed, (file, len)) in (0..).zip(files) {
        assert!(one.download(file).await.unwrap() == pattern(len, seed), "{file}");
    }
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_that_are_missing_are_made_and_go_with_their_file() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    let bytes = pattern(3 * BLOCK, 2);
    storage.upload("file", &bytes).await.unwrap();
    storage.upload("small", &bytes[..BLOCK]).await.unwrap();
    assert_eq!(sums(&lab.store()).len(), 1, "a file of one block has its row's");
    std::fs::remove_dir_all(lab.store().join(".tnv-sums")).unwrap();
    storage.stop().await;
    let storage = lab.start().await;
    assert!(part(&storage, "file", 0, 1).await.unwrap() == bytes[..1]);
    until(|| sums(&lab.store()).len() == 1).await;
    // Torn ones are as good as none.
    let path = sums(&lab.store()).remove(0);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    storage.stop().await;
    let storage = lab.start().await;
    assert!(part(&storage, "file", 0, 1).await.unwrap() == bytes[..1]);
    until(|| std::fs::read(&path).is_ok_and(|now| now == whole)).await;
    storage.delete("file").await.unwrap();
    until(|| sums(&lab.store()).is_empty()).await;
    storage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_is_verified_once_or_each_time_or_never() {
    for (reads, finds_it) in
        [(VerifyReads::First, false), (VerifyReads::Always, true), (VerifyReads::Never, false)]
    {
        let mut lab = Lab::new().await;
        lab.config.verify_reads = reads;
        let storage = lab.start().await;
        let bytes = pattern(2 * BLOCK, 3);
        storage.upload("file", &bytes).await.unwrap();
        part(&storage, "file", 0, 1).await.unwrap();
        // As if the disk had done it: without the file's being touched.
        let path = lab.only_file();
        let modified = path.metadata().unwrap().modified().unwrap();
        flip(&path, 100);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        assert_eq!(part(&storage, "file", 0, 1).await.is_err(), finds_it, "{reads:?}");
        storage.stop().await;
    }
}
