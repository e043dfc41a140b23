//! Files sent in one request, as they are or in a form, and files removed.

use tnv_proto::ErrorCode;

use crate::answers::lines;
use crate::cluster::{Cluster, Running, bytes_of, with_clip};
use crate::http::{Answer, Connection, get, send};

async fn with_gateway() -> (Cluster, Running) {
    let cluster = Cluster::start().await;
    let gateway = cluster.gateway(|_| {}).await;
    (cluster, gateway)
}

/// The id of a file that was created.
fn id(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{}", answer.text());
    let json = answer.json();
    let id = json["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), Some(format!("/files/{id}").as_str()));
    id
}

#[tokio::test]
async fn a_file_is_created_and_comes_back() {
    let (cluster, gateway) = with_gateway().await;
    let sent = bytes_of(0..3_000_000);
    let path = "/files?name=%E8%A7%86%E9%A2%91+1.mp4";
    let answer = send(gateway.address, "POST", path, &["Content-Type: video/mp4"], &sent).await;
    let id = id(&answer);
    let location = format!("location: /files/{id}");
    let wanted = ["cache-control: no-store", "content-length: ", "content-type: application/json", &location];
    let (found, rest) = lines(&answer)
        .iter()
        .map(|line| (*line).to_owned())
        .partition::<Vec<_>, _>(|line| wanted.iter().any(|wanted| line.starts_with(wanted)));
    assert_eq!(
        (found.len(), rest),
        (4, vec!["server: tnv".to_owned(), "x-content-type-options: nosniff".to_owned()])
    );
    let json = serde_json::json!({
        "id": id, "name": "视频 1.mp4", "size": 3_000_000, "content_type": "video/mp4",
        "created_ms": 784_111_777_500_i64, "url": format!("/files/{id}"),
    });
    assert_eq!(answer.json(), json);
    assert!(cluster.uploaded(&id).unwrap().1 == sent);
    let back = get(gateway.address, &format!("/files/{id}"), &[]).await;
    assert_eq!((back.status, back.body == sent), (200, true));
    let disposition = back.header("content-disposition").unwrap();
    assert!(disposition.ends_with("filename*=UTF-8''%E8%A7%86%E9%A2%91%201.mp4"), "{disposition}");
}

#[tokio::test]
async fn how_many_storages_are_to_have_a_file_is_passed_on_and_told() {
    let (_cluster, gateway) = with_gateway().await;
    let answer = send(gateway.address, "POST", "/files", &["Tnv-Ack-Copies: 2"], b"bytes").await;
    assert_eq!((answer.status, answer.header("tnv-copies")), (201, Some("2")));
    for bad in ["0", "17", "-1", "two", ""] {
        let answer = send(gateway.address, "POST", "/files", &[&format!("Tnv-Ack-Copies: {bad}")], b"").await;
        assert_eq!((answer.status, answer.header("tnv-copies")), (400, None), "{bad}");
    }
}

#[tokio::test]
async fn names_and_types_come_from_where_they_are_told() {
    let (cluster, gateway) = with_gateway().await;
    for (path, fields, name, content_type) in [
        ("/files", &[][..], "", ""),
        ("/files", &["Content-Type: application/octet-stream"], "", ""),
        ("/files", &["Content-Type: application/x-www-form-urlencoded"], "", ""),
        ("/files", &["Content-Type: nonsense"], "", ""),
        ("/files", &["Content-Disposition: attachment; filename*=UTF-8''%E8%A7%86.mp4"], "视.mp4", ""),
        ("/files?name=a.mp4", &["Content-Disposition: attachment; filename=b.mp4"], "a.mp4", ""),
        ("/files?name=..%2F..%2Fx", &["Content-Type: text/html"], "../../x", "text/html"),
        ("/files?name=%E2%80%AEx", &[], "\u{202e}x", ""),
    ] {
        let answer = send(gateway.address, "POST", path, fields, b"hello").await;
        let (file, bytes) = cluster.uploaded(&id(&answer)).unwrap();
        assert_eq!(
            (file.name.as_str(), file.content_type.as_str()),
            (name, content_type),
            "{path} {fields:?}"
        );
        assert_eq!(bytes, b"hello");
    }
    let empty = send(gateway.address, "POST", "/files?name=empty", &[], b"").await;
    assert_eq!(cluster.uploaded(&id(&empty)).unwrap().1, b"");
}

#[tokio::test]
async fn other_apps_and_users_have_their_own_files() {
    let (_cluster, gateway) = with_gateway().await;
    let answer = send(gateway.address, "POST", "/files/shop/user%202", &[], b"hello").await;
    assert_eq!(answer.status, 201);
    let url = answer.header("location").unwrap();
    assert!(url.starts_with("/files/shop/user%202/"), "{url}");
    assert_eq!(get(gateway.address, url, &[]).await.status, 200);
}

#[tokio::test]
async fn bad_uploads_are_told_what_is_wrong() {
    let (cluster, _) = with_gateway().await;
    let gateway = cluster.gateway(|config| config.max_upload_size = 10).await;
    let long = format!("/files?name={}", "x".repeat(1025));
    for (path, body, status) in [
        ("/files?name=a%0Ab", &b"x"[..], 400),
        ("/files?name=%ff", b"x", 400),
        (&long, b"x", 400),
        ("/files", b"hello world", 413),
    ] {
        let answer = send(gateway.address, "POST", path, &[], body).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.text().len() > 10, "{path}: {}", answer.text());
    }
    for fields in [&[][..], &["Transfer-Encoding: chunked"]] {
        let mut connection = Connection::open(gateway.address).await;
        connection.request("POST", "/files", fields).await;
        assert_eq!(connection.answer().await.status, 411, "{fields:?}");
    }
    assert_eq!(cluster.kept(), (0, 0));
}

