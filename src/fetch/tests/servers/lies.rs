//! Servers whose answers contradict themselves or what was asked.

use crate::bench::{Bench, pattern};
use crate::server::{Content, Request, Server, Step};

/// A server that gives its first 1000 bytes properly, so that it is asked for a part, and then answers as it likes.
async fn after_a_break(
    content: &Content,
    then: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static,
) -> Server {
    let content = content.clone();
    Server::start(move |request| match request.number {
        0 => content.steps_until(request, 10_000, Step::Reset),
        _ => vec![Step::Send(then(request))],
    })
    .await
}

fn head(range: &str, len: usize) -> Vec<u8> {
    format!("HTTP/1.1 206 Partial\r\nContent-Range: {range}\r\nContent-Length: {len}\r\nETag: \"a\"\r\nConnection: close\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn a_wrong_part_is_never_written() {
    let content = Content::new(&pattern(11, 30_000), "\"a\"");
    let zeros = |len: usize| vec![0; len];
    let wrong: Vec<Vec<u8>> = vec![
        [head("bytes 0-29999/30000", 30_000), zeros(30_000)].concat(),
        [head("bytes 10001-29999/30000", 19_999), zeros(19_999)].concat(),
        [head("bytes 10000-29999/20000", 20_000), zeros(20_000)].concat(),
        [head("bytes 10000-29999/40000", 20_000), zeros(20_000)].concat(),
        [head("bytes 10000-29999/30000", 5), zeros(5)].concat(),
        [head("lines 1-2/3", 20_000), zeros(20_000)].concat(),
        b"HTTP/1.1 206 Partial\r\nContent-Length: 3\r\nETag: \"a\"\r\nConnection: close\r\n\r\n000".to_vec(),
        b"HTTP/1.1 206 Partial\r\nContent-Type: multipart/byteranges; boundary=x\r\nContent-Length: 3\r\nETag: \"a\"\r\n\r\n000".to_vec(),
    ];
    for (index, answer) in wrong.into_iter().enumerate() {
        let lie = answer.clone();
        let liar = after_a_break(&content, move |_| lie.clone()).await;
        let bench = Bench::new();
        let (outcome, _) = bench.fetch(&[liar.url()]).await;
        assert!(outcome.is_err(), "{index}");
        assert!(!bench.target().exists(), "{index}");
        // With somebody else it is only passed over.
        let (bench, good) = (Bench::new(), content.serve().await);
        let liar = after_a_break(&content, move |_| answer.clone()).await;
        let (outcome, _) = bench.fetch(&[liar.url(), good.url()]).await;
        bench.expect(&outcome, &content.bytes);
    }
}

#[tokio::test]
async fn too_few_bytes_are_not_the_end() {
    let content = Content::new(&pattern(12, 30_000), "\"a\"");
    let short = content.clone();
    let liar = Server::start(move |_| {
        let (head, body) = short.whole();
        vec![Step::Send([head.into_bytes(), body[..20_000].to_vec()].concat())]
    })
    .await;
    let bench = Bench::new();
    let (outcome, _) = bench.fetch(&[liar.url()]).await;
    // It begins anew each time: what is there is skipped, and nothing more comes.
    bench.expect_failure(&outcome, "all_servers_failed");
    let good = content.serve().await;
    let (outcome, _) = bench.fetch(&[liar.url(), good.url()]).await;
    bench.expect(&outcome, &content.bytes);
}

#[tokio::test]
async fn more_bytes_than_announced_are_not_taken() {
    let content = Content::new(&pattern(13, 30_000), "\"a\"");
    let good = content.serve().await;
    let liar = after_a_break(&content, |_| {
        let chunk = format!("{:x}\r\n", 20_001);
        let head = "HTTP/1.1 206 Partial\r\nContent-Range: bytes 10000-29999/30000\r\nTransfer-Encoding: chunked\r\nETag: \"a\"\r\n\r\n";
        [head.as_bytes(), chunk.as_bytes(), &[0; 20_001], b"\r\n0\r\n\r\n"].concat()
    })
    .await;
    let bench = Bench::new();
    let (outcome, told) = bench.fetch(&[liar.url(), good.url()]).await;
    bench.expect(&outcome, &content.bytes);
    // The good one came first after the break; now the liar is the only one.
    let bench = Bench::new();
    let (outcome, _) = bench.fetch(&[liar.url()]).await;
    assert!(outcome.is_err(), "{:?}", told.notes);
}

#[tokio::test]
async fn a_length_that_is_too_short_is_found_by_the_others_or_the_hash() {
    let content = Content::new(&pattern(14, 30_000), "\"a\"");
    let good = content.serve().await;
    let liar = Content::new(&content.bytes[..20_000], "\"a\"").serve().await;
    let bench = Bench::new().hashed(&content.bytes);
    let (outcome, _) = bench.fetch(&[liar.url(), good.url()]).await;
    bench.expect(&outcome, &content.bytes);
    let mut bench = Bench::new();
    bench.known.size = Some(30_000);
    let (outcome, told) = bench.fetch(&[liar.url(), good.url()]).await;
    bench.expect(&outcome, &content.bytes);
    assert!(told.dropped(&liar));
}

#[tokio::test]
async fn a_server_without_ranges_is_never_written_at_the_wrong_place() {
    let content = Content::new(&pattern(15, 60_000), "\"a\"");
    let whole = content.clone();
    let no_ranges = Server::start(move |_| {
        let (head, body) = whole.whole();
        vec![Step::Send([head.into_bytes(), body].concat())]
    })
    .await;
    let breaking = content.clone();
    let breaks = Server::start(move |request| match request.number {
        0 => breaking.steps_until(request, 40_000, Step::Reset),
        _ => crate::server::status("404 Gone"),
    })
    .await;
    // What is there is skipped.
    let bench = Bench::new();
    let (outcome, _) = bench.fetch(&[breaks.url(), no_ranges.url()]).await;
    bench.expect(&outcome, &content.bytes);
    // Or it begins anew where that would be too much.
    let breaking = content.clone();
    let breaks = Server::start(move |request| match request.number {
        0 => breaking.steps_until(request, 40_000, Step::Reset),
        _ => crate::server::status("404 Gone"),
    })
    .await;
    let mut bench = Bench::new();
    bench.options.skip_limit = 10_000;
    let (outcome, _) = bench.fetch(&[breaks.url(), no_ranges.url()]).await;
    bench.expect(&outcome, &content.bytes);
    // Several of them at once are of no use to each other, and do no harm.
    let bench = Bench::new().parallel(3);
    let urls = [no_ranges.url(), no_ranges.at("/b"), no_ranges.at("/c")];
    let (outcome, _) = bench.fetch(&urls).await;
    bench.expect(&outcome, &content.bytes);
}

#[tokio::test]
async fn a_coding_or_no_length_is_refused() {
    let zipped = Content::new(&pattern(16, 100), "\"a\"").with("Content-Encoding: gzip").serve().await;
    let endless = Server::start(|_| vec![Step::Send(b"HTTP/1.1 200 OK\r\n\r\nwhatever".to_vec())]).await;
    let bench = Bench::new();
    let (outcome, _) = bench.fetch(&[zipped.url(), endless.url()]).await;
    bench.expect_failure(&outcome, "all_servers_failed");
    let text = outcome.unwrap_err().to_string();
    assert!(text.contains("gzip") && text.contains("does not tell how long"), "{text}");
}
