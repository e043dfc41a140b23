//! Resumable uploads.

use std::time::Duration;

use tnv_proto::ErrorCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::answers::lines;
use crate::cluster::{Cluster, Running, bytes_of, with_clip};
use crate::http::{Answer, Connection, get, head, in_time, send};

const TUS: &str = "Tus-Resumable: 1.0.0";
const PART: &str = "Content-Type: application/offset+octet-stream";
const EXPIRES: &str = "upload-expires: Sun, 06 Nov 1994 08:49:37 GMT";

async fn with_gateway() -> (Cluster, Running) {
    let cluster = Cluster::start().await;
    let gateway = cluster.gateway(|_| {}).await;
    (cluster, gateway)
}

/// Begins an upload; its path.
async fn create(gateway: &Running, size: u64, metadata: &str) -> String {
    let (length, metadata) = (format!("Upload-Length: {size}"), format!("Upload-Metadata: {metadata}"));
    let answer = send(gateway.address, "POST", "/tus/", &[TUS, &length, &metadata], b"").await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.header("location").unwrap().to_owned()
}

async fn patch(gateway: &Running, path: &str, offset: u64, fields: &[&str], body: &[u8]) -> Answer {
    let offset = format!("Upload-Offset: {offset}");
    send(gateway.address, "PATCH", path, &[&[TUS, PART, &offset], fields].concat(), body).await
}

fn id(path: &str) -> &str {
    path.strip_prefix("/tus/").unwrap()
}

#[tokio::test]
async fn an_upload_in_parts_becomes_a_file() {
    let (cluster, gateway) = with_gateway().await;
    let sent = bytes_of(0..1_000_000);
    // 视.mp4, video/mp4
    let path = create(&gateway, 1_000_000, "filename 6KeGLm1wNA==,filetype dmlkZW8vbXA0").await;
    let headed = head(gateway.address, &path, &[TUS]).await;
    let wanted = [
        "cache-control: no-store",
        "connection: close",
        "server: tnv",
        "tus-resumable: 1.0.0",
        EXPIRES,
        "upload-length: 1000000",
        "upload-metadata: filename 6KeGLm1wNA==,filetype dmlkZW8vbXA0",
        "upload-offset: 0",
    ];
    let found: Vec<&str> = lines(&headed).into_iter().filter(|line| *line != "content-length: 0").collect();
    assert_eq!((headed.status, found), (200, wanted.to_vec()));

    let answer = patch(&gateway, &path, 0, &[], &sent[..400_000]).await;
    assert_eq!(answer.status, 204);
    assert_eq!(lines(&answer), ["server: tnv", "tus-resumable: 1.0.0", EXPIRES, "upload-offset: 400000"]);
    // Any gateway goes on.
    let other = cluster.gateway(|_| {}).await;
    assert_eq!(head(other.address, &path, &[TUS]).await.header("upload-offset"), Some("400000"));
    let answer = patch(&other, &path, 400_000, &[], &sent[400_000..]).await;
    assert_eq!(lines(&answer), ["server: tnv", "tus-resumable: 1.0.0", "upload-offset: 1000000"]);

    let (file, contents) = cluster.uploaded(id(&path)).unwrap();
    assert_eq!((file.name.as_str(), file.content_type.as_str()), ("视.mp4", "video/mp4"));
    assert!(contents == sent);
    let headed = head(gateway.address, &path, &[TUS]).await;
    assert_eq!(
        (headed.header("upload-offset"), headed.header("upload-length")),
        (Some("1000000"), Some("1000000"))
    );
    assert_eq!(headed.header("upload-metadata"), Some("filename 6KeGLm1wNA==,filetype dmlkZW8vbXA0"));
    assert_eq!(headed.header("upload-expires"), None);
    assert_eq!(get(gateway.address, &format!("/files/{}", id(&path)), &[]).await.status, 200);
    assert_eq!(patch(&gateway, &path, 1_000_000, &[], b"").await.status, 204, "nothing more is fine");
    assert_eq!(patch(&gateway, &path, 1_000_000, &[], b"x").await.status, 409);
}

