//! Uploads that come in parts, are broken off in every way, and go on.

use std::time::Duration;

use bytes::BytesMut;
use tnv_proto::{
    Append, Attributes, Begin, Checksum, Command, ErrorCode, Failure, FileKey, Finish, KnownUpload, Labels,
    NewUpload, Request, UploadProgress,
};

use crate::lab::{Lab, Running, Wire, key, pattern, until};

const SIZE: usize = 3 << 20;

fn blake3_of(bytes: &[u8]) -> Checksum {
    Checksum(*blake3::hash(bytes).as_bytes())
}

async fn ask(storage: &Running, frame: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut wire = storage.connect().await;
    wire.send(frame).await;
    wire.reply().await
}

async fn begin(storage: &Running, file: &str, size: usize) -> Result<u64, Failure> {
    let labels = Labels::new("film.mp4", "video/mp4").unwrap();
    let begin = Begin(NewUpload { key: key(file), size: size as u64, labels, ack_copies: 0 });
    ask(storage, &begin.to_frame()).await.map(|body| UploadProgress::decode(&body).unwrap().offset)
}

fn append_frame(file: &str, offset: u64, len: usize) -> BytesMut {
    Append { key: key(file), offset, len: len as u64 }.to_frame()
}

async fn append(storage: &Running, file: &str, offset: u64, part: &[u8]) -> Result<u64, Failure> {
    let body = ask(storage, &[&append_frame(file, offset, part.len()), part].concat()).await?;
    Ok(UploadProgress::decode(&body).unwrap().offset)
}

async fn offset(storage: &Running, file: &str) -> Result<u64, Failure> {
    let body = ask(storage, &key(file).to_frame(Command::Progress)).await?;
    Ok(UploadProgress::decode(&body).unwrap().offset)
}

async fn known(storage: &Running, file: &str) -> KnownUpload {
    let body = ask(storage, &key(file).to_frame(Command::Progress)).await.unwrap();
    KnownUpload::decode(&body).unwrap()
}

async fn finish(storage: &Running, key: FileKey, expected: Checksum) -> Result<Attributes, Failure> {
    let body = ask(storage, &Finish { key, expected }.to_frame()).await?;
    Ok(Attributes::decode(&body).unwrap())
}

fn code<T>(result: Result<T, Failure>) -> ErrorCode {
    result.err().expect("a refusal").code
}

/// Files that lie in the folder of parts.
fn parts_left(lab: &Lab) -> usize {
    std::fs::read_dir(lab.store().join(".tnv-parts")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn parts_become_a_file_whose_name_and_type_were_given_first() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    let bytes = pattern(SIZE, 5);
    assert_eq!(begin(&storage, "f", SIZE).await.unwrap(), 0);
    let mut at = 0;
    for part in bytes.chunks(700_000) {
        at = append(&storage, "f", at, part).await.unwrap();
    }
    assert_eq!(code(storage.stat("f").await), ErrorCode::NOT_FOUND);
    let stored = finish(&storage, key("f"), blake3_of(&bytes)).await.unwrap();
    assert_eq!((stored.name.as_str(), stored.content_type.as_str()), ("film.mp4", "video/mp4"));
    assert_eq!(storage.stat("f").await.unwrap(), stored);
    assert_eq!(storage.download("f").await.unwrap(), bytes);
    assert_eq!((parts_left(&lab), lab.files().len()), (0, 1));

    // Whoever lost the answer asks again.
    assert_eq!(finish(&storage, key("f"), blake3_of(&bytes)).await.unwrap(), stored);
    assert_eq!(code(finish(&storage, key("f"), Checksum([1; 32])).await), ErrorCode::CONFLICT);
    assert_eq!(code(begin(&storage, "f", SIZE).await), ErrorCode::CONFLICT);
}

#[tokio::test]
async fn progress_tells_the_labels_of_the_first_begin() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    begin(&storage, "f", 10).await.unwrap();
    let other = NewUpload { key: key("f"), size: 10, labels: Labels::default(), ack_copies: 0 };
    ask(&storage, &Begin(other).to_frame()).await.unwrap();
    append(&storage, "f", 0, b"0123").await.unwrap();
    let told = known(&storage, "f").await;
    assert_eq!((told.progress.offset, told.progress.size), (4, 10));
    assert_eq!(told.labels, Some(Labels::new("film.mp4", "video/mp4").unwrap()));
}

