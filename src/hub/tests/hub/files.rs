//! Files of meetings.

use serde_json::json;

use crate::cluster::{Cluster, sample};
use crate::http::Call;

#[tokio::test]
async fn files_come_in_forms_and_alone() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|_| {}).await;
    hub.meeting("m", &[]).await;
    let large = sample(3_000_000, 1);
    let form = Call::new("POST", "/api/v1/meetings/m/files").form(&[
        ("a.txt", b"hello"),
        ("空.bin", b""),
        ("目录/大.mp4", &large),
        ("almost.txt", b"x\r\n--XY\r\n"),
    ]);
    let answer = form.send(hub.address).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let files = answer.json()["files"].as_array().unwrap().clone();
    let paths: Vec<_> = files.iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["a.txt", "空.bin", "目录/大.mp4", "almost.txt"]);
    assert_eq!(files[0]["checksum"], blake3::hash(b"hello").to_string());
    assert_eq!((&files[0]["crc32"], &files[0]["content_type"]), (&json!("3610a686"), &json!("text/plain")));
    assert_eq!(files[2]["content_type"], "video/mp4");
    for (file, bytes) in files.iter().zip([&b"hello"[..], b"", &large, b"x\r\n--XY\r\n"]) {
        let url = file["url"].as_str().unwrap();
        let path = url.strip_prefix(&format!("http://{}", hub.address)).unwrap();
        let got = hub.get(path).await;
        assert_eq!((got.status, got.body == bytes), (200, true), "{url}");
        assert_eq!(got.header("etag"), format!("\"{}\"", file["checksum"].as_str().unwrap()));
        let by_id = hub.get(&format!("/api/v1/meetings/m/files/{}", file["id"].as_str().unwrap())).await;
        assert!(by_id.body == bytes);
    }
    let by_path = hub.get("/api/v1/meetings/m/files/%E7%9B%AE%E5%BD%95/%E5%A4%A7.mp4").await;
    assert!(by_path.body == large);
    let range =
        Call::get("/api/v1/meetings/m/files/a.txt").header("range", "bytes=1-2").send(hub.address).await;
    assert_eq!((range.status, &range.body[..]), (206, &b"el"[..]));
    let disposition = range.header("content-disposition").to_owned();
    assert_eq!(disposition, "attachment; filename=\"a.txt\"; filename*=UTF-8''a.txt");

    // The same path once more is another version, under another address; the old one stays for a while.
    let old = files[0]["url"].as_str().unwrap().replace(&format!("http://{}", hub.address), "");
    let new = hub.put("m", "a.txt", b"HELLO").await;
    assert_ne!(new["id"], files[0]["id"]);
    assert_eq!(&hub.get("/api/v1/meetings/m/files/a.txt").await.body[..], b"HELLO");
    assert_eq!(&hub.get(&old).await.body[..], b"hello");

    let path = format!("/api/v1/meetings/m/files/{}", new["id"].as_str().unwrap());
    assert_eq!(Call::new("DELETE", &path).send(hub.address).await.status, 204);
    assert_eq!(Call::new("DELETE", &path).send(hub.address).await.status, 404);
    assert_eq!(hub.get("/api/v1/meetings/m/files/a.txt").await.status, 404);
}

