//! Uploads that several storages have when they are answered.

use tnv_proto::{
    Acknowledged, Append, Begin, Checksum, ErrorCode, Failure, Finish, Keep, Labels, NewUpload, Push, Pushed,
    PushedPlace, Request, Store, Upload,
};
use tnv_storage::Replication;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::copies::Group;
use crate::lab::{Lab, Running, key, pattern, until};

fn blake3_of(bytes: &[u8]) -> Checksum {
    Checksum(*blake3::hash(bytes).as_bytes())
}

fn new_upload(file: &str, size: usize, ack_copies: u8) -> NewUpload {
    NewUpload { key: key(file), size: size as u64, labels: Labels::default(), ack_copies }
}

impl Running {
    async fn tell(&self, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut wire = self.connect().await;
        wire.send(bytes).await;
        wire.reply().await
    }

    /// STORE: how many storages had the file when it was answered.
    async fn store(&self, file: &str, bytes: &[u8], ack_copies: u8) -> Result<u8, Failure> {
        let frame = Store(new_upload(file, bytes.len(), ack_copies)).to_frame();
        let told = if file.len().is_multiple_of(2) { blake3_of(bytes) } else { Checksum::UNKNOWN };
        let reply = self.tell(&[&frame, bytes, &told.0].concat()).await?;
        Ok(Acknowledged::decode(&reply).unwrap().copies)
    }

    async fn push(&self, file: &str, bytes: &[u8], told: Checksum) -> Result<Pushed, Failure> {
        let frame = Push(Upload { key: key(file), size: bytes.len() as u64 }).to_frame();
        self.tell(&[&frame, bytes, &told.0].concat()).await.map(|body| Pushed::decode(&body).unwrap())
    }