#[tokio::test]
async fn a_repeated_finish_removes_what_a_crash_left() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    begin(&storage, "f", 3).await.unwrap();
    append(&storage, "f", 0, b"abc").await.unwrap();
    let folder = lab.store().join(".tnv-parts");
    let kept: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_none_or(|kind| kind != "json"))
        .map(|path| (std::fs::read(&path).unwrap(), path))
        .collect();
    let stored = finish(&storage, key("f"), Checksum::UNKNOWN).await.unwrap();
    // The crash came when one of the three files was gone.
    for (bytes, path) in &kept {
        std::fs::write(path, bytes).unwrap();
    }
    assert_eq!((kept.len(), parts_left(&lab)), (2, 2));
    assert_eq!(finish(&storage, key("f"), Checksum::UNKNOWN).await.unwrap(), stored);
    assert_eq!(parts_left(&lab), 0);
    assert_eq!(storage.download("f").await.unwrap(), b"abc");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_changes_nothing() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    assert_eq!(code(append(&storage, "f", 0, b"x").await), ErrorCode::NOT_FOUND);
    assert_eq!(code(offset(&storage, "f").await), ErrorCode::NOT_FOUND);
    assert_eq!(code(finish(&storage, key("f"), Checksum::UNKNOWN).await), ErrorCode::NOT_FOUND);
    assert_eq!(code(ask(&storage, &key("f").to_frame(Command::Abort)).await), ErrorCode::NOT_FOUND);

    begin(&storage, "f", 10).await.unwrap();
    assert_eq!(append(&storage, "f", 0, b"01234").await.unwrap(), 5);
    assert_eq!(begin(&storage, "f", 10).await.unwrap(), 5, "it goes on");
    assert_eq!(code(begin(&storage, "f", 11).await), ErrorCode::CONFLICT);
    assert_eq!(code(append(&storage, "f", 4, b"x").await), ErrorCode::CONFLICT);
    assert_eq!(code(append(&storage, "f", 6, b"x").await), ErrorCode::CONFLICT);
    assert_eq!(code(append(&storage, "f", 5, b"567890").await), ErrorCode::BAD_REQUEST);
    assert_eq!(code(finish(&storage, key("f"), Checksum::UNKNOWN).await), ErrorCode::CONFLICT);
    assert_eq!(append(&storage, "f", 5, b"").await.unwrap(), 5);
    assert_eq!(append(&storage, "f", 5, b"56789").await.unwrap(), 10);
    assert_eq!(code(finish(&storage, key("f"), Checksum([1; 32])).await), ErrorCode::CHANGED);
    assert_eq!(offset(&storage, "f").await.unwrap(), 10);

    let other = FileKey { user: "somebody".parse().unwrap(), ..key("f") };
    assert_eq!(code(ask(&storage, &other.to_frame(Command::Progress)).await), ErrorCode::NOT_FOUND);
    ask(&storage, &key("f").to_frame(Command::Abort)).await.unwrap();
    assert_eq!(parts_left(&lab), 0);
    assert_eq!(code(offset(&storage, "f").await), ErrorCode::NOT_FOUND);
}

#[tokio::test]
async fn a_part_that_breaks_off_keeps_what_came_and_others_wait_for_it() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    let bytes = pattern(SIZE, 6);
    begin(&storage, "f", SIZE).await.unwrap();
    let mut wire = storage.connect().await;
    wire.send(&append_frame("f", 0, SIZE)).await;
    wire.send(&bytes[..SIZE / 2]).await;
    // While it is being written nobody else may.
    let mut refused = None;
    while refused.is_none() {
        refused = append(&storage, "f", 0, b"").await.err();
    }
    assert_eq!(refused.unwrap().code, ErrorCode::LOCKED);
    drop(wire);
    let mut at = 0;
    while at == 0 {
        at = offset(&storage, "f").await.unwrap();
    }
    assert_eq!(at, SIZE as u64 / 2);
    let rest = loop {
        match append(&storage, "f", at, &bytes[at as usize..]).await {
            Err(failure) if failure.code == ErrorCode::LOCKED => {}
            done => break done.unwrap(),
        }
    };
    assert_eq!(rest, SIZE as u64);
    finish(&storage, key("f"), blake3_of(&bytes)).await.unwrap();
    assert_eq!(storage.download("f").await.unwrap(), bytes);
}

#[tokio::test]
async fn parts_outlive_a_restart_and_what_was_not_durable_is_cut_off() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    let bytes = pattern(100_000, 7);
    begin(&storage, "f", bytes.len()).await.unwrap();
    append(&storage, "f", 0, &bytes[..40_000]).await.unwrap();
    storage.stop().await;
    // As a crash in the middle of a part leaves it: bytes behind those that count.
    let folder = lab.store().join(".tnv-parts");
    let data = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let data = data.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "data")).unwrap();
    std::fs::write(&data, [&bytes[..40_000], &[9; 20_000]].concat()).unwrap();

    let storage = lab.start().await;
    assert_eq!(offset(&storage, "f").await.unwrap(), 40_000);
    append(&storage, "f", 40_000, &bytes[40_000..]).await.unwrap();
    finish(&storage, key("f"), blake3_of(&bytes)).await.unwrap();
    assert_eq!(storage.download("f").await.unwrap(), bytes);
}

#[tokio::test]
async fn a_finish_cut_short_by_a_crash_is_finished_by_the_next_one() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    let bytes = pattern(10_000, 8);
    begin(&storage, "f", bytes.len()).await.unwrap();
    append(&storage, "f", 0, &bytes).await.unwrap();
    let copies: Vec<_> = std::fs::read_dir(lab.store().join(".tnv-parts"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    let stored = finish(&storage, key("f"), Checksum::UNKNOWN).await.unwrap();
    storage.stop().await;
    // The rows were committed, but the parts were not removed any more.
    for (path, contents) in copies {
        std::fs::write(path, contents).unwrap();
    }
    let storage = lab.start().await;
    assert_eq!(finish(&storage, key("f"), blake3_of(&bytes)).await.unwrap(), stored);
    assert_eq!((parts_left(&lab), lab.rows()), (0, (1, 1)));
}

#[tokio::test]
async fn an_upload_that_is_given_up_expires() {
    let mut lab = Lab::new().await;
    let storage = lab.start().await;
    begin(&storage, "f", 10).await.unwrap();
    append(&storage, "f", 0, b"01234").await.unwrap();
    storage.stop().await;
    lab.config.part_expiry = Duration::ZERO;
    let storage = lab.start().await;
    until(|| parts_left(&lab) == 0).await;
    assert_eq!(code(offset(&storage, "f").await), ErrorCode::NOT_FOUND);
}

#[tokio::test]
async fn zero_bytes_in_no_part_are_a_file() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    begin(&storage, "f", 0).await.unwrap();
    assert_eq!(finish(&storage, key("f"), blake3_of(b"")).await.unwrap().size, 0);
    let mut wire: Wire = storage.connect().await;
    assert_eq!(wire.download("f").await.unwrap(), b"");
}
