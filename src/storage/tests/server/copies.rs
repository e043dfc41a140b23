//! Groups whose storages have a copy of each file each.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tnv_common::config::WrittenPath;
use tnv_proto::{Checksum, Command, Download, ErrorCode, Read, Request};
use tnv_storage::{Config, Replication};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::lab::{Lab, Running, key, pattern, until, written};

/// Storages with folders of their own and one catalog.
pub(crate) struct Group(pub(crate) Lab);

impl Group {
    pub(crate) async fn new() -> Group {
        let mut lab = Lab::new().await;
        lab.config.replication = Replication::Copies;
        Group(lab)
    }

    pub(crate) async fn start(&self, name: &str) -> Running {
        self.start_with(name, |_| {}).await
    }

    pub(crate) async fn start_with(&self, name: &str, change: impl FnOnce(&mut Config)) -> Running {
        let mut config = self.0.config.clone();
        config.store_paths = vec![self.path(name)];
        change(&mut config);
        self.0.start_with(&config).await
    }

    fn path(&self, name: &str) -> WrittenPath {
        written(self.0.folder.path(), name)
    }

    /// The files of a storage, its own aside.
    pub(crate) fn files(&self, name: &str) -> Vec<PathBuf> {
        self.0.files_in(&self.path(name).resolved)
    }

    /// Waits until each of these has so many files, all under their final names.
    pub(crate) async fn until_files(&self, names: &[&str], count: usize) {
        let is_final = |path: &PathBuf| path.extension().is_none();
        until(|| {
            names.iter().all(|name| self.files(name).iter().filter(|path| is_final(path)).count() == count)
        })
        .await;
    }

