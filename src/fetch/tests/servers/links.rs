//! Metalinks and Link headers.

use std::sync::Arc;

use tnv_metalink::{File, Metalink, Mirror};

use crate::bench::{Bench, hash, pattern, pieces};
use crate::server::{Content, Server, dead, redirect, status};

const PIECE: usize = 16 * 1024;

fn described(bytes: &[u8], urls: &[String]) -> Content {
    let file = File {
        name: "file.bin".to_owned(),
        size: Some(bytes.len() as u64),
        hashes: vec![hash(bytes)],
        pieces: Some(pieces(bytes, PIECE)),
        mirrors: urls.iter().map(Mirror::new).collect(),
    };
    let document = tnv_metalink::write(&Metalink { files: vec![file] });
    Content::new(document.as_bytes(), "\"m\"").with("Content-Type: application/metalink4+xml")
}

fn damaged(bytes: &[u8]) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    damaged[5 * PIECE] ^= 1;
    damaged
}

#[tokio::test]
async fn an_answer_may_be_a_metalink() {
    let bytes = pattern(61, 10 * PIECE);
    let corrupt = Content::new(&damaged(&bytes), "\"a\"").serve().await;
    let good = Content::new(&bytes, "\"a\"").serve().await;
    let document = described(&bytes, &[corrupt.url(), good.url(), "ftp://nowhere/".to_owned()]).serve().await;
    let bench = Bench::new();
    let (outcome, _) = bench.fetch(&[document.url()]).await;
    bench.expect(&outcome, &bytes);
    assert!(outcome.unwrap().pieces_verified);
}

#[tokio::test]
async fn a_metalink_that_leads_nowhere_is_told() {
    let bytes = pattern(62, PIECE);
    let empty = described(&bytes, &[]).serve().await;
    let nonsense = Content::new(b"<what", "").with("Content-Type: application/metalink4+xml").serve().await;
    let bench = Bench::new();
    let (outcome, _) = bench.fetch(&[empty.url(), nonsense.url()]).await;
    bench.expect_failure(&outcome, "all_servers_failed");
    let text = outcome.unwrap_err().to_string();
    assert!(text.contains("names no server"), "{text}");
}

#[tokio::test]
async fn links_of_an_answer_are_followed() {
    let bytes = Arc::new(pattern(63, 10 * PIECE));
    let good = Content::new(&bytes, "\"b\"").serve().await;
    let content = Content::new(&damaged(&bytes), "\"a\"")
        .with("Link: </file.meta4>; rel=describedby; type=\"application/metalink4+xml\"");
    let (document, corrupt) = (described(&bytes, &[good.url()]), content.clone());
    let server = Server::start(move |request| match request.path.as_str() {
        "/file.meta4" => document.steps(request),
        _ => corrupt.steps(request),
    })
    .await;
    let bench = Bench::new();
    let (outcome, told) = bench.fetch(&[server.url()]).await;
    bench.expect(&outcome, &bytes);
    assert!(told.dropped(&server) && good.count() == 1, "{:?}", told.notes);
}

#[tokio::test]
async fn duplicates_stand_in() {
    let bytes = pattern(64, 10 * PIECE);
    let good = Content::new(&bytes, "\"a\"").serve().await;
    let content = Content::new(&bytes, "\"a\"").with(&format!("Link: <{}>; rel=duplicate", good.url()));
    let server = Server::start(move |request| match request.number {
        0 => content.steps_until(request, 1000, crate::server::Step::Reset),
        _ => status("404 Gone"),
    })
    .await;
    let bench = Bench::new();
    let (outcome, _) = bench.fetch(&[server.url()]).await;
    bench.expect(&outcome, &bytes);
    assert_eq!(good.requests()[0].range, Some((1000, None)));
}

#[tokio::test]
async fn a_description_of_another_file_does_not_count() {
    let bytes = pattern(65, 10 * PIECE);
    let document = described(&pattern(66, 9 * PIECE), &[]);
    let content = Content::new(&bytes, "\"a\"")
        .with("Link: </file.meta4>; rel=describedby; type=\"application/metalink4+xml\"");
    let server = Server::start(move |request| match request.path.as_str() {
        "/file.meta4" => document.steps(request),
        _ => content.steps(request),
    })
    .await;
    let bench = Bench::new();
    let (outcome, told) = bench.fetch(&[server.url()]).await;
    bench.expect(&outcome, &bytes);
    assert!(told.notes.iter().any(|note| matches!(note, tnv_fetch::Note::Useless(_))));
}

/// A hub that redirects to `node` and describes the file on the way there.
async fn hub(node: String, document: Content, more: &str) -> Server {
    let links =
        format!("Link: <meta4?version=1>; rel=describedby; type=\"application/metalink4+xml\"\r\n{more}");
    Server::start(move |request| match request.path.as_str() {
        "/m/meta4?version=1" => document.steps(request),
        _ => redirect(&node, &links),
    })
    .await
}

#[tokio::test]
async fn links_of_a_redirection_are_followed() {
    let bytes = pattern(67, 10 * PIECE);
    let good = Content::new(&bytes, "\"b\"").serve().await;
    for damaged in [damaged(&bytes), bytes[..9 * PIECE].to_vec()] {
        let corrupt = Content::new(&damaged, "\"a\"").serve().await;
        let hub = hub(corrupt.url(), described(&bytes, &[good.url()]), "").await;
        let bench = Bench::new();
        let (outcome, told) = bench.fetch(&[hub.at("/m/package")]).await;
        bench.expect(&outcome, &bytes);
        assert!(outcome.unwrap().pieces_verified && corrupt.count() == 1, "{:?}", told.notes);
    }
    assert_eq!(good.count(), 2);
}

#[tokio::test]
async fn a_redirection_to_a_dead_server_has_links_all_the_same() {
    let bytes = pattern(68, 10 * PIECE);
    let (corrupt, good) =
        (Content::new(&damaged(&bytes), "\"b\"").serve().await, Content::new(&bytes, "\"b\"").serve().await);
    let duplicate = format!("Link: <{}>; rel=duplicate; pri=1\r\n", corrupt.url());
    let hub = hub(dead().await, described(&bytes, &[good.url()]), &duplicate).await;
    let bench = Bench::new();
    let (outcome, told) = bench.fetch(&[hub.at("/m/package")]).await;
    bench.expect(&outcome, &bytes);
    assert!(outcome.unwrap().pieces_verified && corrupt.count() == 1, "{:?}", told.notes);
}

#[tokio::test]
async fn a_description_on_the_way_is_held_against_what_is_known() {
    let bytes = pattern(69, 10 * PIECE);
    let node = Content::new(&bytes, "\"a\"").serve().await;
    let other = described(&pattern(70, 10 * PIECE), &[]);
    // A hash that was given counts more.
    let first = hub(node.url(), other.clone(), "").await;
    let bench = Bench::new().hashed(&bytes);
    let (outcome, told) = bench.fetch(&[first.at("/m/package")]).await;
    bench.expect(&outcome, &bytes);
    assert!(told.notes.iter().any(|note| matches!(note, tnv_fetch::Note::Useless(_))));
    // Without one nothing that contradicts the description is the file.
    let bench = Bench::new();
    let (outcome, _) = bench.fetch(&[first.at("/m/package")]).await;
    bench.expect_failure(&outcome, "checksum_mismatch");
}