#[tokio::test]
async fn how_many_storages_are_to_have_a_file_is_told_with_its_last_part() {
    let (_cluster, gateway) = with_gateway().await;
    let fields = [TUS, "Upload-Length: 8", "Tnv-Ack-Copies: 3"];
    let created = send(gateway.address, "POST", "/tus/", &fields, b"").await;
    let path = created.header("location").unwrap();
    for (offset, copies) in [(0, None), (4, Some("3"))] {
        let answer = patch(&gateway, path, offset, &[], b"part").await;
        assert_eq!((answer.status, answer.header("tnv-copies")), (204, copies));
    }
    let whole = [&fields[..], &[PART]].concat();
    let answer = send(gateway.address, "POST", "/tus/", &whole, b"the file").await;
    assert_eq!((answer.status, answer.header("tnv-copies")), (201, Some("3")));
    let fields = [TUS, "Upload-Length: 8", "Tnv-Ack-Copies: 99"];
    assert_eq!(send(gateway.address, "POST", "/tus/", &fields, b"").await.status, 400);
}

#[tokio::test]
async fn an_upload_without_labels_that_are_known_tells_none() {
    let (cluster, gateway) = with_gateway().await;
    let bare = create(&gateway, 5, "").await;
    assert_eq!(head(gateway.address, &bare, &[TUS]).await.header("upload-metadata"), None);
    let path = create(&gateway, 5, "filename YQ==").await;
    assert_eq!(head(gateway.address, &path, &[TUS]).await.header("upload-metadata"), Some("filename YQ=="));
    cluster.fault(|faults| faults.unlabelled = true);
    let headed = head(gateway.address, &path, &[TUS]).await;
    assert_eq!((headed.status, headed.header("upload-metadata")), (200, None), "an older storage");
}

#[tokio::test]
async fn creation_is_answered_with_exactly_these_headers() {
    let (cluster, gateway) = with_gateway().await;
    let answer = send(gateway.address, "POST", "/tus", &[TUS, "Upload-Length: 10"], b"").await;
    let path = answer.header("location").unwrap();
    let location = format!("location: {path}");
    let wanted =
        ["content-length: 0", &location, "server: tnv", "tus-resumable: 1.0.0", EXPIRES, "upload-offset: 0"];
    assert_eq!((answer.status, lines(&answer)), (201, wanted.to_vec()));
    let answer = send(gateway.address, "POST", "/tus/shop/u%202/", &[TUS, "Upload-Length: 10"], b"").await;
    let path = answer.header("location").unwrap();
    assert!(path.starts_with("/tus/shop/u%202/"), "{path}");
    assert_eq!(head(gateway.address, path, &[TUS]).await.header("upload-offset"), Some("0"));
    assert_eq!(cluster.kept(), (0, 2));
}

#[tokio::test]
async fn the_first_part_may_come_with_the_creation() {
    let (cluster, gateway) = with_gateway().await;
    for (sent, complete) in [(&b"hello"[..], true), (b"hel", false)] {
        let answer = send(gateway.address, "POST", "/tus/", &[TUS, PART, "Upload-Length: 5"], sent).await;
        assert_eq!(answer.status, 201);
        assert_eq!(answer.header("upload-offset"), Some(sent.len().to_string().as_str()));
        let file = cluster.uploaded(id(answer.header("location").unwrap()));
        assert_eq!(file.is_some(), complete);
    }
    // A file of no bytes is complete at once.
    let path = create(&gateway, 0, "").await;
    assert_eq!(cluster.uploaded(id(&path)).unwrap().1, b"");
    let untyped = send(gateway.address, "POST", "/tus/", &[TUS, "Upload-Length: 5"], b"hello").await;
    assert_eq!(untyped.status, 415);
    let long = send(gateway.address, "POST", "/tus/", &[TUS, PART, "Upload-Length: 4"], b"hello").await;
    assert_eq!(long.status, 413);
    assert_eq!(cluster.kept(), (2, 1));
}

#[tokio::test]
async fn what_arrived_of_a_part_that_breaks_off_is_kept() {
    let (cluster, gateway) = with_gateway().await;
    let sent = bytes_of(0..1_000_000);
    let path = create(&gateway, 1_000_000, "").await;
    let mut connection = Connection::open(gateway.address).await;
    let fields = [TUS, PART, "Upload-Offset: 0", "Content-Length: 1000000"];
    connection.request("PATCH", &path, &fields).await;
    connection.send_bytes(&sent[..300_000]).await;
    cluster.arrived(300_000).await;
    drop(connection);
    assert_eq!(head(gateway.address, &path, &[TUS]).await.header("upload-offset"), Some("300000"));
    assert_eq!(patch(&gateway, &path, 300_000, &[], &sent[300_000..]).await.status, 204);
    assert!(cluster.uploaded(id(&path)).unwrap().1 == sent);
}

