//! Versions: never mixed, whatever servers have.

use crate::bench::{Bench, pattern};
use crate::server::{Content, Server, Step, status};

#[tokio::test]
async fn a_file_that_changes_meanwhile_comes_anew() {
    let (old, new) =
        (Content::new(&pattern(31, 200_000), "\"old\""), Content::new(&pattern(32, 200_000), "\"new\""));
    let then = new.clone();
    let server = Server::start(move |request| match request.number {
        0 => old.steps_until(request, 50_000, Step::Reset),
        _ => then.steps(request),
    })
    .await;
    let bench = Bench::new();
    let (outcome, told) = bench.fetch(&[server.url()]).await;
    bench.expect(&outcome, &new.bytes);
    assert!(told.notes.contains(&tnv_fetch::Note::Anew));
    assert_eq!(server.requests()[1].if_range.as_deref(), Some("\"old\""));
}

#[tokio::test]
async fn a_file_that_keeps_changing_is_given_up() {
    let server = Server::start(|request| {
        let content =
            Content::new(&pattern(request.number as u64, 200_000), &format!("\"{}\"", request.number));
        content.steps_until(request, 50_000, Step::Reset)
    })
    .await;
    let bench = Bench::new();
    let (outcome, _) = bench.fetch(&[server.url()]).await;
    bench.expect_failure(&outcome, "changed");
    assert!(bench.names().is_empty());
}

#[tokio::test]
async fn servers_with_another_version_are_set_aside_and_named() {
    let (one, other) =
        (Content::new(&pattern(33, 200_000), "\"a\""), Content::new(&pattern(34, 200_000), "\"b\""));
    let breaking = one.clone();
    let first = Server::start(move |request| breaking.steps_until(request, 60_000, Step::Reset)).await;
    let (second, third) = (other.serve().await, one.serve().await);
    let bench = Bench::new();
    let (outcome, told) = bench.fetch(&[first.url(), second.url(), third.url()]).await;
    bench.expect(&outcome, &one.bytes);
    let note = format!("{}: its ETag is \"b\" there, not \"a\"; it is set aside", second.url());
    assert!(told.notes.iter().any(|told| told.to_string() == note), "{:?}", told.notes);
}

#[tokio::test]
async fn another_version_is_taken_as_a_whole_when_the_first_is_gone() {
    let (one, other) =
        (Content::new(&pattern(35, 200_000), "\"a\""), Content::new(&pattern(36, 150_000), "\"b\""));
    let first = Server::start(move |request| match request.number {
        0 => one.steps_until(request, 60_000, Step::Reset),
        _ => status("410 Gone"),
    })
    .await;
    let second = other.serve().await;
    let bench = Bench::new();
    let (outcome, _) = bench.fetch(&[first.url(), second.url()]).await;
    bench.expect(&outcome, &other.bytes);
}

#[tokio::test]
async fn mirrors_with_tags_of_their_own_need_a_hash() {
    let bytes = pattern(37, 400_000);
    let mut mirrors = Vec::new();
    for etag in ["\"a\"", "\"b\"", "\"c\""] {
        mirrors.push(Content::new(&bytes, etag).serve().await);
    }
    let urls: Vec<String> = mirrors.iter().map(Server::url).collect();
    let bench = Bench::new().parallel(3).hashed(&bytes);
    let (outcome, _) = bench.fetch(&urls).await;
    bench.expect(&outcome, &bytes);
    // Without one, the first alone gives it.
    let bench = Bench::new().parallel(3);
    let (outcome, _) = bench.fetch(&urls).await;
    bench.expect(&outcome, &bytes);
    let givers = outcome.unwrap().sources.iter().filter(|source| source.bytes > 0).count();
    assert_eq!(givers, 1);
}

#[tokio::test]
async fn dates_serve_where_there_are_no_tags() {
    let bytes = pattern(38, 100_000);
    let dated = |bytes: &[u8], date: &str| Content::new(bytes, "").with(&format!("Last-Modified: {date}"));
    let (monday, tuesday) = ("Mon, 06 Jan 2025 10:00:00 GMT", "Tue, 07 Jan 2025 10:00:00 GMT");
    let breaking = dated(&bytes, monday);
    let first = Server::start(move |request| breaking.steps_until(request, 60_000, Step::Reset)).await;
    let other = dated(&pattern(39, 100_000), tuesday).serve().await;
    let same = dated(&bytes, monday).serve().await;
    let bench = Bench::new();
    let (outcome, _) = bench.fetch(&[first.url(), other.url(), same.url()]).await;
    bench.expect(&outcome, &bytes);
}

#[tokio::test]
async fn without_tags_and_dates_nothing_is_mixed() {
    let (one, other) = (pattern(40, 100_000), pattern(41, 100_000));
    let breaking = Content::new(&one, "");
    let first = Server::start(move |request| breaking.steps_until(request, 60_000, Step::Reset)).await;
    let second = Content::new(&other, "").serve().await;
    let bench = Bench::new();
    let (outcome, _) = bench.fetch(&[first.url(), second.url()]).await;
    bench.expect(&outcome, &other);
}

#[tokio::test]
async fn a_size_that_is_known_decides() {
    let (right, wrong) =
        (Content::new(&pattern(42, 50_000), "\"a\""), Content::new(&pattern(43, 40_000), "\"b\""));
    let (one, two) = (wrong.serve().await, right.serve().await);
    let mut bench = Bench::new();
    bench.known.size = Some(50_000);
    let (outcome, _) = bench.fetch(&[one.url(), two.url()]).await;
    bench.expect(&outcome, &right.bytes);
    let mut bench = Bench::new();
    bench.known.size = Some(50_000);
    let (outcome, _) = bench.fetch(&[one.url()]).await;
    assert_eq!(outcome.unwrap_err().status(), "changed");
}