    pub(crate) fn orders(&self) -> i64 {
        self.0.count("SELECT count(*) FROM t_pending")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_takes_all_have_at_once_and_soon_for_good() {
    let group = Group::new().await;
    let (one, two, three) = (group.start("one").await, group.start("two").await, group.start("three").await);
    let files = [("empty", 0), ("small", 3_000), ("middle", 300_000), ("large", 40 << 20)];
    for (seed, (file, len)) in (0..).zip(files) {
        let bytes = pattern(len, seed);
        one.upload(file, &bytes).await.unwrap();
        for other in [&two, &three] {
            assert_eq!(other.stat(file).await.unwrap().size, len as u64, "{file}");
            assert!(other.download(file).await.unwrap() == bytes, "{file}");
        }
    }
    group.until_files(&["one", "two", "three"], files.len()).await;
    until(|| group.orders() == 0).await;
    one.stop().await;
    for (seed, (file, len)) in (0..).zip(files) {
        for other in [&two, &three] {
            assert!(other.download(file).await.unwrap() == pattern(len, seed), "{file}");
        }
    }
    two.stop().await;
    three.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_file_that_lies_elsewhere_are_sent_and_fetch_is_not_passed_on() {
    let group = Group::new().await;
    // Registered, so that it is ordered to have the file, and away, so that it has not.
    group.start("two").await.stop().await;
    let one = group.start("one").await;
    let bytes = pattern(2_000_000, 3);
    one.upload("file", &bytes).await.unwrap();
    let blake3 = one.stat("file").await.unwrap().blake3;
    one.stop().await;
    let two = group.start("two").await;
    for _ in 0..2 {
        // The row is there: it is not said to be gone.
        assert_eq!(two.download("file").await.unwrap_err().code, ErrorCode::UNAVAILABLE);
    }
    let read = Read { download: Download { key: key("file"), offset: 0, size: 0 }, expected: blake3 };
    let mut wire = two.connect().await;
    wire.send(&read.to_fetch_frame()).await;
    assert_eq!(wire.reply().await.unwrap_err().code, ErrorCode::NOT_FOUND);

    let one = group.start("one").await;
    group.until_files(&["two"], 1).await;
    for (offset, size) in [(0, 0), (1_999_999, 1), (5, 1_000_000), (2_000_000, 0)] {
        let mut wire = two.connect().await;
        wire.send(&Download { key: key("file"), offset, size }.to_frame()).await;
        let end = if size == 0 { 2_000_000 } else { offset + size };
        assert!(wire.reply().await.unwrap() == bytes[offset as usize..end as usize], "{offset} {size}");
    }
    let other = Checksum([7; 32]);
    assert_eq!(two.read("file", other).await.unwrap_err().code, ErrorCode::CHANGED);
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_reaches_who_was_away_and_nothing_comes_back() {
    let group = Group::new().await;
    let (one, two) = (group.start("one").await, group.start("two").await);
    for file in ["copied", "ordered"] {
        if file == "ordered" {
            group.until_files(&["one", "two"], 1).await;
        }
        one.upload(file, &pattern(100_000, 1)).await.unwrap();
        if file == "copied" {
            group.until_files(&["two"], 1).await;
        }
    }
    group.until_files(&["one", "two"], 2).await;
    two.stop().await;
    one.upload("never seen", b"bytes").await.unwrap();
    for file in ["copied", "never seen"] {
        one.delete(file).await.unwrap();
        assert_eq!(one.download(file).await.unwrap_err().code, ErrorCode::NOT_FOUND, "{file}");
    }
    // The same id again, with other bytes, while the other still has those of the old one.
    one.upload("copied", &pattern(100_000, 2)).await.unwrap();
    let two = group.start("two").await;
    assert!(two.download("copied").await.unwrap() == pattern(100_000, 2));
    assert_eq!(two.download("never seen").await.unwrap_err().code, ErrorCode::NOT_FOUND);
    until(|| group.orders() == 0).await;
    group.until_files(&["one", "two"], 2).await;
    // Deleted where it lies and where it does not.
    two.delete("copied").await.unwrap();
    assert_eq!(one.download("copied").await.unwrap_err().code, ErrorCode::NOT_FOUND);
    group.until_files(&["one", "two"], 1).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_does_not_wait_for_a_storage_whose_process_is_gone() {
    let mut group = Group::new().await;
    // Longer than any reply is waited for here.
    group.0.config.row_lease = Duration::from_secs(60);
    let (one, two) = (group.start("one").await, group.start("two").await);
    let files: Vec<_> = (0..10).map(|n| format!("file{n}")).collect();
    for file in &files {
        one.upload(file, &pattern(5_000, 1)).await.unwrap();
        assert!(two.download(file).await.is_ok());
    }
    group.until_files(&["one", "two"], files.len()).await;
    two.stop().await;
    for file in &files {
        one.delete(file).await.unwrap();
    }
    let two = group.start("two").await;
    for file in &files {
        assert_eq!(two.download(file).await.unwrap_err().code, ErrorCode::NOT_FOUND, "{file}");
    }
    group.until_files(&["one", "two"], 0).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_member_gets_what_was_there_before_it() {
    let group = Group::new().await;
    let one = group.start("one").await;
    for n in 0..30 {
        one.upload(&format!("file{n}"), &pattern(2_000 * n, n as u8)).await.unwrap();
    }
    let two = group.start("two").await;
    assert!(two.download("file29").await.unwrap() == pattern(58_000, 29), "it has it from the first moment");
    group.until_files(&["two"], 30).await;
    until(|| group.orders() == 0).await;
    one.stop().await;
    for n in 0..30 {
        assert!(two.download(&format!("file{n}")).await.unwrap() == pattern(2_000 * n, n as u8), "{n}");
    }
    two.stop().await;
}

/// Passes connections on to a server, and counts the bytes that come back.
async fn counting(server: SocketAddr, listener: TcpListener, counted: Arc<AtomicU64>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let counted = counted.clone();
        tokio::spawn(async move {
            let (mut asks, mut takes) = client.into_split();
            let (mut answers, mut hears) = TcpStream::connect(server).await.unwrap().into_split();
            let forth = tokio::io::copy(&mut asks, &mut hears);
            let back = async {
                let mut buffer = vec![0; 64 * 1024];
                loop {
                    let got = answers.read(&mut buffer).await?;
                    if got == 0 {
                        return std::io::Result::Ok(());
                    }
                    counted.fetch_add(got as u64, Ordering::Relaxed);
                    takes.write_all(&buffer[..got]).await?;
                }
            };
            tokio::select! { _ = forth => {}, _ = back => {} }
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_copy_goes_on_where_it_was_after_a_restart() {
    const LEN: usize = 96 << 20;
    let group = Group::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let one = group.start_with("one", |config| config.advertise = address.to_string()).await;
    let counted = Arc::new(AtomicU64::new(0));
    tokio::spawn(counting(one.address, listener, counted.clone()));
    one.upload("film", &pattern(LEN, 1)).await.unwrap();

    let slow = group.start_with("two", |config| config.fill_rate = 16 << 20).await;
    let folder = group.path("two").resolved.join(".tnv-parts");
    let durable = || {
        let entries = std::fs::read_dir(&folder).into_iter().flatten();
        let offsets = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|kind| kind == "offset"));
        offsets
            .map(|path| u64::from_be_bytes(std::fs::read(path).unwrap().try_into().unwrap()))
            .max()
            .unwrap_or(0)
    };
    until(|| durable() >= 32 << 20).await;
    slow.stop().await;
    let (before, came) = (durable(), counted.load(Ordering::Relaxed));
    assert!(before < LEN as u64 && group.files("two").is_empty());

    let two = group.start("two").await;
    group.until_files(&["two"], 1).await;
    until(|| group.orders() == 0).await;
    let rest = counted.load(Ordering::Relaxed) - came;
    assert!(rest < LEN as u64 - before + (1 << 20), "{rest} bytes came where {before} of {LEN} were there");
    one.stop().await;
    assert!(two.download("film").await.unwrap() == pattern(LEN, 1));
    until(|| std::fs::read_dir(&folder).unwrap().next().is_none()).await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_is_served_from_another_one_and_replaced() {
    let group = Group::new().await;
    let (one, two) = (group.start("one").await, group.start("two").await);
    let bytes = pattern(100_000, 9);
    one.upload("file", &bytes).await.unwrap();
    group.until_files(&["one", "two"], 1).await;
    until(|| group.orders() == 0).await;
    let old = group.files("one").remove(0);
    std::fs::write(&old, &bytes[..50_000]).unwrap();
    assert!(one.download("file").await.unwrap() == bytes);
    until(|| group.files("one").iter().any(|path| *path != old && std::fs::read(path).unwrap() == bytes))
        .await;
    until(|| group.orders() == 0).await;
    group.until_files(&["one"], 1).await;
    two.stop().await;
    assert!(one.download("file").await.unwrap() == bytes);
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_of_one_are_not_taken_where_another_has_the_right_ones() {
    let group = Group::new().await;
    let (one, two) = (group.start("one").await, group.start("two").await);
    let bytes = pattern(300_000, 4);
    for n in 0..6 {
        one.upload(&format!("file{n}"), &bytes).await.unwrap();
    }
    group.until_files(&["one", "two"], 6).await;
    until(|| group.orders() == 0).await;
    // Of the right length: who has it does not notice.
    for path in group.files("one") {
        let mut wrong = bytes.clone();
        wrong[150_000] ^= 1;
        std::fs::write(path, wrong).unwrap();
    }
    let three = group.start("three").await;
    group.until_files(&["three"], 6).await;
    for path in group.files("three") {
        assert!(std::fs::read(path).unwrap() == bytes);
    }
    for running in [one, two, three] {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_is_harmless_whoever_sends_it() {
    let group = Group::new().await;
    let one = group.start("one").await;
    let mut wire = one.connect().await;
    for file in ["none", "file"] {
        wire.send(&key(file).to_frame(Command::Notice)).await;
        assert!(wire.reply().await.unwrap().is_empty());
        one.upload("file", b"bytes").await.err();
    }
    assert_eq!(one.download("file").await.unwrap(), b"bytes");
    one.stop().await;
}
