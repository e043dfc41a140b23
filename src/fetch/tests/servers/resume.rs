//! What an earlier process has left.

use tnv_fetch::{Note, PlaceError};

use crate::bench::{Bench, pattern};
use crate::server::{Content, Server, Step};

const SIZE: usize = 4 * 1024 * 1024;

/// Stops a first fetch in the middle.
async fn begun(bench: &Bench, content: &Content, then: Content) -> Server {
    let first = content.clone();
    let server = Server::start(move |request| match request.number {
        0 => first.steps_until(request, SIZE / 2, Step::Hang),
        _ => then.steps(request),
    })
    .await;
    let (outcome, _) = bench.fetch_until(&[server.url()], Some(SIZE as u64 / 2)).await;
    bench.expect_failure(&outcome, "cancelled");
    assert_eq!(bench.names(), ["file.bin.part", "file.bin.part.json"]);
    server
}

#[tokio::test]
async fn it_goes_on_where_it_was() {
    let content = Content::new(&pattern(51, SIZE), "\"a\"");
    let bench = Bench::new();
    let server = begun(&bench, &content, content.clone()).await;
    let (outcome, told) = bench.fetch(&[server.url()]).await;
    bench.expect(&outcome, &content.bytes);
    assert_eq!(server.requests()[1].range, Some((SIZE / 2, None)));
    assert!(told.notes.contains(&Note::Resumed(SIZE as u64 / 2)));
    assert_eq!(outcome.unwrap().resumed, SIZE as u64 / 2);
}

#[tokio::test]
async fn a_file_that_changed_begins_anew() {
    for etag in ["\"b\"", ""] {
        let (old, new) = (Content::new(&pattern(52, SIZE), "\"a\""), Content::new(&pattern(53, SIZE), etag));
        let bench = Bench::new();
        let server = begun(&bench, &old, new.clone()).await;
        let (outcome, _) = bench.fetch(&[server.url()]).await;
        bench.expect(&outcome, &new.bytes);
    }
}

#[tokio::test]
async fn another_address_begins_anew_but_not_with_the_hash() {
    let content = Content::new(&pattern(54, SIZE), "\"a\"");
    let other = content.serve().await;
    let bench = Bench::new();
    let _first = begun(&bench, &content, content.clone()).await;
    let (outcome, told) = bench.fetch(&[other.url()]).await;
    bench.expect(&outcome, &content.bytes);
    let why = |note: &Note| matches!(note, Note::NotResumed(why) if why.contains("another address"));
    assert!(told.notes.iter().any(why), "{:?}", told.notes);
    let bench = Bench::new().hashed(&content.bytes);
    let _first = begun(&bench, &content, content.clone()).await;
    let (outcome, _) = bench.fetch(&[other.url()]).await;
    bench.expect(&outcome, &content.bytes);
    assert_eq!(other.requests()[1].range, Some((SIZE / 2, None)));
}

#[tokio::test]
async fn bytes_that_were_damaged_meanwhile_come_again() {
    let content = Content::new(&pattern(55, SIZE), "\"a\"");
    let damage = |bench: &Bench| {
        let part = bench.target().with_file_name("file.bin.part");
        let mut bytes = std::fs::read(&part).unwrap();
        bytes[100_000] ^= 1;
        std::fs::write(&part, bytes).unwrap();
    };
    let bench = Bench::new().pieces(&content.bytes, 64 * 1024);
    let server = begun(&bench, &content, content.clone()).await;
    damage(&bench);
    let (outcome, told) = bench.fetch(&[server.url()]).await;
    bench.expect(&outcome, &content.bytes);
    assert!(told.notes.contains(&Note::BadPiece { index: 1, source: None }), "{:?}", told.notes);
    let bench = Bench::new().hashed(&content.bytes);
    let server = begun(&bench, &content, content.clone()).await;
    damage(&bench);
    let (outcome, told) = bench.fetch(&[server.url()]).await;
    bench.expect(&outcome, &content.bytes);
    assert!(told.notes.contains(&Note::BadWhole) && !told.dropped(&server), "{:?}", told.notes);
}