#[tokio::test]
async fn hostile_names_do_not_get_far() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|_| {}).await;
    hub.meeting("m", &[("A.txt", b"1"), ("folder/x", b"2")]).await;
    // Browsers' names are made good, as near as can be.
    for (name, path) in [
        ("../../etc/passwd", "passwd"),
        ("C:\\\\Windows\\\\system.ini", "system.ini"),
        ("/etc/shadow", "shadow"),
        ("e\u{301}.txt", "é.txt"),
        ("a\tb", "a_b"),
        ("NUL", "_NUL"),
    ] {
        let answer =
            Call::new("POST", "/api/v1/meetings/m/files").form(&[(name, b"x")]).send(hub.address).await;
        assert_eq!(answer.status, 201, "{name:?} {answer:?}");
        assert_eq!(answer.json()["files"][0]["path"], path);
    }
    // An address says what it means.
    for path in ["..%2f..%2fetc%2fpasswd", "a%00b", "%2Fetc", "a%5Cb", "con.txt", "x/../y", "a//b"] {
        let answer =
            Call::new("PUT", &format!("/api/v1/meetings/m/files/{path}")).body("x").send(hub.address).await;
        assert_eq!(answer.status, 400, "{path} {answer:?}");
    }
    // Names that are one where case does not count, or where one is a folder of the other.
    for path in ["a.TXT", "FOLDER", "folder%2Fx%2Fy", "A.txt%2Fx"] {
        let answer =
            Call::new("PUT", &format!("/api/v1/meetings/m/files/{path}")).body("x").send(hub.address).await;
        assert_eq!(answer.status, 409, "{path} {answer:?}");
    }
    // The same name in another normal form is the same name.
    hub.put("m", "é.txt", b"other").await;
    let files = hub.get("/api/v1/meetings/m").await.json()["files"].as_array().unwrap().clone();
    assert_eq!(files.iter().filter(|file| file["path"] == "é.txt").count(), 1);
    for path in ["/uploads/m/x/A.txt", "/uploads/other/x/A.txt", "/uploads/../x/y"] {
        assert!([400, 404].contains(&hub.get(path).await.status), "{path}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_upload_are_refused_and_leave_nothing() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|config| (config.max_upload_size, config.max_files) = (1000, 2)).await;
    hub.meeting("m", &[]).await;
    let files = "/api/v1/meetings/m/files";
    let form = |body: &str| {
        Call::new("POST", files)
            .header("content-type", "multipart/form-data; boundary=XYZ")
            .body(body.to_owned())
    };
    let head = "--XYZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
    for (call, status) in [
        (Call::new("POST", files).body("x"), 415),
        (form(""), 400),
        (form("--XYZ--\r\n"), 400),
        (form(&format!("{head}abc")), 400),
        (form(&format!("{head}abc\r\n--XYZ")), 400),
        (form(&format!("{head}{}\r\n--XYZ--\r\n", "x".repeat(1001))), 413),
        (form("--XYZ\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\nx\r\n--XYZ--\r\n"), 400),
        (
            form(
                "--XYZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\"\r\n\r\n\r\n--XYZ--\r\n",
            ),
            400,
        ),
        (Call::new("PUT", &format!("{files}/a")).body("x".repeat(1001)), 413),
        (Call::new("PUT", "/api/v1/meetings/no/files/a").body("x"), 404),
        (Call::new("POST", "/api/v1/meetings/no/files").form(&[("a", b"x")]), 404),
    ] {
        let answer = call.send(hub.address).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(!answer.detail().is_empty());
    }
    let two = Call::new("POST", files).form(&[("a", b"1"), ("b", b"2"), ("c", b"3")]).send(hub.address).await;
    assert_eq!(two.status, 409);
    assert!(two.detail().contains("stored before: a, b"), "{two:?}");
    let listed = hub.get("/api/v1/meetings/m").await.json()["files"].as_array().unwrap().len();
    assert_eq!(listed, 2);
    // However large a file is that has another name.
    for len in [10, 300_000] {
        let other = "--XYZ\r\nContent-Disposition: form-data; name=\"upload\"; filename=\"a\"\r\n\r\n";
        let answer = form(&format!("{other}{}\r\n--XYZ--\r\n", "x".repeat(len))).send(hub.address).await;
        assert_eq!(answer.status, 400, "{len}: {answer:?}");
        assert_eq!(answer.detail(), "the form has no file; its field must be called \"file\"", "{len}");
    }
    // A field behind the last file is passed over.
    let field = "--XYZ\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nx\r\n";
    let answer = form(&format!("{field}{head}new\r\n{field}--XYZ--\r\n")).send(hub.address).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[tokio::test]
async fn bytes_of_files_that_are_gone_are_removed_after_the_grace() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|config| config.grace = std::time::Duration::ZERO).await;
    hub.meeting("m", &[("a", b"1"), ("b", b"2")]).await;
    hub.put("m", "a", b"3").await;
    assert_eq!(Call::new("DELETE", "/api/v1/meetings/m/files/b").send(hub.address).await.status, 204);
    hub.stop().await;
    let list = tnv_proto::List {
        app: tnv_proto::AppId::new("tnvideo").unwrap(),
        user: tnv_proto::UserId::new("meeting-m").unwrap(),
        order: tnv_proto::ListOrder::Newest,
        limit: 100,
        prefix: String::new(),
        cursor: String::new(),
    };
    let client = cluster.client();
    // A start sweeps.
    let hub = cluster.hub(|config| config.grace = std::time::Duration::ZERO).await;
    crate::http::in_time(async {
        while client.list(&list).await.unwrap().files.len() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(&hub.get("/api/v1/meetings/m/files/a").await.body[..], b"3");
}
