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

/// A download whose client takes nothing behind the first byte.
async fn stalled(hub: std::net::SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(hub).await.unwrap();
    let request = "GET /api/v1/meetings/m/download-package HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(in_time(stream.read_u8()).await.unwrap(), b'H');
    stream
}

#[tokio::test]
async fn downloads_over_the_memory_for_them_are_told_so() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|config| config.send_memory = 640 << 10).await;
    // More than sockets take.
    hub.meeting("m", &[("a", &vec![7; 24 << 20])]).await;
    let path = "/api/v1/meetings/m/download-package";
    let (one, _two) = (stalled(hub.address).await, stalled(hub.address).await);
    let more = hub.get(path).await;
    assert_eq!((more.status, more.header("retry-after")), (503, "2"));
    assert!(more.detail().contains("send_memory"), "{}", more.detail());
    let small = Call::get(path).header("range", "bytes=0-0").send(hub.address).await;
    assert_eq!(small.status, 503);
    // What needs no bytes is answered all the same.
    assert_eq!(Call::new("HEAD", path).send(hub.address).await.status, 200);
    drop(one);
    assert_eq!(hub.get(path).await.status, 200, "it waits until there is room");
}
