//! The short way of plain requests: what differs from the long one, which is nothing but its cost.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use tnv_proto::ErrorCode;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::cluster::{Cluster, Running, bytes_of, with_clip};
use crate::http::{Answer, Connection, get, head, in_time, send};

/// A connection that takes the short way.
async fn short(gateway: &Running) -> Connection {
    Connection::open(gateway.address).await
}

/// One that has left it with its first request.
async fn long(gateway: &Running) -> Connection {
    let mut connection = Connection::open(gateway.address).await;
    connection.request("OPTIONS", "/files/clip", &[]).await;
    assert_eq!(connection.answer().await.status, 204);
    connection
}

/// Everything of an answer that must be the same: not its time, nor the boundary that is made up for it, nor the order
/// of its header.
fn told(answer: Answer) -> (String, Vec<String>, Vec<u8>) {
    let boundary = answer.header("content-type").and_then(|kind| kind.split_once("boundary="));
    let boundary = boundary.map(|(_, boundary)| boundary.to_owned());
    let anonymous = |text: &str| match &boundary {
        Some(boundary) => text.replace(boundary.as_str(), "BOUNDARY"),
        None => text.to_owned(),
    };
    let lines = answer.lines.iter().map(|line| match line.split_once(": ") {
        Some(("date", date)) => {
            assert_eq!((date.len(), date.ends_with(" GMT")), (29, true), "{line}");
            "date".to_owned()
        }
        _ => anonymous(line),
    });
    let body = match &boundary {
        // Whatever the bytes are, each of them is a character then.
        Some(_) => anonymous(&answer.body.iter().map(|byte| *byte as char).collect::<String>()).into_bytes(),
        None => answer.body.clone(),
    };
    let mut lines: Vec<String> = lines.collect();
    lines.sort_unstable();
    (answer.first.clone(), lines, body)
}

async fn ask(connection: &mut Connection, method: &str, path: &str, fields: &[&str]) -> Answer {
    connection.request(method, path, fields).await;
    if method == "HEAD" { connection.head().await } else { connection.answer().await }
}

const ETAG: &str = "\"abababababababababababababababab\"";

/// Conditions, ranges and whatever else changes an answer.
fn fields() -> Vec<Vec<String>> {
    let lines: &[&[&str]] = &[
        &[],
        &["Range: bytes=0-"],
        &["Range: bytes=0-1"],
        &["Range: bytes=-5"],
        &["Range: bytes=990-99999"],
        &["Range: bytes=1000-"],
        &["Range: bytes=5-2"],
        &["Range: bytes=0-1,5-9,-3"],
        &["Range: bytes=0-1", "Range: bytes=0-2"],
        &["Range: lines=1-2"],
        &["If-None-Match: *"],
        &["If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"],
        &["If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT"],
        &["If-Match: \"other\""],
        &["If-Match: \"other\", *", "Range: bytes=7-8"],
        &["Origin: https://a.example"],
        &["Origin: https://b.example", "Range: bytes=2-3"],
        &["Connection: keep-alive", "Accept-Encoding: gzip"],
        &["X-Strange: \u{e9}", "Cookie: a=b; c=d", "cookie: e=f"],
    ];
    let own = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<String>>();
    let mut all: Vec<Vec<String>> = lines.iter().map(|lines| own(lines)).collect();
    all.push(vec![format!("If-None-Match: W/{ETAG}")]);
    all.push(vec![format!("If-Range: {ETAG}"), "Range: bytes=3-4".to_owned()]);
    all.push(vec!["If-Range: \"other\"".to_owned(), "Range: bytes=3-4".to_owned()]);
    all
}

const PATHS: &[&str] = &[
    "/files/clip",
    "/files/clip?download",
    "//files/clip",
    "/files/tnvideo/tnv001/clip",
    "/files/page",
    "/files/empty",
    "/files/nothing",
    "/files/%",
    "/files/shop/u/x",
    "/nowhere",
    "/",
    "/assets/index.html",
    "/api/config",
    "/api/cluster",
    "/api/session",
];

