//! Servers that do not answer, refuse, or break off.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tnv_fetch::FailureKind;

use crate::bench::{Bench, pattern};
use crate::server::{Content, Server, Step, dead, redirect, status};

#[tokio::test]
async fn one_good_server_is_enough_and_no_other_is_asked() {
    let content = Content::new(&pattern(1, 300_000), "\"a\"");
    let (one, two) = (content.serve().await, content.serve().await);
    let bench = Bench::new();
    let (outcome, _) = bench.fetch(&[one.url(), two.url()]).await;
    bench.expect(&outcome, &content.bytes);
    assert_eq!((one.count(), two.count()), (1, 0));
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    let content = Content::new(b"", "\"a\"");
    let server = content.serve().await;
    let bench = Bench::new();
    let (outcome, _) = bench.fetch(&[server.url()]).await;
    bench.expect(&outcome, b"");
}

#[tokio::test]
async fn those_that_fail_are_passed_over() {
    let content = Content::new(&pattern(2, 100_000), "\"a\"");
    let good = content.serve().await;
    let hangs = Server::start(|_| vec![Step::Hang]).await;
    let refuses = Server::start(|_| status("403 Forbidden")).await;
    let misses = Server::start(|_| status("404 Not Found")).await;
    let fails = Server::start(|_| status("500 Broken")).await;
    let babbles = Server::start(|_| vec![Step::Send(b"220 what do you want\r\n\r\n".to_vec())]).await;
    let loops = Server::start(|_| {
        vec![Step::Send(
            b"HTTP/1.1 302 Found\r\nLocation: /file.bin\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                .to_vec(),
        )]
    })
    .await;
    let bench = Bench::new();
    let bad =
        [dead().await, hangs.url(), refuses.url(), misses.url(), fails.url(), babbles.url(), loops.url()];
    let urls: Vec<String> = bad.into_iter().chain([good.url()]).collect();
    let (outcome, told) = bench.fetch(&urls).await;
    bench.expect(&outcome, &content.bytes);
    for dropped in [&refuses, &misses, &loops] {
        assert!(told.dropped(dropped), "{:?}", told.notes);
    }
    assert_eq!((misses.count(), refuses.count()), (1, 1));
}

#[tokio::test]
async fn everybody_failing_is_told_by_name() {
    let misses = Server::start(|_| status("404 Not Found")).await;
    let bench = Bench::new();
    let (outcome, _) = bench.fetch(&[misses.url(), misses.at("/other")]).await;
    bench.expect_failure(&outcome, "all_servers_failed");
    let error = outcome.unwrap_err();
    assert!(error.is_everywhere(FailureKind::NotFound));
    assert!(error.to_string().contains(&format!("{}: it answers 404", misses.url())), "{error}");
    let address = dead().await;
    let (outcome, _) = bench.fetch(&[address]).await;
    bench.expect_failure(&outcome, "all_servers_failed");
    assert!(outcome.unwrap_err().is_everywhere(FailureKind::Unreachable));
    assert!(bench.names().is_empty(), "{:?}", bench.names());
}

