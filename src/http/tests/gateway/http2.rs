//! HTTP/2 without TLS, by prior knowledge.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::cluster::{Running, bytes_of, with_clip};
use crate::http::{get, in_time};

type Body = http_body_util::combinators::BoxBody<Bytes, std::convert::Infallible>;

async fn open(gateway: &Running) -> SendRequest<Body> {
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (sender, connection) = in_time(handshake(TokioExecutor::new(), TokioIo::new(stream))).await.unwrap();
    tokio::spawn(connection);
    sender
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
    let film = request(&gateway, "GET", "/files/film", Empty::new().boxed());
    let film = in_time(sender.send_request(film)).await.unwrap();
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
    let patience = std::time::Duration::from_millis(100);
    let gateway = cluster.gateway(|config| config.header_timeout = patience).await;
    let mut sender = open(&gateway).await;
    ask(&mut sender, request(&gateway, "GET", "/files/clip", Empty::new().boxed())).await;
    while !sender.is_closed() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stop_lets_running_answers_finish() {
    let (cluster, gateway) = with_clip().await;
    cluster.add("film", 5_000_000, "video/mp4", "");
    let mut sender = open(&gateway).await;
    let film = request(&gateway, "GET", "/files/film", Empty::new().boxed());
    let film = in_time(sender.send_request(film)).await.unwrap();
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
