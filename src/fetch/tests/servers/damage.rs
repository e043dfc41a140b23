//! Damaged bytes, with hashes that tell.

use tnv_fetch::Note;
use tnv_metalink::repr_digest;

use crate::bench::{Bench, hash, pattern};
use crate::server::{Content, Server};

const PIECE: usize = 16 * 1024;

/// The same with one byte changed.
fn damaged(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    damaged[at] ^= 0x40;
    damaged
}

/// How many bytes a server was asked for.
fn asked(server: &Server, size: usize) -> usize {
    let range = |range: Option<(usize, Option<usize>)>| match range {
        None => size,
        Some((first, last)) => last.unwrap_or(size - 1) + 1 - first,
    };
    server.requests().into_iter().map(|request| range(request.range)).sum()
}

#[tokio::test]
async fn a_corrupt_first_mirror_is_replaced_by_a_good_one() {
    let bytes = pattern(21, 10 * PIECE);
    let corrupt = Content::new(&damaged(&bytes, 5), "\"a\"").serve().await;
    let good = Content::new(&bytes, "\"a\"").serve().await;
    let bench = Bench::new().hashed(&bytes);
    let (outcome, told) = bench.fetch(&[corrupt.url(), good.url()]).await;
    bench.expect(&outcome, &bytes);
    assert!(told.dropped(&corrupt) && told.notes.contains(&Note::BadWhole));
    assert_eq!((corrupt.count(), good.count()), (1, 1));
    assert_eq!(outcome.unwrap().hashes, [hash(&bytes)]);
}

#[tokio::test]
async fn only_the_bad_piece_comes_again_from_elsewhere() {
    let bytes = pattern(22, 10 * PIECE);
    for at in [0, 4 * PIECE + 77, 10 * PIECE - 1] {
        let corrupt = Content::new(&damaged(&bytes, at), "\"a\"").serve().await;
        let good = Content::new(&bytes, "\"a\"").serve().await;
        let bench = Bench::new().hashed(&bytes).pieces(&bytes, PIECE);
        let (outcome, told) = bench.fetch(&[corrupt.url(), good.url()]).await;
        bench.expect(&outcome, &bytes);
        assert!(told.dropped(&corrupt));
        assert_eq!(corrupt.count(), 1);
        // Whatever came behind the bad piece may have come already.
        assert!(asked(&good, bytes.len()) <= bytes.len() - at / PIECE * PIECE, "{at}");
        assert!(outcome.unwrap().pieces_verified);
    }
}

#[tokio::test]
async fn several_at_once_with_corrupt_ones_among_them() {
    let bytes = pattern(23, 40 * PIECE);
    let one = Content::new(&damaged(&bytes, 3 * PIECE), "\"a\"").serve().await;
    let two = Content::new(&damaged(&bytes, 30 * PIECE), "\"b\"").serve().await;
    let good = Content::new(&bytes, "\"c\"").serve().await;
    let urls = [one.url(), two.url(), good.url()];
    let bench = Bench::new().parallel(3).pieces(&bytes, PIECE);
    let (outcome, _) = bench.fetch(&urls).await;
    bench.expect(&outcome, &bytes);
    // With nothing but the hash of the whole it takes one after the other.
    let bench = Bench::new().parallel(3).hashed(&bytes);
    let (outcome, told) = bench.fetch(&urls).await;
    bench.expect(&outcome, &bytes);
    assert!(told.notes.contains(&Note::BadWhole));
}

#[tokio::test]
async fn a_bad_piece_of_two_sources_comes_again_whole() {
    let bytes = pattern(24, 4 * PIECE);
    let corrupt = Content::new(&damaged(&bytes, PIECE + 5), "\"a\"");
    let breaks = Server::start(move |request| {
        corrupt.steps_until(request, PIECE + PIECE / 2, crate::server::Step::Reset)
    })
    .await;
    let good = Content::new(&bytes, "\"a\"").serve().await;
    let bench = Bench::new().pieces(&bytes, PIECE);
    let (outcome, told) = bench.fetch(&[breaks.url(), good.url()]).await;
    bench.expect(&outcome, &bytes);
    assert!(told.notes.contains(&Note::BadPiece { index: 1, source: None }), "{:?}", told.notes);
    assert!(!told.dropped(&good));
}

#[tokio::test]
async fn nothing_but_damage_is_told_and_leaves_nothing() {
    let bytes = pattern(25, 3 * PIECE);
    let one = Content::new(&damaged(&bytes, 1), "\"a\"").serve().await;
    let two = Content::new(&damaged(&bytes, 2), "\"a\"").serve().await;
    for bench in [
        Bench::new().hashed(&bytes),
        Bench::new().pieces(&bytes, PIECE),
        Bench::new().hashed(&bytes).parallel(2),
    ] {
        let (outcome, _) = bench.fetch(&[one.url(), two.url()]).await;
        bench.expect_failure(&outcome, "checksum_mismatch");
        let text = outcome.unwrap_err().to_string();
        assert!(text.contains(&one.url()) && text.contains(&two.url()), "{text}");
        assert!(bench.names().is_empty());
    }
}

#[tokio::test]
async fn a_digest_in_the_header_counts() {
    let bytes = pattern(26, 3 * PIECE);
    let digest = format!("Repr-Digest: {}", repr_digest(&hash(&bytes)));
    let corrupt = Content::new(&damaged(&bytes, 1), "\"a\"").with(&digest).serve().await;
    let good = Content::new(&bytes, "\"a\"").with(&digest).serve().await;
    let bench = Bench::new();
    let (outcome, _) = bench.fetch(&[corrupt.url(), good.url()]).await;
    bench.expect(&outcome, &bytes);
    assert_eq!(outcome.unwrap().hashes, [hash(&bytes)]);
    let (outcome, _) = Bench::new().fetch(&[corrupt.url()]).await;
    assert_eq!(outcome.unwrap_err().status(), "checksum_mismatch");
}

#[tokio::test]
async fn a_digest_that_contradicts_the_known_hash_is_enough() {
    let bytes = pattern(27, 3 * PIECE);
    let digest = format!("Repr-Digest: {}", repr_digest(&hash(&bytes)));
    let server = Content::new(&bytes, "\"a\"").with(&digest).serve().await;
    let bench = Bench::new().hashed(b"other");
    let (outcome, _) = bench.fetch(&[server.url()]).await;
    bench.expect_failure(&outcome, "checksum_mismatch");
    assert_eq!(server.count(), 1);
}