#[tokio::test]
async fn a_busy_server_is_asked_again_when_it_said() {
    let content = Content::new(&pattern(3, 50_000), "\"a\"");
    let busy = content.clone();
    let server = Server::start(move |request| match request.number {
        0 => vec![Step::Send(
            b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(),
        )],
        _ => busy.steps(request),
    })
    .await;
    let bench = Bench::new();
    let start = std::time::Instant::now();
    let (outcome, _) = bench.fetch(&[server.url()]).await;
    bench.expect(&outcome, &content.bytes);
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn the_next_goes_on_at_the_byte_where_one_stopped() {
    let content = Content::new(&pattern(4, 300_000), "\"a\"");
    let breaking = content.clone();
    let breaks = Server::start(move |request| breaking.steps_until(request, 123_456, Step::Reset)).await;
    let good = content.serve().await;
    let bench = Bench::new();
    let (outcome, _) = bench.fetch(&[breaks.url(), good.url()]).await;
    bench.expect(&outcome, &content.bytes);
    let range = good.requests()[0].range.unwrap();
    assert_eq!(range, (123_456, None));
}

#[tokio::test]
async fn resets_anywhere_do_no_harm() {
    let content = Content::new(&pattern(5, 40_000), "\"a\"");
    let good = content.serve().await;
    for cut in (0..400).step_by(37).chain((400..40_000).step_by(7919)) {
        let breaking = content.clone();
        let server = Server::start(move |request| {
            let (head, body) = breaking.answer(request);
            let mut all = [head.into_bytes(), body].concat();
            all.truncate(cut);
            vec![Step::Send(all), Step::Pause(Duration::from_millis(5)), Step::Reset]
        })
        .await;
        let bench = Bench::new();
        let (outcome, _) = bench.fetch(&[server.url(), good.url()]).await;
        bench.expect(&outcome, &content.bytes);
    }
}

#[tokio::test]
async fn a_stalled_and_a_trickling_server_are_left() {
    let content = Content::new(&pattern(6, 200_000), "\"a\"");
    let good = content.serve().await;
    let stalling = content.clone();
    let stalls = Server::start(move |request| stalling.steps_until(request, 1_000, Step::Hang)).await;
    let trickling = content.clone();
    let trickles = Server::start(move |request| {
        let (head, body) = trickling.answer(request);
        vec![Step::Send(head.into_bytes()), Step::Trickle(body, 10, Duration::from_millis(50))]
    })
    .await;
    let bench = Bench::new();
    let (outcome, _) = bench.fetch(&[stalls.url(), trickles.url(), good.url()]).await;
    bench.expect(&outcome, &content.bytes);
    assert!(trickles.count() >= 1 && good.requests()[0].range.is_some());
}

#[tokio::test]
async fn all_of_it_may_take_only_so_long() {
    let content = Content::new(&pattern(7, 200_000), "\"a\"");
    let trickling = content.clone();
    let server = Server::start(move |request| {
        let (head, body) = trickling.answer(request);
        vec![Step::Send(head.into_bytes()), Step::Trickle(body, 100, Duration::from_millis(20))]
    })
    .await;
    let mut bench = Bench::new();
    bench.options.timeout = Some(Duration::from_secs(1));
    let (outcome, _) = bench.fetch(&[server.url()]).await;
    bench.expect_failure(&outcome, "timeout");
    assert_eq!(bench.names(), ["file.bin.part", "file.bin.part.json"]);
}

#[tokio::test]
async fn a_redirected_request_begins_at_the_start_again() {
    let content = Content::new(&pattern(8, 300_000), "\"a\"");
    let breaking = content.clone();
    let dying = Server::start(move |request| breaking.steps_until(request, 100_000, Step::Reset)).await;
    let good = content.serve().await;
    let nodes = [dying.url(), good.url()];
    let hub = Server::start(move |request| redirect(&nodes[request.number.min(1)], "")).await;
    let bench = Bench::new();
    let (outcome, _) = bench.fetch(&[hub.url()]).await;
    bench.expect(&outcome, &content.bytes);
    assert_eq!((hub.count(), dying.count(), good.count()), (2, 1, 1));
    assert_eq!(good.requests()[0].range, Some((100_000, None)));
    assert_eq!(good.requests()[0].if_range.as_deref(), Some("\"a\""));
}

#[tokio::test]
async fn a_redirection_to_a_dead_server_is_named_and_asked_again() {
    let (gone, content) = (dead().await, Content::new(&pattern(9, 1_000), "\"a\""));
    let (to, good) = (gone.clone(), content.serve().await);
    let nodes = [gone.clone(), good.url()];
    let recovers = Server::start(move |request| redirect(&nodes[request.number.min(1)], "")).await;
    let bench = Bench::new();
    let (outcome, told) = bench.fetch(&[recovers.url()]).await;
    bench.expect(&outcome, &content.bytes);
    let note = format!("{} -> {gone}: connection refused", recovers.url());
    assert_eq!(told.notes[0].to_string(), note);
    let stays = Server::start(move |_| redirect(&to, "")).await;
    let bench = Bench::new();
    let (outcome, _) = bench.fetch(&[stays.url()]).await;
    bench.expect_failure(&outcome, "all_servers_failed");
    let text = outcome.unwrap_err().to_string();
    assert!(text.contains(&format!("{} -> {gone}: connection refused", stays.url())), "{text}");
    assert_eq!(stays.count(), 3);
}

#[tokio::test]
async fn each_kind_of_no_is_told_apart() {
    for (line, kind, count) in [
        ("500 Broken", FailureKind::Failing, 3),
        ("503 Busy", FailureKind::Busy, 3),
        ("423 Locked", FailureKind::Busy, 3),
        ("403 Forbidden", FailureKind::Refused, 1),
    ] {
        let server = Server::start(move |_| status(line)).await;
        let (outcome, _) = Bench::new().fetch(&[server.url()]).await;
        assert!(outcome.unwrap_err().is_everywhere(kind), "{line}");
        assert_eq!(server.count(), count, "{line}");
    }
    let babbles = Server::start(|_| vec![Step::Send(b"220 what do you want\r\n\r\n".to_vec())]).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let greets = format!("https://{}/file.bin", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.write_all(b"220 what do you want\r\n");
            let _ = stream.read(&mut [0; 4096]);
        }
    });
    let (outcome, _) = Bench::new().fetch(&[babbles.url(), greets]).await;
    let error = outcome.unwrap_err();
    assert!(error.is_everywhere(FailureKind::Invalid), "{error}");
    let text = error.to_string();
    assert!(text.contains("no HTTP") && text.contains("no TLS"), "{text}");
}

/// The URL of a server whose certificate is that of an authority, and that certificate.
fn authority() -> (String, Vec<u8>) {
    let pem = include_bytes!("authority.pem");
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(pem).unwrap()],
            PrivateKeyDer::from_pem_slice(pem).unwrap(),
        )
        .unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
    let url = format!("https://{}/file.bin", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let _ = connection.complete_io(&mut &stream);
        }
    });
    (url, pem.to_vec())
}

#[tokio::test]
async fn a_bad_certificate_is_told_once_and_in_words() {
    let mut bench = Bench::new();
    let (url, pem) = authority();
    for authorities in [Vec::new(), pem] {
        bench.options.authorities = authorities;
        let (outcome, told) = bench.fetch(std::slice::from_ref(&url)).await;
        let error = outcome.unwrap_err();
        assert!(error.is_everywhere(FailureKind::Untrusted) && told.notes.len() == 1, "{:?}", told.notes);
        let text = error.to_string();
        assert!(text.contains("its certificate is") && text.contains("--ca FILE"), "{text}");
        assert!(!text.contains("CaUsed") && !text.contains("Other"), "{text}");
    }
}