#[tokio::test]
async fn all_bytes_there_are_confirmed_before_they_count() {
    let content = Content::new(&pattern(56, SIZE), "\"a\"");
    let bench = Bench::new();
    let server = begun(&bench, &content, content.clone()).await;
    // As after a crash between the last byte and the name.
    let note = bench.target().with_file_name("file.bin.part.json");
    let text = std::fs::read_to_string(&note).unwrap();
    let text = text.replace(&format!("\"written\":[[0,{}]]", SIZE / 2), &format!("\"written\":[[0,{SIZE}]]"));
    std::fs::write(&note, text).unwrap();
    let part = bench.target().with_file_name("file.bin.part");
    std::fs::write(&part, &**content.bytes).unwrap();
    let (outcome, _) = bench.fetch(&[server.url()]).await;
    bench.expect(&outcome, &content.bytes);
    assert_eq!(server.requests()[1].range, Some((SIZE - 1, None)));
}

#[tokio::test]
async fn one_process_at_a_time_and_nothing_of_others() {
    let bench = Bench::new();
    let place = tnv_fetch::Place::open(&bench.target(), false).unwrap();
    assert!(matches!(tnv_fetch::Place::open(&bench.target(), false), Err(PlaceError::Busy(_))));
    drop(place);
    std::fs::write(bench.target().with_file_name("file.bin.part"), b"theirs").unwrap();
    assert!(matches!(tnv_fetch::Place::open(&bench.target(), false), Err(PlaceError::Foreign(_))));
}

#[tokio::test]
async fn several_parts_that_are_there_do_not_come_again() {
    let content = Content::new(&pattern(57, SIZE), "\"a\"");
    let bench = Bench::new().pieces(&content.bytes, 64 * 1024);
    let (part, note) =
        (bench.target().with_file_name("file.bin.part"), bench.target().with_file_name("file.bin.part.json"));
    let server = begun(&bench, &content, content.clone()).await;
    // As two sources at once leave it.
    let text = std::fs::read_to_string(&note).unwrap();
    let (first, second) = (format!("[0,{}]", SIZE / 2), format!("[0,{}],[{},{SIZE}]", SIZE / 4, SIZE / 2));
    std::fs::write(&note, text.replace(&first, &second)).unwrap();
    std::fs::write(&part, &**content.bytes).unwrap();
    let mut bench = bench;
    // Its size is not known beforehand this time.
    bench.known = tnv_fetch::Known::default();
    let (outcome, _) = bench.fetch(&[server.url()]).await;
    bench.expect(&outcome, &content.bytes);
    let fetched = outcome.unwrap();
    assert_eq!(fetched.sources[0].bytes, SIZE as u64 / 4);
    assert_eq!(fetched.resumed, SIZE as u64 * 3 / 4);
}

#[tokio::test]
async fn why_it_begins_anew_is_told_as_it_is() {
    let content = Content::new(&pattern(58, SIZE), "");
    let bench = Bench::new();
    let server = begun(&bench, &content, content.clone()).await;
    let (outcome, told) = bench.fetch(&[server.url()]).await;
    bench.expect(&outcome, &content.bytes);
    let first = told.notes[0].to_string();
    assert!(first.contains("neither a strong ETag nor a date") && first.contains("anew"), "{first}");
    // Where nothing had come, and where it was asked for, there is nothing to say.
    for (written, resume) in [("[]", true), ("", false)] {
        let mut bench = Bench::new();
        let server = begun(&bench, &content, content.clone()).await;
        let note = bench.target().with_file_name("file.bin.part.json");
        let text = std::fs::read_to_string(&note).unwrap();
        if !written.is_empty() {
            std::fs::write(&note, text.replace(&format!("[[0,{}]]", SIZE / 2), written)).unwrap();
        }
        bench.options.resume = resume;
        let (outcome, told) = bench.fetch(&[server.url()]).await;
        bench.expect(&outcome, &content.bytes);
        assert!(told.notes.is_empty(), "{:?}", told.notes);
    }
}
