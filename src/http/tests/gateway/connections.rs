//! Connections: kept, limited, slow, given up, drained.

use std::time::Duration;

use tokio::net::TcpStream;

use crate::cluster::{Cluster, bytes_of, with_clip};
use crate::http::{Connection, get, in_time};

const HUGE: u64 = 1 << 40;

#[tokio::test]
async fn a_connection_is_kept() {
    let (_cluster, gateway) = with_clip().await;
    let mut connection = Connection::open(gateway.address).await;
    for (path, status) in
        [("/files/clip", 200), ("/files/nothing", 404), ("/files/%", 400), ("/files/clip", 200)]
    {
        connection.request("GET", path, &[]).await;
        assert_eq!(connection.answer().await.status, status, "{path}");
    }
    connection.request("GET", "/files/clip", &["Connection: close"]).await;
    assert_eq!(connection.answer().await.header("connection"), Some("close"));
    connection.ends().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (_cluster, gateway) = with_clip().await;
    let mut connection = Connection::open(gateway.address).await;
    let mut text = String::new();
    for start in 0..20 {
        text += &format!(
            "GET /files/clip HTTP/1.1\r\nHost: test\r\nRange: bytes={start}-{}\r\n\r\n",
            start + 500
        );
    }
    connection.send(&text).await;
    for start in 0..20 {
        let answer = connection.answer().await;
        assert!(answer.status == 206 && answer.body == bytes_of(start..start + 501), "answer {start}");
    }
}

#[tokio::test]
async fn http_1_0_is_closed_after_the_body_unless_kept_alive() {
    let (_cluster, gateway) = with_clip().await;
    let mut connection = Connection::open(gateway.address).await;
    connection.send("GET /files/clip HTTP/1.0\r\n\r\n").await;
    let answer = connection.answer().await;
    assert!(answer.status == 200 && answer.body == bytes_of(0..1000));
    connection.ends().await;
    let mut connection = Connection::open(gateway.address).await;
    for _ in 0..2 {
        connection.send("GET /files/clip HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
        let answer = connection.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("keep-alive")));
    }
}

#[tokio::test]
async fn connections_over_the_limit_are_told_so() {
    let (cluster, _) = with_clip().await;
    let gateway = cluster.gateway(|config| config.max_connections = 1).await;
    let mut first = Connection::open(gateway.address).await;
    first.request("GET", "/files/clip", &[]).await;
    assert_eq!(first.answer().await.status, 200);
    let mut second = Connection::open(gateway.address).await;
    second.request("GET", "/files/clip", &[]).await;
    let answer = second.answer().await;
    assert_eq!((answer.status, answer.text()), (503, "too many connections; try again soon\n"));
    assert_eq!((answer.header("connection"), answer.header("retry-after")), (Some("close"), Some("2")));
    second.ends().await;
    first.request("GET", "/files/clip", &[]).await;
    assert_eq!(first.answer().await.status, 200);
    drop(first);
    in_time(async { while get(gateway.address, "/files/clip", &[]).await.status != 200 {} }).await;
}

#[tokio::test]
async fn connections_over_the_limit_of_one_client_are_told_so() {
    let (cluster, _) = with_clip().await;
    let gateway = cluster.gateway(|config| config.max_connections_per_client = 1).await;
    let mut first = Connection::open(gateway.address).await;
    first.request("GET", "/files/clip", &[]).await;
    assert_eq!(first.answer().await.status, 200);
    let mut second = Connection::open(gateway.address).await;
    second.request("GET", "/files/clip", &[]).await;
    let answer = second.answer().await;
    let sentence = "too many connections from your address; close some, or try again soon\n";
    assert_eq!((answer.status, answer.text()), (429, sentence));
    assert_eq!((answer.header("connection"), answer.header("retry-after")), (Some("close"), Some("2")));
    second.ends().await;
    drop(first);
    in_time(async { while get(gateway.address, "/files/clip", &[]).await.status != 200 {} }).await;
}

