//! One file from many servers.

use std::io::{Cursor, Write};
use std::sync::Once;

use tnv_metalink::{File, Metalink, Mirror};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::cluster::{Cluster, Fault};
use super::{Outcome, client, client_until};

/// Runs `client fetch WORDS...`.
async fn fetch(words: &[&str]) -> Outcome {
    cryptography();
    client("127.0.0.1:1", [&["fetch"], words].concat()).await
}

fn cryptography() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
}

/// The URL of a server that gives these bytes to everybody, as far as `len`, and then says nothing more.
async fn serve(bytes: &[u8], len: usize) -> String {
    serve_with("", bytes, len).await
}

/// The same with further headers, each with its line end.
async fn serve_with(headers: &str, bytes: &[u8], len: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/dir/film.bin", listener.local_addr().unwrap());
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nETag: \"a\"\r\n{headers}\r\n", bytes.len());
    let answer = [head.as_bytes(), &bytes[..len]].concat();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                while let Ok(1..) = stream.read(&mut buffer).await {
                    let _ = stream.write_all(&answer).await;
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn events_tell_from_start_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let url = serve(b"contents", 8).await;
    let outcome = fetch(&[&url, "-o", out.to_str().unwrap(), "--json"]).await;
    outcome.assert_code(0);
    assert_eq!(std::fs::read(&out).unwrap(), b"contents");
    let events = outcome.json();
    assert_eq!(events[0]["event"], "downloadStart");
    assert_eq!(events[0]["sources"][0], url.as_str());
    let last = events.last().unwrap();
    assert_eq!(
        (&last["event"], &last["size"], &last["etag"]),
        (&"downloadComplete".into(), &8.into(), &"\"a\"".into())
    );
    assert_eq!(outcome.err, "");
}

#[tokio::test]
async fn failures_are_events_and_errors() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let out = out.to_str().unwrap();
    let outcome = fetch(&["http://127.0.0.1:1/x", "-o", out, "--json", "--retries", "0"]).await;
    outcome.assert_code(5);
    let last = outcome.json().pop().unwrap();
    assert_eq!(
        (&last["event"], &last["status"], &last["exit"]),
        (&"downloadError".into(), &"all_servers_failed".into(), &5.into())
    );
    assert_eq!(last["sources"][0]["kind"], "unreachable");
    assert_eq!(outcome.json_error()["error"], "unreachable");
    let url = serve(b"contents", 8).await;
    let hash = format!("sha-256:{}", "00".repeat(32));
    let outcome = fetch(&[&url, "-o", out, "--checksum", &hash]).await;
    outcome.assert_code(6);
    assert!(outcome.err.contains("damaged"), "{}", outcome.err);
    let url = serve(b"contents", 4).await;
    fetch(&[&url, "-o", out, "--timeout", "0.3"]).await.assert_code(9);
    for usage in
        [&["nonsense"][..], &["http://a/", "-o", "-"], &["-o", out, "a", "b", "--base", "http://10.0.0.1"]]
    {
        fetch(usage).await.assert_code(2);
    }
}

#[tokio::test]
async fn a_signal_keeps_what_has_come() {
    cryptography();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let url = serve(&vec![7; 3_000_000], 2_000_000).await;
    let part = folder.path().join("out.part.json");
    let stopped = async {
        while !std::fs::read_to_string(&part).is_ok_and(|note| note.contains("\"written\":[[0,")) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        2
    };
    let words = ["fetch", &url, "-o", out.to_str().unwrap(), "--json"];
    let outcome = client_until("127.0.0.1:1", words, stopped).await;
    outcome.assert_code(130);
    let last = outcome.json().pop().unwrap();
    assert_eq!((&last["status"], &last["exit"]), (&"cancelled".into(), &130.into()));
    assert!(last["message"].as_str().unwrap().contains("goes on with it"), "{last}");
    assert!(part.exists() && !out.exists());
}

