//! How many connections there may be, and how long they may stand still.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cluster::Cluster;
use crate::http::{Call, in_time};

#[tokio::test]
async fn connections_over_a_limit_are_told_so() {
    let cluster = Cluster::start().await;
    for (change, status) in [(0, 503), (1, 429)] {
        let hub = cluster
            .hub(|config| match change {
                0 => config.max_connections = 1,
                _ => config.max_connections_per_client = 1,
            })
            .await;
        let mut first = TcpStream::connect(hub.address).await.unwrap();
        first.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        in_time(first.readable()).await.unwrap();
        let answer = Call::get("/health").send(hub.address).await;
        assert_eq!((answer.status, answer.header("connection")), (status, "close"));
        assert!(answer.detail().contains("too many connections") && !answer.header("retry-after").is_empty());
        drop(first);
        in_time(async { while Call::get("/health").send(hub.address).await.status != 200 {} }).await;
    }
}

#[tokio::test]
async fn a_connection_without_a_request_ends() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|config| config.header_timeout = Duration::from_millis(50)).await;
    let mut silent = TcpStream::connect(hub.address).await.unwrap();
    silent.write_all(b"GET /").await.unwrap();
    let mut rest = Vec::new();
    in_time(silent.read_to_end(&mut rest)).await.unwrap();
}

#[tokio::test]
async fn an_upload_that_stands_still_leaves_nothing() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|config| config.progress_timeout = Duration::from_millis(100)).await;
    hub.meeting("m", &[]).await;
    let mut slow = TcpStream::connect(hub.address).await.unwrap();
    let head =
        "PUT /api/v1/meetings/m/files/a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\nabc";
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    in_time(slow.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("nothing was stored"), "{answer}");
    let meeting = hub.get("/api/v1/meetings/m").await.json();
    assert_eq!(meeting["files"].as_array().unwrap().len(), 0);
}