#[tokio::test]
async fn a_part_that_stands_still_is_told_where_to_ask() {
    let cluster = Cluster::start().await;
    let patience = Duration::from_millis(100);
    let gateway = cluster.gateway(|config| config.progress_timeout = patience).await;
    let path = create(&gateway, 10, "").await;
    let mut connection = Connection::open(gateway.address).await;
    connection.request("PATCH", &path, &[TUS, PART, "Upload-Offset: 0", "Content-Length: 10"]).await;
    connection.send("hello").await;
    let answer = connection.answer().await;
    assert_eq!(answer.status, 408);
    assert_eq!(answer.text(), "the body came too slowly; ask with HEAD where to go on\n");
    assert_eq!(head(gateway.address, &path, &[TUS]).await.header("upload-offset"), Some("5"));
}

#[tokio::test]
async fn an_upload_whose_address_nobody_heard_is_forgotten() {
    let (cluster, gateway) = with_gateway().await;
    // More often than one request asks.
    cluster.fault(|faults| faults.locked_aborts = 6);
    let mut connection = Connection::open(gateway.address).await;
    connection.request("POST", "/tus/", &[TUS, PART, "Upload-Length: 10", "Content-Length: 10"]).await;
    connection.send("hello").await;
    cluster.arrived(5).await;
    drop(connection);
    cluster.keeps(0, 0).await;
}

#[tokio::test]
async fn an_upload_whose_end_was_not_seen_is_finished_when_asked_for() {
    let (cluster, gateway) = with_gateway().await;
    let path = create(&gateway, 5, "").await;
    cluster.fault(|faults| faults.finishes = Some(ErrorCode::UNAVAILABLE));
    assert_eq!(patch(&gateway, &path, 0, &[], b"hello").await.status, 503);
    assert_eq!(head(gateway.address, &path, &[TUS]).await.status, 503);
    cluster.fault(|faults| faults.finishes = None);
    assert_eq!(head(gateway.address, &path, &[TUS]).await.header("upload-offset"), Some("5"));
    assert_eq!(cluster.uploaded(id(&path)).unwrap().1, b"hello");
}

#[tokio::test]
async fn checksums_are_compared_before_a_part_counts() {
    let (cluster, gateway) = with_gateway().await;
    let path = create(&gateway, 15, "").await;
    let right = [
        "Upload-Checksum: sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=",
        "Upload-Checksum: sha256 LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
        "Upload-Checksum: md5 XUFAKrxLKna5cZ2REBfFkg==",
    ];
    for (n, checksum) in right.into_iter().enumerate() {
        let offset = 5 * n as u64;
        assert_eq!(patch(&gateway, &path, offset, &[checksum], b"hallo").await.status, 460, "{checksum}");
        assert_eq!(patch(&gateway, &path, offset, &[checksum], b"hello").await.status, 204, "{checksum}");
    }
    assert_eq!(cluster.uploaded(id(&path)).unwrap().1, b"hellohellohello");
    let path = create(&gateway, 10 << 20, "").await;
    for (checksum, status) in [("crc32 AAAA", 400), ("sha1 AAAA", 400), ("sha1", 400)] {
        let header = format!("Upload-Checksum: {checksum}");
        assert_eq!(patch(&gateway, &path, 0, &[&header], b"hello").await.status, status, "{checksum}");
    }
    let long = vec![0; (8 << 20) + 1];
    assert_eq!(patch(&gateway, &path, 0, &right[..1], &long).await.status, 413);
    assert_eq!(head(gateway.address, &path, &[TUS]).await.header("upload-offset"), Some("0"));
}

#[tokio::test]
async fn what_waits_for_its_checksum_has_an_end() {
    const LEN: u64 = 8 << 20;
    let cluster = Cluster::start().await;
    let patience = Duration::from_secs(1);
    let gateway = cluster.gateway(|config| config.progress_timeout = patience).await;
    let path = create(&gateway, LEN, "").await;
    let length = format!("Content-Length: {LEN}");
    let checksum = "Upload-Checksum: sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=";
    let fields = [TUS, PART, "Upload-Offset: 0", &length, checksum, "Expect: 100-continue"];
    let ask = async || {
        let mut connection = Connection::open(gateway.address).await;
        connection.request("PATCH", &path, &fields).await;
        connection
    };
    let mut holding = Vec::new();
    for _ in 0..4 {
        let mut connection = ask().await;
        assert_eq!(connection.head().await.status, 100);
        holding.push(connection);
    }
    let mut one_more = ask().await;
    let trickle = async {
        loop {
            for connection in &mut holding {
                connection.send("x").await;
            }
            tokio::time::sleep(patience / 10).await;
        }
    };
    tokio::select! {
        () = trickle => unreachable!("it does not end"),
        answer = one_more.answer() => assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2"))),
    }
    drop(holding.pop());
    assert_eq!(ask().await.head().await.status, 100);
}