#[tokio::test]
async fn a_package_is_unpacked_or_stays() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("meeting");
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("files/a.txt", zip::write::SimpleFileOptions::default()).unwrap();
    writer.write_all(b"text").unwrap();
    let package = writer.finish().unwrap().into_inner();
    let url = serve(&package, package.len()).await;
    let outcome = fetch(&[&url, "--extract", dir.to_str().unwrap(), "--json"]).await;
    outcome.assert_code(0);
    assert_eq!(outcome.json().last().unwrap()["members"], 1);
    assert_eq!(std::fs::read(dir.join("files/a.txt")).unwrap(), b"text");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    fetch(&[&url, "--extract", dir.to_str().unwrap()]).await.assert_code(1);
    let url = serve(b"no package", 10).await;
    let other = folder.path().join("other");
    let outcome = fetch(&[&url, "--extract", other.to_str().unwrap(), "--json"]).await;
    outcome.assert_code(6);
    assert_eq!(outcome.json().pop().unwrap()["status"], "extract_failed");
    assert!(!other.exists() && folder.path().join("other.zip").exists());
}

#[tokio::test]
async fn a_file_of_a_cluster_comes_from_its_storages() {
    let cluster = Cluster::start().await;
    cluster.add("f1", "", b"contents of a file");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let words = ["fetch", "tnvideo", "tnv001", "f1", "-o", out.to_str().unwrap()];
    let outcome = client(&cluster.address, words).await;
    outcome.assert_code(0);
    assert_eq!(std::fs::read(&out).unwrap(), b"contents of a file");
    assert!(outcome.err.contains("blake3 verified"), "{}", outcome.err);
    let missing = ["fetch", "tnvideo", "tnv001", "f2", "-o", out.to_str().unwrap(), "--force"];
    client(&cluster.address, missing).await.assert_code(3);
    cluster.break_with(Fault::Cut);
    let cut = ["fetch", "tnvideo", "tnv001", "f1", "-o", out.to_str().unwrap(), "--force", "--retries", "0"];
    let outcome = client(&cluster.address, cut).await;
    assert!(outcome.code == 5 || outcome.code == 0, "{outcome:?}");
    assert_eq!(std::fs::read(&out).unwrap(), b"contents of a file");
}

#[tokio::test]
async fn a_file_is_called_as_its_server_says() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, meeting) = (folder.path().to_str().unwrap(), folder.path().join("meeting_m1.zip"));
    let header = "Content-Disposition: attachment; filename=\"../meeting_m1.zip\"\r\n";
    let url = serve_with(header, b"contents", 8).await;
    let outcome = fetch(&[&url, "-o", dir, "--json"]).await;
    outcome.assert_code(0);
    assert_eq!(outcome.json().last().unwrap()["path"], meeting.to_str().unwrap());
    assert_eq!(std::fs::read(&meeting).unwrap(), b"contents");
    // What is there stays, whatever a server calls its file.
    std::fs::write(&meeting, b"mine").unwrap();
    for words in [&[&url, "-o", dir][..], &[&url, "-o", dir, "--force"]] {
        let outcome = fetch(words).await;
        outcome.assert_code(1);
        assert!(outcome.err.contains("meeting_m1.zip exists already"), "{}", outcome.err);
        assert_eq!(std::fs::read(&meeting).unwrap(), b"mine");
    }
    assert_eq!(std::fs::read_dir(dir).unwrap().count(), 1);
    // The user's word counts more, and a Metalink's.
    let out = folder.path().join("out");
    fetch(&[&url, "-o", out.to_str().unwrap()]).await.assert_code(0);
    assert_eq!(std::fs::read(&out).unwrap(), b"contents");
    let mirror = Metalink {
        files: vec![File { name: "film.mp4".into(), mirrors: vec![Mirror::new(&url)], ..File::default() }],
    };
    let document = tnv_metalink::write(&mirror);
    let header = "Content-Type: application/metalink4+xml\r\n";
    let url = serve_with(header, document.as_bytes(), document.len()).await;
    fetch(&[&url, "-o", dir]).await.assert_code(0);
    assert_eq!(std::fs::read(folder.path().join("film.mp4")).unwrap(), b"contents");
}

#[tokio::test]
async fn a_file_with_a_told_name_goes_on_under_that_of_its_address() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, bytes) = (folder.path().to_str().unwrap(), vec![7; 3_000_000]);
    let header = "Content-Disposition: attachment; filename*=UTF-8''a%20b.zip\r\n";
    let url = serve_with(header, &bytes, 2_000_000).await;
    fetch(&[&url, "-o", dir, "--timeout", "0.5"]).await.assert_code(9);
    assert!(folder.path().join("film.bin.part.json").exists());
    let outcome = fetch(&[&url, "-o", dir, "--timeout", "0.5"]).await;
    outcome.assert_code(9);
    assert!(outcome.err.contains("bytes are there already"), "{}", outcome.err);
}
