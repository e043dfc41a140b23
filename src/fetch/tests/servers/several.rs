//! Several servers at once.

use std::time::{Duration, Instant};

use crate::bench::{Bench, pattern};
use crate::server::{Content, Server, Step};

const SIZE: usize = 2 * 1024 * 1024;

/// Gives it in small parts, so that others have the time to take a share.
async fn paced(content: &Content, size: usize, pause: Duration) -> Server {
    let content = content.clone();
    Server::start(move |request| {
        let (head, body) = content.answer(request);
        vec![Step::Send(head.into_bytes()), Step::Trickle(body, size, pause)]
    })
    .await
}

#[tokio::test]
async fn all_of_them_take_a_share() {
    let content = Content::new(&pattern(71, SIZE), "\"a\"");
    let mut servers = Vec::new();
    for _ in 0..4 {
        servers.push(paced(&content, 16 * 1024, Duration::from_millis(5)).await);
    }
    let urls: Vec<String> = servers.iter().map(Server::url).collect();
    let mut bench = Bench::new().parallel(3).pieces(&content.bytes, 64 * 1024);
    bench.options.min_split = 64 * 1024;
    let (outcome, _) = bench.fetch(&urls).await;
    bench.expect(&outcome, &content.bytes);
    let given: Vec<u64> = outcome.unwrap().sources.iter().map(|source| source.bytes).collect();
    assert_eq!(given.iter().filter(|bytes| **bytes > 0).count(), 3, "{given:?}");
    assert_eq!(given.iter().sum::<u64>(), SIZE as u64, "nothing came twice");
}

#[tokio::test]
async fn one_that_stalls_or_dawdles_does_not_hold_up_the_end() {
    let content = Content::new(&pattern(72, SIZE), "\"a\"");
    let stalling = content.clone();
    let stalls = Server::start(move |request| stalling.steps_until(request, 10_000, Step::Hang)).await;
    let dawdles = paced(&content, 1_000, Duration::from_millis(100)).await;
    let good = paced(&content, 64 * 1024, Duration::from_millis(5)).await;
    let mut bench = Bench::new().parallel(3).pieces(&content.bytes, 64 * 1024);
    // Nobody is left to the idle timeout.
    bench.options.idle_timeout = Duration::from_secs(100);
    let (outcome, _) = bench.fetch(&[stalls.url(), dawdles.url(), good.url()]).await;
    bench.expect(&outcome, &content.bytes);
}

#[tokio::test]
async fn the_rate_is_kept() {
    let content = Content::new(&pattern(73, 300_000), "\"a\"");
    let server = paced(&content, 8 * 1024, Duration::from_millis(1)).await;
    let mut bench = Bench::new();
    bench.options.limit_rate = Some(200_000);
    let start = Instant::now();
    let (outcome, _) = bench.fetch(&[server.url()]).await;
    bench.expect(&outcome, &content.bytes);
    assert!(start.elapsed() >= Duration::from_millis(1500), "{:?}", start.elapsed());
}

#[tokio::test]
async fn whoever_is_first_is_left_to_chance() {
    let content = Content::new(&pattern(74, 1_000), "\"a\"");
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(content.serve().await);
    }
    let urls: Vec<String> = servers.iter().map(Server::url).collect();
    // That one of three is never first in 60 tries is less likely than one in ten thousand millions.
    for _ in 0..60 {
        let mut bench = Bench::new();
        bench.in_order = false;
        let (outcome, _) = bench.fetch(&urls).await;
        bench.expect(&outcome, &content.bytes);
    }
    assert!(servers.iter().all(|server| server.count() > 0));
    assert_eq!(servers.iter().map(Server::count).sum::<usize>(), 60);
}