    /// Waits until it knows so many others that it can give copies to.
    async fn until_reached(&self, others: u8) {
        for n in 0.. {
            let file = format!("{}-{n}-first", self.address.port());
            let copies = self.store(&file, b"first", others + 1).await.unwrap();
            self.delete(&file).await.unwrap();
            if copies == others + 1 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

impl Group {
    fn copies_of(&self, file: &str) -> i64 {
        self.0.count(&format!("SELECT count(*) FROM t_copy WHERE file_id = '{file}' AND state = 'present'"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_copy_is_there_before_the_reply() {
    let mut group = Group::new().await;
    group.0.config.ack.copies = 2;
    let (one, two) = (group.start("one").await, group.start("two").await);
    one.until_reached(1).await;
    group.until_files(&["one", "two"], 0).await;
    let files = [("empty", 0), ("small", 3_000), ("middle", 65_537), ("odd", 300_001), ("large", 40 << 20)];
    for (seed, (file, len)) in (0..).zip(files) {
        // 0: as the storage is configured.
        let copies = one.store(file, &pattern(len, seed), 0).await.unwrap();
        assert_eq!((copies, group.copies_of(file), group.orders()), (2, 2, 0), "{file}");
        assert!(two.download(file).await.unwrap() == pattern(len, seed), "{file}");
    }
    // One that asks for less gets less, and the rest comes by itself.
    assert_eq!(one.store("alone", b"bytes", 1).await.unwrap(), 1);
    group.until_files(&["one", "two"], files.len() + 1).await;
    one.stop().await;
    for (seed, (file, len)) in (0..).zip(files) {
        assert!(two.download(file).await.unwrap() == pattern(len, seed), "{file}");
    }
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_parts_has_as_many_copies_as_it_was_begun_with() {
    let group = Group::new().await;
    let storages = [group.start("one").await, group.start("two").await, group.start("three").await];
    let one = &storages[0];
    one.until_reached(2).await;
    let bytes = pattern(700_000, 3);
    one.tell(&Begin(new_upload("parts", bytes.len(), 3)).to_frame()).await.unwrap();
    for (part, offset) in bytes.chunks(400_000).zip([0, 400_000]) {
        let frame = Append { key: key("parts"), offset, len: part.len() as u64 }.to_frame();
        one.tell(&[&frame, part].concat()).await.unwrap();
    }
    let finish = Finish { key: key("parts"), expected: blake3_of(&bytes) };
    let finished = Acknowledged::decode(&one.tell(&finish.to_frame()).await.unwrap()).unwrap();
    assert_eq!((finished.copies, group.copies_of("parts"), group.orders()), (3, 3, 0));
    for storage in storages {
        assert!(storage.download("parts").await.unwrap() == bytes);
        storage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_too_few_storages_it_is_refused_or_told() {
    let mut group = Group::new().await;
    group.0.config.ack.copies = 2;
    let one = group.start("one").await;
    assert_eq!(one.store("told", b"bytes", 0).await.unwrap(), 1);
    assert_eq!(one.store("large", &pattern(100_000, 1), 3).await.unwrap(), 1);
    one.stop().await;
    group.0.config.ack.strict = true;
    let one = group.start("one").await;
    for len in [10, 100_000] {
        let refused = one.store("refused", &pattern(len, 1), 0).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::UNAVAILABLE);
        assert!(refused.text.contains("2 storages of the group are to have"), "{}", refused.text);
    }
    assert_eq!(one.store("alone", b"bytes", 1).await.unwrap(), 1);
    group.until_files(&["one"], 3).await;
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_breaks_off_in_the_middle_is_done_without() {
    let group = Group::new().await;
    let one = group.start("one").await;
    // Reads a little and hangs up.
    let broken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    group.join("broken", broken.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = broken.accept().await.unwrap();
            tokio::spawn(async move { stream.read_exact(&mut [0; 5_000]).await });
        }
    });
    for len in [10_000, 1 << 20] {
        let file = format!("file{len}");
        assert_eq!(one.store(&file, &pattern(len, 1), 2).await.unwrap(), 1);
        assert!(one.download(&file).await.unwrap() == pattern(len, 1));
    }
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pushed_waits_for_its_rows_and_goes_without() {
    let group = Group::new().await;
    let (one, two) = (group.start("one").await, group.start("two").await);
    let id: String = two.push("names", b"itself", blake3_of(b"itself")).await.unwrap().storage;
    // The rows are there before two is told, which makes them a file; and once told nothing changes.
    for (file, len) in [("small", 5_000), ("large", 500_000)] {
        let bytes = pattern(len, 1);
        let pushed = two.push(file, &bytes, blake3_of(&bytes)).await.unwrap();
        assert_eq!(pushed.storage, id);
        one.store(file, &bytes, 1).await.unwrap();
        group.rewrite(file, &pushed);
        assert!(two.download(file).await.unwrap() == bytes);
        two.tell(&Keep { places: vec![pushed.place] }.to_frame()).await.unwrap();
        assert!(two.download(file).await.unwrap() == bytes);
    }
    let nowhere = PushedPlace { path_index: 7, path: "000/000/000/none".to_owned() };
    two.tell(&Keep { places: vec![nowhere] }.to_frame()).await.unwrap();
    for len in [5_000, 500_000] {
        let wrong = two.push("wrong", &pattern(len, 1), blake3_of(b"other")).await.unwrap_err();
        assert_eq!(wrong.code, ErrorCode::CHANGED);
    }
    two.stop().await;
    // What has no rows, here "names", goes at the next start.
    let two = group.start("two").await;
    group.until_files(&["two"], 2).await;
    assert_eq!(group.files("two").len(), 2);
    one.stop().await;
    two.stop().await;
}

impl Group {
    /// Makes two's copy of a file the one that was pushed there.
    fn rewrite(&self, file: &str, Pushed { storage, place }: &Pushed) {
        let sql = self.0.sql();
        let busy = std::time::Duration::from_secs(5);
        sql.busy_timeout(busy).unwrap();
        sql.execute_batch(&format!(
            "BEGIN IMMEDIATE;
             UPDATE t_copy SET state = 'deleting' WHERE file_id = '{file}' AND storage = '{storage}';
             DELETE FROM t_pending WHERE file_id = '{file}';
             INSERT INTO t_copy (storage, path_index, path, file_table, file_id, state)
             VALUES ('{storage}', {}, '{}', 2, '{file}', 'present');
             COMMIT;",
            place.path_index, place.path
        ))
        .unwrap();
    }
}

#[tokio::test]
async fn a_storage_without_peers_takes_no_push() {
    let lab = Lab::new().await;
    assert_eq!(lab.config.replication, Replication::None);
    let storage = lab.start().await;
    let refused = storage.push("file", b"bytes", blake3_of(b"bytes")).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::BAD_REQUEST);
    assert_eq!(
        storage.store("file", b"bytes", 2).await.unwrap(),
        0,
        "nothing is told where nothing is copied"
    );
    until(|| lab.files().len() == 1).await;
}