#[tokio::test]
async fn what_waits_for_its_checksum_must_come_at_some_rate() {
    let cluster = Cluster::start().await;
    let patience = Duration::from_millis(500);
    let gateway = cluster.gateway(|config| config.progress_timeout = patience).await;
    let path = create(&gateway, 10_000, "").await;
    let checksum = "Upload-Checksum: sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=";
    let fields = [TUS, PART, "Upload-Offset: 0", "Content-Length: 10000", checksum];
    let mut connection = Connection::open(gateway.address).await;
    connection.request("PATCH", &path, &fields).await;
    let (mut answers, mut body) = connection.split();
    let trickle = async {
        loop {
            body.write_all(b"x").await.unwrap();
            tokio::time::sleep(patience / 10).await;
        }
    };
    let mut status = [0; 12];
    tokio::select! {
        () = trickle => unreachable!("it does not end"),
        read = in_time(answers.read_exact(&mut status)) => read.unwrap(),
    };
    assert_eq!(&status, b"HTTP/1.1 408");
}

#[tokio::test]
async fn parts_that_do_not_fit_are_refused() {
    let (cluster, gateway) = with_gateway().await;
    let path = create(&gateway, 10, "").await;
    // That the offset is wrong comes before everything else that is.
    assert_eq!(patch(&gateway, &path, 1, &[], b"x").await.status, 409);
    assert_eq!(patch(&gateway, &path, 1, &[], b"hello world").await.status, 409);
    let mut chunked = Connection::open(gateway.address).await;
    chunked.request("PATCH", &path, &[TUS, PART, "Upload-Offset: 1", "Transfer-Encoding: chunked"]).await;
    assert_eq!(chunked.answer().await.status, 409);
    assert_eq!(patch(&gateway, &path, 0, &[], b"hello world").await.status, 413);
    let send_part = async |fields: &[&str]| send(gateway.address, "PATCH", &path, fields, b"x").await.status;
    assert_eq!(send_part(&[TUS, PART]).await, 400);
    assert_eq!(send_part(&[TUS, PART, "Upload-Offset: -1"]).await, 400);
    assert_eq!(send_part(&[TUS, PART, "Upload-Offset: 99999999999999999999"]).await, 400);
    assert_eq!(send_part(&[TUS, "Content-Type: text/plain", "Upload-Offset: 0"]).await, 415);
    assert_eq!(send_part(&[TUS, "Upload-Offset: 0"]).await, 415);
    let mut connection = Connection::open(gateway.address).await;
    connection.request("PATCH", &path, &[TUS, PART, "Upload-Offset: 0", "Transfer-Encoding: chunked"]).await;
    assert_eq!(connection.answer().await.status, 411);
    cluster.fault(|faults| faults.writes = Some(ErrorCode::LOCKED));
    assert_eq!(patch(&gateway, &path, 0, &[], b"x").await.status, 423);
    cluster.fault(|faults| faults.writes = Some(ErrorCode::NO_SPACE));
    assert_eq!(patch(&gateway, &path, 0, &[], b"x").await.status, 507);
    cluster.fault(|faults| faults.writes = None);
    assert_eq!(patch(&gateway, "/tus/nothing", 0, &[], b"x").await.status, 404);
    assert_eq!(head(gateway.address, "/tus/nothing", &[TUS]).await.status, 404);
    assert_eq!(cluster.kept(), (0, 1));
}

#[tokio::test]
async fn creations_that_make_no_sense_are_refused() {
    let (cluster, _) = with_gateway().await;
    let gateway = cluster.gateway(|config| config.max_upload_size = 1000).await;
    for (fields, status) in [
        (&[][..], 400),
        (&["Upload-Length: -1"], 400),
        (&["Upload-Length: x"], 400),
        (&["Upload-Length: 1001"], 413),
        (&["Upload-Defer-Length: 1"], 400),
        (&["Upload-Length: 1", "Upload-Concat: partial"], 400),
        (&["Upload-Length: 1", "Upload-Metadata: filename YQ"], 400),
        (&["Upload-Length: 1", "Upload-Metadata: filename /w=="], 400),
        // A line break.
        (&["Upload-Length: 1", "Upload-Metadata: filename YQpi"], 400),
    ] {
        let answer = send(gateway.address, "POST", "/tus/", &[&[TUS], fields].concat(), b"").await;
        assert_eq!(answer.status, status, "{fields:?}");
        assert_eq!(answer.header("tus-resumable"), Some("1.0.0"), "{fields:?}");
    }
    assert_eq!(cluster.kept(), (0, 0));
}