#[tokio::test]
async fn both_ways_lead_to_the_same_answers() {
    let (cluster, _) = with_clip().await;
    cluster.add("page", 1000, "text/html", "");
    cluster.add("empty", 0, "video/mp4", "");
    for cors_origins in [vec![], vec!["https://a.example".to_owned()]] {
        let gateway = cluster.gateway(|config| config.cors_origins = cors_origins).await;
        let (mut short, mut long) = (short(&gateway).await, long(&gateway).await);
        for fields in fields() {
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            for path in PATHS {
                for method in ["GET", "HEAD"] {
                    let one = told(ask(&mut short, method, path, &fields).await);
                    let other = told(ask(&mut long, method, path, &fields).await);
                    assert_eq!(one, other, "{method} {path} {fields:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn both_ways_end_when_the_client_says_so() {
    let (_cluster, gateway) = with_clip().await;
    for field in ["Connection: close", "Connection: Close, keep-alive"] {
        let (mut short, mut long) = (short(&gateway).await, long(&gateway).await);
        let one = told(ask(&mut short, "GET", "/files/clip", &[field]).await);
        let other = told(ask(&mut long, "GET", "/files/clip", &[field]).await);
        assert_eq!(one, other);
        assert!(one.1.contains(&"connection: close".to_owned()));
        short.ends().await;
        long.ends().await;
    }
}

#[tokio::test]
async fn both_ways_refuse_what_is_no_request() {
    let (_cluster, gateway) = with_clip().await;
    for text in [
        "\r\n\r\nnonsense\r\n\r\n".to_owned(),
        "GET /files/clip\r\n\r\n".to_owned(),
        "GET /files/clip HTTP/1.1\r\nbad header\r\n\r\n".to_owned(),
        "GET /files/clip HTTP/1.1\r\nA : b\r\n\r\n".to_owned(),
        "GET  /files/clip HTTP/1.1\r\n\r\n".to_owned(),
        "GET /fi les/clip HTTP/1.1\r\n\r\n".to_owned(),
        "GET /files/\u{7f} HTTP/1.1\r\n\r\n".to_owned(),
        "GET /files/clip HTTP/1.1\r\nContent-Length: x\r\n\r\n".to_owned(),
        "GET /files/clip HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(),
        format!("GET /files/clip HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(150)),
        format!("GET /files/clip HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(20_000)),
        format!("GET /files/{} HTTP/1.1\r\n\r\n", "x".repeat(70_000)),
    ] {
        let mut answers = Vec::new();
        for mut connection in [short(&gateway).await, long(&gateway).await] {
            connection.send(&text).await;
            answers.push(told(connection.answer().await));
        }
        assert_eq!(answers[0], answers[1], "{text:.100}");
        assert!(answers[0].0.starts_with("HTTP/1.1 4"), "{}", answers[0].0);
    }
}

#[tokio::test]
async fn a_connection_may_change_its_ways() {
    let (cluster, gateway) = with_clip().await;
    let mut connection = short(&gateway).await;
    let plain = "GET /files/clip HTTP/1.1\r\nHost: test\r\nRange: bytes=1-500\r\n\r\n";
    let upload = "POST /files HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello";
    // All at once, cut where it hurts.
    let text = [plain, plain, upload, plain, upload, plain].concat();
    let (first, second) = text.split_at(plain.len() * 2 + upload.len() - 3);
    connection.send(first).await;
    for _ in 0..2 {
        assert!(connection.answer().await.body == bytes_of(1..501));
    }
    connection.send(second).await;
    for status in [201, 206, 201, 206] {
        let answer = connection.answer().await;
        assert_eq!(answer.status, status);
        assert!(status == 201 || answer.body == bytes_of(1..501));
    }
    cluster.keeps(3, 0).await;
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte() {
    let (_cluster, gateway) = with_clip().await;
    let mut connection = short(&gateway).await;
    for _ in 0..2 {
        for byte in b"\r\nGET /files/clip HTTP/1.1\r\nHost: test\r\nRange: bytes=0-9\r\n\r\n" {
            connection.send_bytes(&[*byte]).await;
        }
        assert_eq!(connection.answer().await.body, bytes_of(0..10));
    }
}

/// A client with a small window that takes what comes in small steps.
async fn trickle(gateway: &Running, path: &str, range: std::ops::Range<u64>) -> Vec<u8> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream: TcpStream = in_time(socket.connect(gateway.address)).await.unwrap();
    let mut connection = Connection::on(stream);
    let field = format!("Range: bytes={}-{}", range.start, range.end - 1);
    connection.request("GET", path, &[&field, "Connection: close"]).await;
    let answer = connection.head().await;
    assert_eq!(answer.status, 206);
    assert_eq!(answer.header("content-length"), Some(&*(range.end - range.start).to_string()));
    let mut body = Vec::new();
    let mut step = 1;
    loop {
        let mut bytes = vec![0; step];
        match in_time(connection.stream().read(&mut bytes)).await.unwrap() {
            0 => return body,
            read => body.extend_from_slice(&bytes[..read]),
        }
        if body.len() > 2000 {
            step = step % 5000 + 611;
        }
    }
}

/// Sizes around those of buffers, reads and pipes.
fn edge() -> impl Strategy<Value = u64> {
    let around = |size: u64| (size - 2)..(size + 3);
    prop_oneof![
        1..3u64,
        around(4 * 1024),
        around(16 * 1024),
        around(64 * 1024),
        around(64 * 1024 + 10),
        around(128 * 1024),
        around(256 * 1024),
        around(320 * 1024),
        around(512 * 1024),
        1..700_000u64,
    ]
}

#[test]
fn every_byte_arrives_however_slowly_it_is_taken() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (_cluster, gateway) = runtime.block_on(async {
        let cluster = Cluster::start().await;
        cluster.add("film", 2_000_000, "video/mp4", "");
        let gateway = cluster.gateway(|_| {}).await;
        (cluster, gateway)
    });
    let mut runner = TestRunner::new(Cases { cases: 48, failure_persistence: None, ..Cases::default() });
    let outcome = runner.run(&(edge(), edge()), |(start, len)| {
        let body = runtime.block_on(trickle(&gateway, "/files/film", start..start + len));
        prop_assert!(body == bytes_of(start..start + len), "{} bytes from {}", len, start);
        Ok(())
    });
    outcome.unwrap();
}

#[tokio::test]
async fn a_download_that_breaks_goes_on_where_it_was() {
    for after in [0, 1, 60_000, 65_536, 500_000, 999_992] {
        let cluster = Cluster::start().await;
        cluster.add("film", 1_000_000, "video/mp4", "");
        cluster.fault(|faults| faults.break_once = Some(after));
        let gateway = cluster.gateway(|_| {}).await;
        let answer = get(gateway.address, "/files/film", &["Range: bytes=7-"]).await;
        assert!(answer.body == bytes_of(7..1_000_000), "broken after {after}");
        assert_eq!(cluster.seen().reads, 2, "broken after {after}");
    }
}

#[tokio::test]
async fn clients_that_leave_anywhere_leave_nothing_behind() {
    let cluster = Cluster::start().await;
    cluster.add("film", 1 << 40, "video/mp4", "");
    cluster.add("short", 300_000, "video/mp4", "");
    let gateway = cluster.gateway(|config| config.drain_timeout = Duration::from_secs(3600)).await;
    for round in 0..60u64 {
        let mut connection = short(&gateway).await;
        let path = if round % 3 == 0 { "/files/short" } else { "/files/film" };
        connection.request("GET", path, &[]).await;
        if round % 4 > 0 {
            connection.head().await;
            let taken = (round * round * 37) % 300_000;
            connection.bytes(taken as usize).await;
        }
        if round % 2 == 0 {
            // A reset, and not a farewell.
            connection.stream().get_ref().set_zero_linger().unwrap();
        }
    }
    in_time(cluster.until(|seen| seen.running == 0)).await;
    gateway.shutdown.cancel();
    // Waits for every connection, and would not cut one off.
    in_time(gateway.ended).await.unwrap();
}

#[tokio::test]
async fn a_known_file_costs_one_read() {
    let (cluster, gateway) = with_clip().await;
    let mut connection = short(&gateway).await;
    for _ in 0..10 {
        let answer = ask(&mut connection, "GET", "/files/clip", &["Range: bytes=10-19"]).await;
        assert_eq!(answer.body, bytes_of(10..20));
    }
    let seen = cluster.seen();
    assert_eq!((seen.reads, seen.stats, seen.locates), (10, 1, 1));
    assert_eq!(cluster.connections(), 1);
}

#[tokio::test]
async fn nothing_is_remembered_where_nothing_may_be() {
    let (cluster, _) = with_clip().await;
    let gateway =
        cluster.gateway(|config| (config.attributes_size, config.locate_ttl) = (0, Duration::ZERO)).await;
    for _ in 0..3 {
        assert_eq!(get(gateway.address, "/files/clip", &[]).await.status, 200);
    }
    let seen = cluster.seen();
    assert_eq!((seen.reads, seen.stats, seen.locates), (3, 3, 6));
}

#[tokio::test]
async fn another_file_under_the_same_id_is_never_mixed_with_the_old_one() {
    let (cluster, _) = with_clip().await;
    // What is remembered is never too old to be told: only the storage's word can put an end to it.
    let gateway = cluster.gateway(|config| config.attributes_ttl = Duration::from_secs(3600)).await;
    let old = get(gateway.address, "/files/clip", &[]).await;
    cluster.replace("clip", 2000);
    let new = get(gateway.address, "/files/clip", &[]).await;
    assert!((new.status, new.body) == (200, bytes_of(0..2000)));
    let etag = lines_with(&new.lines, "etag");
    assert_ne!(etag, lines_with(&old.lines, "etag"));
    cluster.replace("clip", 500);
    let range = get(gateway.address, "/files/clip", &["Range: bytes=400-1500"]).await;
    assert_eq!(range.header("content-range"), Some("bytes 400-499/500"));
    assert_eq!(range.body, bytes_of(400..500));
    cluster.remove("clip");
    assert_eq!(get(gateway.address, "/files/clip", &[]).await.status, 404);
    assert_eq!(head(gateway.address, "/files/clip", &[]).await.status, 404);
}

fn lines_with<'a>(lines: &'a [String], name: &str) -> Vec<&'a String> {
    lines.iter().filter(|line| line.starts_with(name)).collect()
}

#[tokio::test]
async fn answers_without_bytes_are_not_old() {
    let (cluster, _) = with_clip().await;
    let gateway = cluster.gateway(|config| config.attributes_ttl = Duration::ZERO).await;
    let known = get(gateway.address, "/files/clip", &[]).await;
    let condition = format!("If-None-Match: {}", known.header("etag").unwrap());
    assert_eq!(get(gateway.address, "/files/clip", &[&condition]).await.status, 304);
    cluster.replace("clip", 2000);
    assert_eq!(get(gateway.address, "/files/clip", &[&condition]).await.status, 200);
    cluster.replace("clip", 3000);
    assert_eq!(head(gateway.address, "/files/clip", &[]).await.header("content-length"), Some("3000"));
    cluster.replace("clip", 4000);
    let beyond = get(gateway.address, "/files/clip", &["Range: bytes=5000-"]).await;
    assert_eq!(beyond.header("content-range"), Some("bytes */4000"));
}

#[tokio::test]
async fn a_file_that_was_deleted_here_is_gone_at_once() {
    let (_cluster, gateway) = with_clip().await;
    assert_eq!(get(gateway.address, "/files/clip", &[]).await.status, 200);
    assert_eq!(send(gateway.address, "DELETE", "/files/clip", &[], b"").await.status, 204);
    assert_eq!(head(gateway.address, "/files/clip", &[]).await.status, 404);
}

#[tokio::test]
async fn trouble_with_a_known_file_is_told_and_forgotten() {
    let (cluster, gateway) = with_clip().await;
    assert_eq!(get(gateway.address, "/files/clip", &[]).await.status, 200);
    cluster.fault(|faults| faults.reads = Some(ErrorCode::UNAVAILABLE));
    assert_eq!(get(gateway.address, "/files/clip", &[]).await.status, 503);
    cluster.fault(|faults| faults.reads = None);
    assert_eq!(get(gateway.address, "/files/clip", &[]).await.status, 200);
}
