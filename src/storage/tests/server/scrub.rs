//! All files read again: what is damaged is found and repaired before anybody asks for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::BufMut;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tnv_proto::state::ScrubState;
use tnv_proto::{Command, Header};

use crate::copies::Group;
use crate::lab::{Lab, Running, pattern, until};

async fn scrub(running: &Running, begin: bool) -> ScrubState {
    let mut frame = Header::request(Command::Scrub, 1).encode().to_vec();
    frame.put_u8(u8::from(begin));
    let mut wire = running.connect().await;
    wire.send(&frame).await;
    serde_json::from_slice(&wire.reply().await.unwrap()).unwrap()
}

/// One pass, from its beginning to its end.
async fn whole_pass(running: &Running) -> ScrubState {
    assert!(scrub(running, true).await.running);
    loop {
        let state = scrub(running, false).await;
        if !state.running {
            return state;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const DAMAGES: usize = 200;

fn contents(n: usize) -> Vec<u8> {
    // A few of several blocks.
    let len = if n.is_multiple_of(10) { 300_000 + n * 500 } else { 1 + n * 60 };
    pattern(len, n as u8)
}

/// Puts other bytes in a file's place, at once: a transfer that is under way goes on with the old ones.
fn replace(file: &Path, bytes: &[u8]) {
    let fresh = file.with_extension("fresh");
    std::fs::write(&fresh, bytes).unwrap();
    std::fs::rename(fresh, file).unwrap();
}

/// Damages so many of these files, each in one way.
fn damage(mut files: Vec<PathBuf>, random: &mut StdRng) {
    files.sort();
    files.shuffle(random);
    files.truncate(DAMAGES);
    let mut rest = &files[..];
    while let [file, more @ ..] = rest {
        let mut bytes = std::fs::read(file).unwrap();
        let at = random.random_range(0..bytes.len());
        rest = more;
        match (random.random_range(0..4), more) {
            (0, _) => std::fs::remove_file(file).unwrap(),
            (1, _) => replace(file, &bytes[..at]),
            (2, [other, more @ ..]) => {
                let others = std::fs::read(other).unwrap();
                replace(file, &others);
                replace(other, &bytes);
                rest = more;
            }
            _ => {
                bytes[at] ^= 1 << random.random_range(0..8);
                replace(file, &bytes);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_damages_are_found_and_repaired_and_no_reader_gets_a_wrong_byte() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut group = Group::new().await;
    group.0.config.scrub.rate = 0;
    let (one, two) = (Arc::new(group.start("one").await), Arc::new(group.start("two").await));
    let files = DAMAGES + 20;
    for n in 0..files {
        one.upload(&format!("file{n}"), &contents(n)).await.unwrap();
    }
    group.until_files(&["one", "two"], files).await;
    until(|| group.orders() == 0).await;
    let well = || async {
        // Old bytes go when the new ones are there.
        group.until_files(&["one", "two"], files).await;
        until(|| group.orders() == 0).await;
        let state = whole_pass(&one).await;
        assert_eq!((state.last.files, state.last.damaged + state.last.missing), (files as u64, 0));
    };
    well().await;

    damage(group.files("one"), &mut random);
    let found = whole_pass(&one).await.last;
    println!("{found:?}");
    assert_eq!((found.damaged + found.missing, found.unread, found.orphans), (DAMAGES as u64, 0, 0));
    well().await;

    let (stop, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let readers = [one.clone(), two.clone(), one.clone()].map(|storage| {
        let (stop, reads, mut random) = (stop.clone(), reads.clone(), StdRng::seed_from_u64(random.random()));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let n = random.random_range(0..files);
                // A connection that ends before its bytes do is no wrong byte.
                if let Some((_, body)) = storage.connect().await.asked(&format!("file{n}")).await {
                    assert!(body == contents(n), "file{n}");
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    });
    damage(group.files("one"), &mut random);
    let found = whole_pass(&one).await.last;
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    let reads = reads.load(Ordering::Relaxed);
    println!("{reads} reads beside it, {found:?}");
    assert!(reads > 0);
    well().await;
    for n in 0..files {
        assert!(one.download(&format!("file{n}")).await.unwrap() == contents(n), "file{n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_no_row_stands_for_are_told_once_they_are_old_and_left() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    storage.upload("file", b"bytes").await.unwrap();
    let file = lab.only_file();
    let [old, young] = ["5F6E7AD2_007", "5F6E7AD2_008"].map(|name| file.with_file_name(name));
    for orphan in [&old, &young] {
        std::fs::write(orphan, "of nobody").unwrap();
    }
    let then = SystemTime::now() - Duration::from_secs(25 * 3600);
    for path in [&old, &file] {
        std::fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
    }
    let state = whole_pass(&storage).await;
    assert_eq!((state.last.orphans, state.last.files), (1, 1));
    assert!(old.exists() && young.exists());
    assert_eq!(storage.download("file").await.unwrap(), b"bytes");
    storage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_goes_on_after_a_restart() {
    let mut lab = Lab::new().await;
    // A second for each file.
    lab.config.scrub.rate = 20_000;
    let storage = lab.start().await;
    for n in 0..4 {
        storage.upload(&format!("file{n}"), &pattern(20_000, n)).await.unwrap();
    }
    let begun = scrub(&storage, true).await.pass.started;
    while scrub(&storage, false).await.pass.files < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    storage.stop().await;
    lab.config.scrub.rate = 0;
    let storage = lab.start().await;
    let mut state = scrub(&storage, false).await;
    while state.running || state.last.ended == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        state = scrub(&storage, false).await;
    }
    assert_eq!((state.last.started, state.last.files, state.last.bytes), (begun, 4, 80_000));
    storage.stop().await;
}