#[tokio::test]
async fn a_header_that_does_not_come_ends_the_connection() {
    let (cluster, _) = with_clip().await;
    let gateway = cluster.gateway(|config| config.header_timeout = Duration::from_millis(500)).await;
    let mut silent = Connection::open(gateway.address).await;
    let mut slow = Connection::open(gateway.address).await;
    slow.send("GET /files/clip HTTP/1.1\r\nHost:").await;
    let mut idle = Connection::open(gateway.address).await;
    idle.request("GET", "/files/clip", &[]).await;
    assert_eq!(idle.answer().await.status, 200);
    for connection in [&mut silent, &mut slow, &mut idle] {
        connection.rest().await;
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_costs_a_bounded_buffer_and_is_cut_off() {
    let cluster = Cluster::start().await;
    cluster.add("film", HUGE, "video/mp4", "");
    let gateway = cluster.gateway(|config| config.progress_timeout = Duration::from_millis(300)).await;
    let mut connection = Connection::open(gateway.address).await;
    connection.request("GET", "/files/film", &[]).await;
    assert_eq!(connection.head().await.status, 200);
    let seen = in_time(cluster.until(|seen| seen.reads > 0 && seen.running == 0)).await;
    // All of it lies in the buffers of three sockets and of the gateway.
    assert!(seen.sent < 64 << 20, "the storage was asked for {} bytes", seen.sent);
    connection.rest().await;
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_the_download() {
    let cluster = Cluster::start().await;
    cluster.add("film", HUGE, "video/mp4", "");
    let gateway = cluster.gateway(|_| {}).await;
    let mut connection = Connection::open(gateway.address).await;
    connection.request("GET", "/files/film", &["Range: bytes=5-"]).await;
    assert_eq!(connection.head().await.status, 206);
    assert!(connection.bytes(1_000_000).await == bytes_of(5..1_000_005));
    assert_eq!(cluster.seen().running, 1);
    drop(connection);
    in_time(cluster.until(|seen| seen.running == 0)).await;
    assert_eq!(cluster.seen().reads, 1);
}

#[tokio::test]
async fn a_client_that_goes_away_before_the_answer_cancels_as_well() {
    let (cluster, gateway) = with_clip().await;
    cluster.fault(|faults| faults.stall = true);
    let mut connection = Connection::open(gateway.address).await;
    connection.request("GET", "/files/clip", &[]).await;
    in_time(cluster.until(|seen| seen.running == 1)).await;
    drop(connection);
    in_time(cluster.until(|seen| seen.running == 0)).await;
}

#[tokio::test]
async fn downloads_reuse_their_connections() {
    let (cluster, gateway) = with_clip().await;
    for _ in 0..5 {
        assert_eq!(get(gateway.address, "/files/clip", &[]).await.status, 200);
    }
    in_time(cluster.until(|seen| seen.reads == 5 && seen.running == 0)).await;
    assert_eq!(cluster.connections(), 1, "of the storage");
}

#[tokio::test]
async fn stopping_lets_running_answers_finish() {
    let cluster = Cluster::start().await;
    let size = 30_000_000;
    cluster.add("film", size, "video/mp4", "");
    let gateway = cluster.gateway(|_| {}).await;
    let mut idle = Connection::open(gateway.address).await;
    idle.request("GET", "/files/film", &["Range: bytes=0-1"]).await;
    assert_eq!(idle.answer().await.status, 206);
    let mut fresh = Connection::open(gateway.address).await;
    let mut running = Connection::open(gateway.address).await;
    running.request("GET", "/files/film", &[]).await;
    assert_eq!(running.head().await.status, 200);
    gateway.shutdown.cancel();
    idle.ends().await;
    fresh.rest().await;
    in_time(async { while TcpStream::connect(gateway.address).await.is_ok() {} }).await;
    assert!(running.bytes(size as usize).await == bytes_of(0..size));
    running.ends().await;
    drop((idle, fresh, running));
    in_time(gateway.ended).await.unwrap();
}

#[tokio::test]
async fn stopping_cuts_off_what_takes_too_long() {
    let cluster = Cluster::start().await;
    cluster.add("film", HUGE, "video/mp4", "");
    let gateway = cluster.gateway(|config| config.drain_timeout = Duration::from_millis(100)).await;
    let mut running = Connection::open(gateway.address).await;
    running.request("GET", "/files/film", &[]).await;
    assert_eq!(running.head().await.status, 200);
    gateway.shutdown.cancel();
    in_time(gateway.ended).await.unwrap();
    in_time(cluster.until(|seen| seen.running == 0)).await;
    running.rest().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let (cluster, gateway) = with_clip().await;
    let config = tnv_http::Config { listen: gateway.address, ..Default::default() };
    let error = tnv_http::Server::bind(config).await.err().expect("the port is taken").to_string();
    assert!(error.contains(&gateway.address.to_string()), "{error}");
    drop(cluster);
}