#[tokio::test]
async fn refusals_of_the_storage_get_the_status_that_fits() {
    for (code, status) in [
        (ErrorCode::CONFLICT, 409),
        (ErrorCode::TOO_LARGE, 413),
        (ErrorCode::NO_SPACE, 507),
        (ErrorCode::UNAVAILABLE, 503),
        (ErrorCode::INTERNAL, 502),
    ] {
        let (cluster, gateway) = with_gateway().await;
        cluster.fault(|faults| faults.writes = Some(code));
        let answer = send(gateway.address, "POST", "/files", &[], &bytes_of(0..1_000_000)).await;
        assert_eq!(answer.status, status, "{code}");
        assert!(!answer.text().contains("as scripted"), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_body_that_is_cut_off_leaves_nothing() {
    for fields in [&["Content-Length: 1000000"][..], &["Content-Length: 1000000", "Expect: 100-continue"]] {
        let (cluster, gateway) = with_gateway().await;
        let mut connection = Connection::open(gateway.address).await;
        connection.request("POST", "/files", fields).await;
        connection.send_bytes(&bytes_of(0..500_000)).await;
        connection.close().await;
        let (_, _) = connection.rest().await;
        // What the storage had begun to take is forgotten before the answer.
        assert_eq!(cluster.kept(), (0, 0), "{fields:?}");
        assert_eq!(get(gateway.address, "/api/config", &[]).await.status, 200);
    }
}

#[tokio::test]
async fn what_the_storage_still_takes_of_a_body_that_is_cut_off_is_forgotten_later() {
    let (cluster, gateway) = with_gateway().await;
    // More often than one request asks.
    cluster.fault(|faults| faults.locked_aborts = 6);
    let mut connection = Connection::open(gateway.address).await;
    connection.request("POST", "/files", &["Content-Length: 1000000", "Expect: 100-continue"]).await;
    assert_eq!(connection.head().await.status, 100);
    connection.send_bytes(&bytes_of(0..500_000)).await;
    cluster.arrived(500_000).await;
    drop(connection);
    cluster.keeps(0, 0).await;
}

#[tokio::test]
async fn a_body_that_stands_still_is_given_up() {
    let (cluster, _) = with_gateway().await;
    let patience = std::time::Duration::from_millis(100);
    let gateway = cluster.gateway(|config| config.progress_timeout = patience).await;
    let mut connection = Connection::open(gateway.address).await;
    connection.request("POST", "/files", &["Content-Length: 1000000"]).await;
    connection.send_bytes(&bytes_of(0..1000)).await;
    let answer = connection.answer().await;
    assert_eq!((answer.status, answer.text()), (408, "the body came too slowly; nothing was stored\n"));
    assert_eq!(cluster.kept(), (0, 0));
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on_only_if_a_storage_agrees() {
    let (cluster, gateway) = with_gateway().await;
    let fields = ["Content-Length: 5", "Expect: 100-continue", "Tnv-Ack-Copies: 4"];
    let mut connection = Connection::open(gateway.address).await;
    connection.request("POST", "/files", &fields).await;
    assert_eq!(connection.head().await.status, 100);
    connection.send("hello").await;
    let answer = connection.answer().await;
    assert_eq!(cluster.uploaded(&id(&answer)).unwrap().1, b"hello");
    assert_eq!((cluster.kept(), answer.header("tnv-copies")), ((1, 0), Some("4")));

    for (code, status) in [(ErrorCode::NO_SPACE, 507), (ErrorCode::TOO_LARGE, 413)] {
        cluster.fault(|faults| faults.writes = Some(code));
        let mut connection = Connection::open(gateway.address).await;
        connection.request("POST", "/files", &fields).await;
        assert_eq!(connection.answer().await.status, status);
    }
    let gateway = cluster.gateway(|config| config.max_upload_size = 4).await;
    let mut connection = Connection::open(gateway.address).await;
    connection.request("POST", "/files", &fields).await;
    assert_eq!(connection.answer().await.status, 413);
}

#[tokio::test]
async fn an_upload_that_cannot_be_finished_is_forgotten() {
    let (cluster, gateway) = with_gateway().await;
    cluster.fault(|faults| faults.finishes = Some(ErrorCode::NO_SPACE));
    let answer = send(gateway.address, "POST", "/files", &["Expect: 100-continue"], b"hello").await;
    // The 100 comes first, as a header without a body.
    assert_eq!(answer.status, 100);
    let mut connection = Connection::open(gateway.address).await;
    connection.request("POST", "/files", &["Expect: 100-continue", "Content-Length: 5"]).await;
    assert_eq!(connection.head().await.status, 100);
    connection.send("hello").await;
    assert_eq!(connection.answer().await.status, 507);
    assert_eq!(cluster.kept().0, 0);
}

const FORM: &str = "Content-Type: multipart/form-data; boundary=XyZ";

fn form(name: &str, content_type: &str, contents: &[u8], end: &str) -> Vec<u8> {
    let head = format!(
        "--XyZ\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nholiday\r\n\
         --XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n{content_type}\r\n"
    );
    [head.as_bytes(), contents, end.as_bytes()].concat()
}

#[tokio::test]
async fn a_form_with_a_file_is_stored() {
    let (cluster, gateway) = with_gateway().await;
    // Bytes that look like a boundary for a while, over the edges of what is read at once.
    let tricky = [bytes_of(0..300_000), b"\r\n--Xy\r\n--X".repeat(40_000)].concat();
    for contents in [&b""[..], b"x", b"\r\n", b"--XyZ--\r\n", &tricky] {
        let body = form("视频 %221%22.mp4", "Content-Type: video/mp4\r\n", contents, "\r\n--XyZ--\r\n");
        let answer = send(gateway.address, "POST", "/files", &[FORM], &body).await;
        let (file, bytes) = cluster.uploaded(&id(&answer)).unwrap();
        assert_eq!((file.name.as_str(), file.content_type.as_str()), ("视频 \"1\".mp4", "video/mp4"));
        assert!(bytes == contents, "{} bytes of {}", bytes.len(), contents.len());
    }
}

#[tokio::test]
async fn a_form_that_comes_byte_by_byte_is_stored() {
    let (cluster, gateway) = with_gateway().await;
    let body = form("a", "", b"12\r\n--Xy34", "\r\n--XyZ--\r\n");
    let mut connection = Connection::open(gateway.address).await;
    connection.request("POST", "/files", &[FORM, &format!("Content-Length: {}", body.len())]).await;
    for byte in body {
        connection.send_bytes(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(cluster.uploaded(&id(&connection.answer().await)).unwrap().1, b"12\r\n--Xy34");
}

#[tokio::test]
async fn a_short_form_may_end_without_a_line_break() {
    let (cluster, gateway) = with_gateway().await;
    for contents in [&b""[..], b"x", b"\r\n", b"\r\n--Xy", &bytes_of(0..60_000)] {
        for end in ["\r\n--XyZ--", "\r\n--XyZ--\r\n"] {
            let body = form("a", "", contents, end);
            let answer = send(gateway.address, "POST", "/files", &[FORM], &body).await;
            assert!(cluster.uploaded(&id(&answer)).unwrap().1 == contents, "{} bytes", contents.len());
        }
    }
    let long = form("a", "", &bytes_of(0..200_000), "\r\n--XyZ--");
    let answer = send(gateway.address, "POST", "/files", &[FORM], &long).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("a line break"), "{}", answer.text());
}

#[tokio::test]
async fn forms_of_another_shape_leave_nothing() {
    let (cluster, gateway) = with_gateway().await;
    let another = "\r\n--XyZ\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\nc\r\n--XyZ--\r\n";
    let ends = ["\r\n--XyZ-", "", "\r\n--XyY--\r\n", "\r\n--XyZ--\r\n ", "\r\n--XyZ--\r", another];
    for end in ends {
        for contents in [&b"hello"[..], &bytes_of(0..200_000), b""] {
            let body = form("a", "", contents, end);
            let answer = send(gateway.address, "POST", "/files", &[FORM], &body).await;
            assert_eq!(answer.status, 400, "{end:?} after {} bytes", contents.len());
        }
    }
    for body in
        [&b"--XyZ--\r\n"[..], b"", b"nonsense", &form("", "", b"", "\r\n--XyZ--\r\n"), &[b'x'; 100_000]]
    {
        assert_eq!(send(gateway.address, "POST", "/files", &[FORM], body).await.status, 400);
    }
    let no_boundary = "Content-Type: multipart/form-data";
    assert_eq!(send(gateway.address, "POST", "/files", &[no_boundary], b"x").await.status, 400);
    assert_eq!(cluster.kept(), (0, 0));
}

#[tokio::test]
async fn a_form_with_a_file_that_is_too_large() {
    let (cluster, _) = with_gateway().await;
    let gateway = cluster.gateway(|config| config.max_upload_size = 1000).await;
    let body = form("a", "", &bytes_of(0..1001), "\r\n--XyZ--\r\n");
    assert_eq!(send(gateway.address, "POST", "/files", &[FORM], &body).await.status, 413);
    let body = form("a", "", &bytes_of(0..1000), "\r\n--XyZ--\r\n");
    assert_eq!(send(gateway.address, "POST", "/files", &[FORM], &body).await.status, 201);
}

#[tokio::test]
async fn a_file_is_deleted_once() {
    let (cluster, gateway) = with_clip().await;
    let answer = send(gateway.address, "DELETE", "/files/clip", &[], b"").await;
    assert_eq!((answer.status, lines(&answer)), (204, vec!["server: tnv"]));
    assert_eq!(cluster.kept(), (0, 0));
    assert_eq!(send(gateway.address, "DELETE", "/files/clip", &[], b"").await.status, 404);
}

#[tokio::test]
async fn writing_can_be_switched_off() {
    let (cluster, _) = with_clip().await;
    let gateway = cluster.gateway(|config| config.writing = false).await;
    for (method, path) in [
        ("POST", "/files"),
        ("DELETE", "/files/clip"),
        ("POST", "/tus/"),
        ("PATCH", "/tus/x"),
        ("DELETE", "/tus/x"),
    ] {
        let answer = send(gateway.address, method, path, &["Tus-Resumable: 1.0.0"], b"").await;
        assert_eq!(answer.status, 403, "{method} {path}");
        assert!(answer.text().contains("writing is switched off"));
    }
    assert_eq!(get(gateway.address, "/files/clip", &[]).await.status, 200);
    assert_eq!(get(gateway.address, "/api/config", &[]).await.json()["writing"], false);
    assert_eq!(cluster.kept(), (1, 0));
}

#[tokio::test]
async fn pages_of_other_origins_change_nothing() {
    let (cluster, gateway) = with_clip().await;
    for (method, path) in
        [("POST", "/files"), ("DELETE", "/files/clip"), ("POST", "/tus/"), ("PUT", "/api/session")]
    {
        for origin in ["Origin: https://b.example", "Origin: null"] {
            let answer = send(gateway.address, method, path, &[origin], b"").await;
            assert_eq!(answer.status, 403, "{method} {path} {origin}");
        }
    }
    for site in ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"] {
        assert_eq!(send(gateway.address, "DELETE", "/files/clip", &[site], b"").await.status, 403, "{site}");
    }
    assert_eq!(cluster.kept(), (1, 0));
    assert_eq!(send(gateway.address, "POST", "/files", &["Origin: http://test"], b"x").await.status, 201);
    let gateway = cluster.gateway(|config| config.cors_origins = vec!["https://b.example".to_owned()]).await;
    let listed = ["Origin: https://b.example"];
    assert_eq!(send(gateway.address, "DELETE", "/files/clip", &listed, b"").await.status, 204);
}