#[tokio::test]
async fn other_versions_are_refused() {
    let (_cluster, gateway) = with_gateway().await;
    for fields in [&["Upload-Length: 1"][..], &["Upload-Length: 1", "Tus-Resumable: 0.2.2"]] {
        let answer = send(gateway.address, "POST", "/tus/", fields, b"").await;
        assert_eq!((answer.status, answer.header("tus-version")), (412, Some("1.0.0")));
        assert_eq!(answer.header("tus-resumable"), Some("1.0.0"));
    }
}

#[tokio::test]
async fn what_is_possible_is_told() {
    let (cluster, _) = with_gateway().await;
    let gateway = cluster.gateway(|config| config.max_upload_size = 1000).await;
    let mut connection = Connection::open(gateway.address).await;
    connection.request("OPTIONS", "/tus/", &[]).await;
    let answer = connection.answer().await;
    let wanted = [
        "allow: POST, OPTIONS",
        "server: tnv",
        "tus-checksum-algorithm: sha1,sha256,md5",
        "tus-extension: creation,creation-with-upload,termination,checksum,expiration",
        "tus-max-size: 1000",
        "tus-resumable: 1.0.0",
        "tus-version: 1.0.0",
    ];
    assert_eq!((answer.status, lines(&answer)), (204, wanted.to_vec()));
}

#[tokio::test]
async fn an_upload_is_given_up() {
    let (cluster, gateway) = with_clip().await;
    let path = create(&gateway, 10, "").await;
    assert_eq!(send(gateway.address, "DELETE", &path, &[TUS], b"").await.status, 204);
    assert_eq!(cluster.kept(), (1, 0));
    for _ in 0..2 {
        assert_eq!(send(gateway.address, "DELETE", &path, &[TUS], b"").await.status, 404);
    }
    // One that is complete as well.
    assert_eq!(send(gateway.address, "DELETE", "/tus/clip", &[TUS], b"").await.status, 204);
    assert_eq!(cluster.kept(), (0, 0));
}

#[tokio::test]
async fn an_upload_is_given_up_as_soon_as_nobody_writes() {
    let (cluster, gateway) = with_gateway().await;
    let path = create(&gateway, 10, "").await;
    cluster.fault(|faults| faults.locked_aborts = 2);
    assert_eq!(send(gateway.address, "DELETE", &path, &[TUS], b"").await.status, 204);
    let path = create(&gateway, 10, "").await;
    cluster.fault(|faults| faults.locked_aborts = usize::MAX);
    assert_eq!(send(gateway.address, "DELETE", &path, &[TUS], b"").await.status, 423);
    assert_eq!(cluster.kept(), (0, 1));
}

#[tokio::test]
async fn damaged_parts_can_be_given_up() {
    let (cluster, gateway) = with_gateway().await;
    let path = create(&gateway, 10, "").await;
    cluster.fault(|faults| faults.damaged = true);
    let mut connection = Connection::open(gateway.address).await;
    connection.request("PATCH", &path, &[TUS, PART, "Upload-Offset: 0", "Content-Length: 1"]).await;
    let answer = connection.answer().await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.text(), "the upload's parts are damaged: DELETE it and begin anew\n");
    assert_eq!(head(gateway.address, &path, &[TUS]).await.status, 502);
    assert_eq!(send(gateway.address, "DELETE", &path, &[TUS], b"").await.status, 204);
    assert_eq!(cluster.kept(), (0, 0));
}

#[tokio::test]
async fn a_file_goes_with_the_parts_that_were_left_of_it() {
    let (cluster, gateway) = with_gateway().await;
    let path = create(&gateway, 10, "").await;
    cluster.add(id(&path), 10, "", "");
    assert_eq!(send(gateway.address, "DELETE", &path, &[TUS], b"").await.status, 204);
    assert_eq!(cluster.kept(), (0, 0));
}

#[tokio::test]
async fn the_method_may_be_named_in_a_header() {
    let (cluster, gateway) = with_gateway().await;
    let path = create(&gateway, 5, "").await;
    let fields = [TUS, PART, "Upload-Offset: 0", "X-HTTP-Method-Override: PATCH"];
    assert_eq!(send(gateway.address, "POST", &path, &fields, b"hello").await.status, 204);
    assert_eq!(cluster.uploaded(id(&path)).unwrap().1, b"hello");
}
