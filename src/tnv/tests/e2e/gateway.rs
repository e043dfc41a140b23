//! The gateway, request by request, over raw HTTP: what players and browsers rely on.

mod ranges;
mod trouble;

use crate::harness::frames::{Wire, key};
use crate::harness::lab::{APP, Lab, Role, USER, Up};
use crate::harness::pattern::Pattern;
use crate::harness::web::{Response, Web, get, request};

const SIZE: u64 = 100_000;

/// A cluster with one file `f` of [`SIZE`] bytes.
fn with_file(lab: &Lab) -> (Up, Vec<u8>) {
    let up = lab.up();
    let contents = Pattern::new(21, SIZE).bytes();
    Wire::connect(&up.storage).upload(&key(APP, USER, "f"), &contents).ok();
    (up, contents)
}

#[track_caller]
fn assert_part(response: &Response, contents: &[u8], part: std::ops::Range<usize>) {
    assert_eq!(response.status, 206, "{response:?}");
    let range = format!("bytes {}-{}/{}", part.start, part.end - 1, contents.len());
    assert_eq!(response.header("content-range"), Some(range.as_str()));
    assert_eq!(response.len() as usize, part.len());
    assert!(response.body == contents[part]);
}

#[track_caller]
fn assert_whole(response: &Response, contents: &[u8]) {
    assert_eq!(response.status, 200, "{:?}", response.headers);
    assert_eq!(response.header("content-range"), None);
    assert!(response.body == contents);
}

