//! groups, filesize and delete.

use tnv_proto::{Command, ErrorCode};
use tokio::net::TcpListener;

use super::client;
use super::cluster::{Cluster, Fault};

#[tokio::test]
async fn groups_shows_the_text_of_the_tracker() {
    let cluster = Cluster::start().await;
    let outcome = client(&cluster.address, ["groups"]).await;
    outcome.assert_code(0);
    assert_eq!(outcome.text(), "         COUNT OF GROUPS: 0\n");
    assert_eq!(outcome.err, "");
}

#[tokio::test]
async fn groups_gives_the_state_as_json() {
    let cluster = Cluster::start().await;
    let outcome = client(&cluster.address, ["groups", "--json"]).await;
    outcome.assert_code(0);
    assert_eq!(outcome.json()[0]["groups"][0]["name"], "group001");
}

#[tokio::test]
async fn scrub_is_begun_waited_for_and_shown() {
    let cluster = Cluster::start().await;
    let at = cluster.address.as_str();
    for (more, what) in [(&[][..], "reading"), (&["--wait"], "through"), (&["--status"], "through")] {
        let outcome = client(at, [&["scrub", at], more].concat()).await;
        outcome.assert_code(0);
        let line =
            format!("{at}: {what}, 3 files, 7 B; 1 damaged, 0 missing, 0 not readable, 0 without a row\n");
        assert_eq!(outcome.text(), line);
    }
    let outcome = client(at, ["scrub", at, "--status", "--json"]).await;
    assert_eq!((&outcome.json()[0]["storage"], &outcome.json()[0]["last"]["files"]), (&at.into(), &3.into()));
    cluster.break_with(Fault::Refuse(ErrorCode::UNAVAILABLE));
    client(at, ["scrub", at]).await.assert_code(5);
}

#[tokio::test]
async fn filesize_prints_the_size() {
    let cluster = Cluster::start().await;
    cluster.add("f1", "", b"12345");
    let outcome = client(&cluster.address, ["filesize", "tnvideo", "tnv001", "f1"]).await;
    outcome.assert_code(0);
    assert_eq!(outcome.text(), "5\n");
    let outcome = client(&cluster.address, ["filesize", "tnvideo", "tnv001", "f1", "--json"]).await;
    assert_eq!(outcome.json(), [serde_json::json!({ "id": "f1", "size": 5 })]);
}

#[tokio::test]
async fn delete_removes_the_file() {
    let cluster = Cluster::start().await;
    cluster.add("f1", "", b"12345");
    let outcome = client(&cluster.address, ["delete", "tnvideo", "tnv001", "f1"]).await;
    outcome.assert_code(0);
    assert_eq!((outcome.text(), outcome.err.as_str()), ("", "deleted tnvideo/tnv001/f1\n"));
    assert!(cluster.contents().is_empty());
    cluster.add("f2", "", b"");
    let outcome = client(&cluster.address, ["delete", "tnvideo", "tnv001", "f2", "--json"]).await;
    assert_eq!(outcome.json(), [serde_json::json!({ "id": "f2", "deleted": true })]);
    assert_eq!(outcome.err, "");
}

#[tokio::test]
async fn what_does_not_exist_is_told_apart() {
    let cluster = Cluster::start().await;
    for command in ["filesize", "delete", "download"] {
        let outcome = client(&cluster.address, [command, "tnvideo", "tnv001", "none", "--json"]).await;
        outcome.assert_code(3);
        assert!(outcome.out.is_empty());
        let error = outcome.json_error();
        assert_eq!(error["error"], "not_found");
        assert_eq!(error["exit"], 3);
        assert_eq!(error["code"], 404);
        assert_eq!(error["id"], "none");
    }
}

#[tokio::test]
async fn a_refusal_is_told_apart() {
    let cluster = Cluster::start().await;
    cluster.break_with(Fault::Refuse(ErrorCode::FORBIDDEN));
    let outcome = client(&cluster.address, ["filesize", "tnvideo", "tnv001", "f1"]).await;
    outcome.assert_code(4);
    assert!(outcome.err.starts_with("error: "), "{outcome:?}");
    assert!(outcome.err.contains("as the test wants it"), "{outcome:?}");
}

#[tokio::test]
async fn a_tracker_that_is_not_there_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let outcome = client(&address, ["groups"]).await;
    outcome.assert_code(5);
    assert!(outcome.err.contains(&address), "{outcome:?}");
}

#[tokio::test]
async fn the_second_tracker_is_asked_when_the_first_is_not_there() {
    let cluster = Cluster::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let trackers = format!("{};{}", listener.local_addr().unwrap(), cluster.address);
    drop(listener);
    client(&trackers, ["groups"]).await.assert_code(0);
    assert_eq!(cluster.commands(), [Command::Groups]);
}

#[tokio::test]
async fn a_server_of_another_kind_is_damage() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.read(&mut [0; 64]).await;
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    client(&address, ["groups"]).await.assert_code(6);
}

#[tokio::test]
async fn a_closed_pipe_is_quiet() {
    let cluster = Cluster::start().await;
    let outcome =
        super::client_into(super::closed_pipe(), &cluster.address, ["groups"], std::future::pending()).await;
    assert_eq!(outcome, (141, String::new()));
}

#[tokio::test]
async fn cat_writes_to_standard_output() {
    let cluster = Cluster::start().await;
    cluster.add("f1", "", b"0123456789");
    let cat = async |more: &[&str]| {
        client(&cluster.address, ["cat", "tnvideo", "tnv001", "f1"].iter().chain(more)).await
    };
    let outcome = cat(&[]).await;
    assert_eq!((outcome.code, outcome.out.as_slice()), (0, &b"0123456789"[..]));
    assert!(outcome.err.contains("checksum verified"), "{outcome:?}");
    let outcome = cat(&["2", "3", "--json"]).await;
    assert_eq!((outcome.code, outcome.text(), outcome.err.as_str()), (0, "234", ""));
    let outcome = cat(&["5", "6", "--json"]).await;
    outcome.assert_code(4);
    assert_eq!(outcome.json_error()["code"], 416);
    cluster.damage("f1", |bytes| bytes[3] ^= 1);
    cat(&[]).await.assert_code(6);
}
