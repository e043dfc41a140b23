//! HTTP/2 without TLS, by prior knowledge.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::cluster::{Running, bytes_of, with_clip};
use crate::http::{get, in_time};

type Body = http_body_util::combinators::BoxBody<Bytes, std::convert::Infallible>;

async fn open(gateway: &Running) -> SendRequest<Body> {
    open_with_window(gateway, 65_535).await
}

/// A client that takes so many bytes of each answer before it reads them.
async fn open_with_window(gateway: &Running, bytes: u32) -> SendRequest<Body> {
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let mut client = Builder::new(TokioExecutor::new());
    client.initial_stream_window_size(bytes).initial_connection_window_size(16 << 20);
    let (sender, connection) = in_time(client.handshake(TokioIo::new(stream))).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Asks for a file; nobody reads it yet.
async fn begin(gateway: &Running, sender: &mut SendRequest<Body>, path: &str) -> Response<Incoming> {
    let request = request(gateway, "GET", path, Empty::new().boxed());
    in_time(sender.send_request(request)).await.unwrap()
}

async fn ask(sender: &mut SendRequest<Body>, request: Request<Body>) -> (Response<()>, Bytes) {
    let (head, body) = in_time(sender.send_request(request)).await.unwrap().into_parts();
    let bytes = in_time(body.collect()).await.unwrap().to_bytes();
    (Response::from_parts(head, ()), bytes)
}

fn request(gateway: &Running, method: &str, path: &str, body: Body) -> Request<Body> {
    let uri = format!("http://{}{path}", gateway.address);
    Request::builder().method(method).uri(uri).body(body).unwrap()
}

#[tokio::test]
async fn files_are_read_and_written_over_one_connection() {
    let (cluster, gateway) = with_clip().await;
    let mut sender = open(&gateway).await;
    let mut read = request(&gateway, "GET", "/files/clip", Empty::new().boxed());
    read.headers_mut().insert("range", "bytes=10-19".parse().unwrap());
    let (head, bytes) = ask(&mut sender, read).await;
    assert_eq!((head.status(), &bytes[..]), (StatusCode::PARTIAL_CONTENT, &bytes_of(10..20)[..]));
    assert_eq!(head.headers()["content-range"], "bytes 10-19/1000");

    let sent = bytes_of(0..2_000_000);
    let mut write = request(&gateway, "POST", "/files?name=a", Full::from(sent.clone()).boxed());
    let own = format!("http://{}", gateway.address);
    write.headers_mut().insert("origin", own.parse().unwrap());
    let (head, json) = ask(&mut sender, write).await;
    assert_eq!(head.status(), StatusCode::CREATED);
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert!(cluster.uploaded(json["id"].as_str().unwrap()).unwrap().1 == sent);

    let (head, bytes) =
        ask(&mut sender, request(&gateway, "HEAD", "/api/config", Empty::new().boxed())).await;
    let length = head.headers()["content-length"].to_str().unwrap().parse::<usize>().unwrap();
    assert!(length > 10 && bytes.is_empty());
}

#[tokio::test]
async fn requests_are_answered_side_by_side() {
    let (cluster, gateway) = with_clip().await;
    cluster.add("film", 50_000_000, "video/mp4", "");
    let mut sender = open(&gateway).await;
    // Nobody reads this one, and the others do not wait for it.
    let film = begin(&gateway, &mut sender, "/files/film").await;
    for _ in 0..10 {
        let (head, bytes) =
            ask(&mut sender, request(&gateway, "GET", "/files/clip", Empty::new().boxed())).await;
        assert_eq!((head.status(), bytes.len()), (StatusCode::OK, 1000));
    }
    drop(film);
    cluster.until(|seen| seen.running == 0).await;
}

#[tokio::test]
async fn a_connection_without_requests_ends() {
    let (cluster, _) = with_clip().await;
    let patience = Duration::from_millis(100);
    let gateway = cluster.gateway(|config| config.header_timeout = patience).await;
    let mut sender = open(&gateway).await;
    ask(&mut sender, request(&gateway, "GET", "/files/clip", Empty::new().boxed())).await;
    while !sender.is_closed() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn streams_count_like_connections() {
    let (cluster, _) = with_clip().await;
    cluster.add("film", 50_000_000, "video/mp4", "");
    let gateway = cluster.gateway(|config| config.max_connections = 2).await;
    let mut sender = open(&gateway).await;
    // The first has its connection's place, the second that of another connection.
    let films = [
        begin(&gateway, &mut sender, "/files/film").await,
        begin(&gateway, &mut sender, "/files/film").await,
    ];
    assert!(films.iter().all(|film| film.status() == StatusCode::OK));
    let third = begin(&gateway, &mut sender, "/files/film").await;
    assert_eq!(third.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(third.headers()["retry-after"], "2");
    drop(third);
    assert_eq!(get(gateway.address, "/files/clip", &[]).await.status, 503);
    drop(films);
    in_time(async { while get(gateway.address, "/files/clip", &[]).await.status != 200 {} }).await;
}

#[tokio::test]
async fn streams_that_take_nothing_hold_up_nobody() {
    let (cluster, _) = with_clip().await;
    cluster.add("film", 50_000_000, "video/mp4", "");
    let gateway = cluster
        .gateway(|config| {
            config.max_connections = 4;
            config.progress_timeout = Duration::from_millis(200);
        })
        .await;
    let mut sender = open_with_window(&gateway, 0).await;
    let mut films = Vec::new();
    for path in ["/files/film", "/files/film", "/files/film", "/"] {
        films.push(begin(&gateway, &mut sender, path).await);
    }
    in_time(cluster.until(|seen| seen.reads == 3 && seen.running == 0)).await;
    in_time(async { while get(gateway.address, "/files/clip", &[]).await.status != 200 {} }).await;
}

#[tokio::test]
async fn a_stream_that_stood_still_goes_on_where_it_was() {
    let (cluster, _) = with_clip().await;
    // More than lies in the buffers of sockets.
    let len = 40_000_000;
    cluster.add("film", len, "video/mp4", "");
    let gateway = cluster.gateway(|config| config.progress_timeout = Duration::from_millis(200)).await;
    let mut sender = open(&gateway).await;
    let film = begin(&gateway, &mut sender, "/files/film").await;
    let mut ranges = request(&gateway, "GET", "/files/film", Empty::new().boxed());
    let wanted = "bytes=5-19999999,20000005-29999999,30000005-".parse().unwrap();
    ranges.headers_mut().insert("range", wanted);
    let ranges = in_time(sender.send_request(ranges)).await.unwrap();
    in_time(cluster.until(|seen| seen.reads == 2 && seen.running == 0)).await;
    let bytes = in_time(film.into_body().collect()).await.unwrap().to_bytes();
    assert!(bytes == bytes_of(0..len));
    let length: usize = ranges.headers()["content-length"].to_str().unwrap().parse().unwrap();
    let bytes = in_time(ranges.into_body().collect()).await.unwrap().to_bytes();
    assert_eq!(bytes.len(), length);
    for part in [5..20_000_000, 20_000_005..30_000_000, 30_000_005..len] {
        assert!(memchr::memmem::find(&bytes, &bytes_of(part)).is_some());
    }
    assert!(cluster.seen().reads >= 6, "the film and the first range came twice");
}

#[tokio::test]
async fn a_slow_storage_is_not_taken_for_a_slow_client() {
    let (cluster, _) = with_clip().await;
    let patience = Duration::from_millis(100);
    cluster.fault(|faults| faults.slow = Some(5 * patience));
    let gateway = cluster.gateway(|config| config.progress_timeout = patience).await;
    let mut sender = open(&gateway).await;
    let mut ranges = request(&gateway, "GET", "/files/clip", Empty::new().boxed());
    ranges.headers_mut().insert("range", "bytes=0-9,20-29".parse().unwrap());
    let (head, bytes) = ask(&mut sender, ranges).await;
    assert_eq!(head.headers()["content-length"], bytes.len().to_string().as_str());
    assert_eq!(cluster.seen().reads, 2, "it was waited for");
}

#[tokio::test]
async fn a_connection_on_which_all_streams_stand_still_ends() {
    let (cluster, _) = with_clip().await;
    let patience = Duration::from_millis(200);
    let gateway = cluster
        .gateway(|config| (config.progress_timeout, config.header_timeout) = (patience, patience))
        .await;
    let mut sender = open_with_window(&gateway, 0).await;
    let clip = begin(&gateway, &mut sender, "/files/clip").await;
    assert!(in_time(clip.into_body().collect()).await.is_err());
    in_time(async {
        while !sender.is_closed() {
            tokio::task::yield_now().await
        }
    })
    .await;
}

#[tokio::test]
async fn a_stop_lets_running_answers_finish() {
    let (cluster, gateway) = with_clip().await;
    cluster.add("film", 5_000_000, "video/mp4", "");
    let mut sender = open(&gateway).await;
    let film = begin(&gateway, &mut sender, "/files/film").await;
    gateway.shutdown.cancel();
    let bytes = in_time(film.into_body().collect()).await.unwrap().to_bytes();
    assert!(bytes == bytes_of(0..5_000_000));
    in_time(gateway.ended).await.unwrap();
}

#[tokio::test]
async fn the_older_protocol_is_served_beside() {
    let (_cluster, gateway) = with_clip().await;
    let _sender = open(&gateway).await;
    assert_eq!(get(gateway.address, "/files/clip", &[]).await.status, 200);
}