#[test]
fn a_whole_file_with_all_its_headers() {
    let lab = Lab::new();
    let up = lab.up_with(&["--set", r#"tracker.apps=["tnvideo", "other"]"#]);
    let contents = Pattern::new(21, SIZE).bytes();
    Wire::connect(&up.storage).upload(&key(APP, USER, "f"), &contents).ok();
    Wire::connect(&up.storage).upload(&key("other", "user two", "g"), &contents).ok();
    let whole = get(&up.http, "/files/f", &[]);
    assert_whole(&whole, &contents);
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    assert_eq!(whole.len(), SIZE);
    assert!(whole.header("content-type").unwrap().contains('/'));
    let etag = whole.header("etag").unwrap();
    assert!(etag.len() > 10 && etag.starts_with('"') && etag.ends_with('"'), "strong: {etag}");
    let modified = whole.header("last-modified").unwrap();
    assert!(modified.ends_with(" GMT") && modified.len() == 29, "{modified}");
    assert!(whole.header("content-encoding").is_none() && whole.header("transfer-encoding").is_none());
    assert_eq!(get(&up.http, &format!("/files/{APP}/{USER}/f"), &[]).body, contents);
    let same = get(&up.http, "/files/other/user%20two/g", &[]);
    assert_whole(&same, &contents);
    assert_eq!(same.header("etag"), Some(etag), "the same bytes have the same ETag");
}

#[test]
fn the_content_type_is_sniffed() {
    let lab = Lab::new();
    let up = lab.up();
    let clip = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/sample.mp4")).unwrap();
    let samples: [(&str, &[u8], &str); 3] = [
        ("clip", &clip, "video/mp4"),
        ("picture", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02", "image/png"),
        ("noise", &[0, 159, 146, 150], "application/octet-stream"),
    ];
    for (file, contents, wanted) in samples {
        Wire::connect(&up.storage).upload(&key(APP, USER, file), contents).ok();
        assert_eq!(get(&up.http, &format!("/files/{file}"), &[]).header("content-type"), Some(wanted));
    }
}

#[test]
fn head_is_get_without_a_body() {
    let lab = Lab::new();
    let (up, _) = with_file(&lab);
    let mut web = Web::connect(&up.http);
    let whole = web.get("/files/f", &[]);
    let head = web.request("HEAD", "/files/f", &[]);
    assert_eq!((head.status, head.len()), (200, SIZE));
    for name in ["etag", "last-modified", "content-type", "accept-ranges", "content-disposition"] {
        assert_eq!(head.header(name), whole.header(name), "{name}");
    }
    let ranged = web.request("HEAD", "/files/f", &[("Range", "bytes=0-1")]);
    assert_eq!((ranged.status, ranged.len()), (200, SIZE), "Range is defined for GET");
    assert_eq!(web.request("HEAD", "/files/none", &[]).status, 404);
    assert_eq!(web.get("/files/f", &[("Range", "bytes=0-1")]).body.len(), 2, "the connection is in step");
}

#[test]
fn a_zero_byte_file() {
    let lab = Lab::new();
    let up = lab.up();
    Wire::connect(&up.storage).upload(&key(APP, USER, "empty"), b"").ok();
    let mut web = Web::connect(&up.http);
    let whole = web.get("/files/empty", &[]);
    assert_eq!((whole.status, whole.len()), (200, 0));
    let ranged = web.get("/files/empty", &[("Range", "bytes=0-")]);
    assert_eq!((ranged.status, ranged.header("content-range")), (416, Some("bytes */0")));
}

#[test]
fn content_disposition_is_inline_for_what_plays_and_attachment_when_asked() {
    let lab = Lab::new();
    let up = lab.up();
    let clip = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/sample.mp4")).unwrap();
    Wire::connect(&up.storage).upload(&key(APP, USER, "视频.mp4"), &clip).ok();
    Wire::connect(&up.storage).upload(&key(APP, USER, "a\r\nSet-Cookie: x"), b"x").ok();
    let mut web = Web::connect(&up.http);
    let path = "/files/%E8%A7%86%E9%A2%91.mp4";
    let inline = web.get(path, &[]);
    assert!(inline.header("content-disposition").is_none_or(|value| value.starts_with("inline")));
    let saved = web.get(&format!("{path}?download"), &[]);
    let value = saved.header("content-disposition").unwrap();
    assert!(value.starts_with("attachment") && value.contains("filename="), "{value}");
    assert!(value.contains("filename*=UTF-8''%E8%A7%86%E9%A2%91.mp4"), "{value}");
    let tricky = web.get("/files/a%0d%0aSet-Cookie:%20x?download", &[]);
    assert_eq!((tricky.status, tricky.header("set-cookie")), (200, None));
}

#[test]
fn cors_when_it_is_configured() {
    let lab = Lab::new();
    let up = lab.up();
    Wire::connect(&up.storage).upload(&key(APP, USER, "f"), b"contents").ok();
    let origin = ("Origin", "https://player.example");
    assert_eq!(get(&up.http, "/files/f", &[origin]).header("access-control-allow-origin"), None);
    let http = Role::http(&[&up.tracker]).set("cors_origins", r#"["https://player.example"]"#).start(&lab);
    let mut web = Web::connect(&http.address);
    let response = web.get("/files/f", &[origin, ("Range", "bytes=0-1")]);
    assert_eq!(response.header("access-control-allow-origin"), Some("https://player.example"));
    let exposed = response.header("access-control-expose-headers").unwrap().to_lowercase();
    for name in ["content-range", "accept-ranges", "etag", "content-length"] {
        assert!(exposed.contains(name), "{name} in {exposed}");
    }
    let preflight =
        [origin, ("Access-Control-Request-Method", "GET"), ("Access-Control-Request-Headers", "range")];
    let response = web.request("OPTIONS", "/files/f", &preflight);
    assert!([200, 204].contains(&response.status), "{response:?}");
    let allowed = response.header("access-control-allow-headers").unwrap().to_lowercase();
    assert!(allowed.contains("range") && allowed.contains("if-range"), "{allowed}");
    let stranger = web.get("/files/f", &[("Origin", "https://evil.example")]);
    assert_eq!(stranger.header("access-control-allow-origin"), None);
}

#[test]
fn connections_are_kept_alive_and_old_ones_closed() {
    let lab = Lab::new();
    let (up, contents) = with_file(&lab);
    let mut web = Web::connect(&up.http);
    for _ in 0..20 {
        assert_whole(&web.get("/files/f", &[]), &contents);
        assert_eq!(web.get("/files/none", &[]).status, 404);
    }
    let close = web.get("/files/f", &[("Connection", "close")]);
    assert_whole(&close, &contents);
    web.assert_closed();

    let mut old = Web::connect(&up.http);
    old.send(b"GET /files/f HTTP/1.0\r\n\r\n");
    assert_whole(&old.response("GET"), &contents);
    old.assert_closed();

    let mut pipelined = Web::connect(&up.http);
    let one = request("GET", "/files/f", &[("Range", "bytes=0-9")]);
    let two = request("GET", "/files/f", &[("Range", "bytes=10-19")]);
    pipelined.send(format!("{one}{two}").as_bytes());
    assert_part(&pipelined.response("GET"), &contents, 0..10);
    assert_part(&pipelined.response("GET"), &contents, 10..20);
}

#[test]
fn api_cluster_shows_the_state() {
    let lab = Lab::new();
    let up = lab.up();
    let response = get(&up.http, "/api/cluster", &[]);
    assert_eq!(response.status, 200);
    assert!(response.header("content-type").unwrap().starts_with("application/json"));
    let state: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    let text = state.to_string();
    assert!(text.contains("group001") && text.contains("ACTIVE") && text.contains(&up.storage), "{state:#}");
}
