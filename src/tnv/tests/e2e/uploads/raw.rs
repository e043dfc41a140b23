//! POST with the file as its body.

use std::io::Read;

use super::{assert_serves, created, listed, up};
use crate::harness::installed;
use crate::harness::lab::Lab;
use crate::harness::pattern::Pattern;
use crate::harness::process::{run, text};
use crate::harness::web::{Web, request};

const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/sample.mp4");

#[test]
fn a_body_becomes_a_file() {
    let lab = Lab::new();
    let (_up, mut web) = up(&lab);
    let contents = Pattern::new(71, 1_000_000).bytes();
    let view = created(&web.post(
        "/files?name=holiday%20%E8%A7%86.mkv",
        &[("Content-Type", "video/x-matroska")],
        &contents,
    ));
    let id = view["id"].as_str().unwrap();
    assert_eq!((id.len(), view["url"].as_str().unwrap()), (36, format!("/files/{id}").as_str()));
    assert_eq!((view["name"].as_str(), view["size"].as_u64()), (Some("holiday 视.mkv"), Some(1_000_000)));
    assert_eq!(view["content_type"], "video/x-matroska");
    assert_serves(&mut web, &view, &contents);
    let saved = web.get(&format!("/files/{id}?download"), &[]);
    let disposition = saved.header("content-disposition").unwrap();
    assert!(disposition.starts_with("attachment;"), "{disposition}");
    assert!(disposition.contains("filename*=UTF-8''holiday%20%E8%A7%86.mkv"), "{disposition}");
}

#[test]
fn the_name_may_stand_in_content_disposition_or_nowhere() {
    let lab = Lab::new();
    let (_up, mut web) = up(&lab);
    for (disposition, name) in [
        ("attachment; filename=\"a b.bin\"", "a b.bin"),
        ("attachment; filename=\"x\"; filename*=UTF-8''%E8%A7%86.bin", "视.bin"),
        ("inline", ""),
    ] {
        let view = created(&web.post("/files", &[("Content-Disposition", disposition)], b"contents"));
        assert_eq!(view["name"], name, "{disposition}");
    }
    let view = created(&web.post("/files", &[], b""));
    assert_eq!((view["name"].as_str(), view["size"].as_u64()), (Some(""), Some(0)));
    assert_serves(&mut web, &view, b"");
}

#[test]
fn the_content_type_is_kept_or_found_out() {
    let lab = Lab::new();
    let (_up, mut web) = up(&lab);
    let clip = std::fs::read(CLIP).unwrap();
    for (told, wanted) in [
        (None, "video/mp4"),
        (Some("application/octet-stream"), "video/mp4"),
        (Some("application/x-www-form-urlencoded"), "video/mp4"),
        (Some("no type at all"), "video/mp4"),
        (Some("video/quicktime"), "video/quicktime"),
    ] {
        let headers: Vec<(&str, &str)> = told.map(|told| ("Content-Type", told)).into_iter().collect();
        let view = created(&web.post("/files", &headers, &clip));
        assert_eq!(view["content_type"], wanted, "{told:?}");
        assert_serves(&mut web, &view, &clip);
    }
}

#[test]
fn files_of_another_user_have_long_paths() {
    let lab = Lab::new();
    let (_up, mut web) = up(&lab);
    let view = created(&web.post("/files/tnvideo/user%20two?name=f", &[], b"theirs"));
    let url = view["url"].as_str().unwrap();
    assert!(url.starts_with("/files/tnvideo/user%20two/"), "{url}");
    assert_serves(&mut web, &view, b"theirs");
    assert_eq!(listed(&mut web), [""; 0], "the list is the gateway's own user's");
}

/// The body is asked for before a byte of it is sent; a refusal comes instead of being asked.
#[test]
fn expect_100_continue_is_answered_before_the_body() {
    let lab = Lab::new();
    let up = lab.up_with(&["--set", "http.max_upload_size=1MiB"]);
    let mut web = Web::connect(&up.http);
    let contents = Pattern::new(72, 700_000).bytes();
    let expect = ("Expect", "100-continue");
    web.send(request("POST", "/files?name=asked", &[("Content-Length", "700000"), expect]).as_bytes());
    assert_eq!(web.head().unwrap().status, 100);
    web.send(&contents);
    let view = created(&web.response("POST"));
    assert_serves(&mut web, &view, &contents);

    let mut refused = Web::connect(&up.http);
    refused.send(request("POST", "/files", &[("Content-Length", "7000000"), expect]).as_bytes());
    refused.response("POST").assert_refused(413, "7 MB where 1 MiB is the most");
    let mut nameless = Web::connect(&up.http);
    nameless.send(request("POST", "/files?name=a%00b", &[("Content-Length", "7"), expect]).as_bytes());
    let answer = nameless.response("POST");
    answer.assert_refused(400, "a name with a NUL");
}

/// A connection that uploads goes on being used.
#[test]
fn uploads_and_downloads_share_a_connection() {
    let lab = Lab::new();
    let (_up, mut web) = up(&lab);
    for round in 0..10 {
        let contents = Pattern::new(round, 50_000 + round).bytes();
        let view = created(&web.post(&format!("/files?name={round}"), &[], &contents));
        assert_serves(&mut web, &view, &contents);
    }
    assert_eq!(listed(&mut web).len(), 10);
}

#[test]
fn curl_uploads_in_every_way_it_knows() {
    if !installed(&["curl"]) {
        return;
    }
    let lab = Lab::new();
    let (up, mut web) = up(&lab);
    // More than a megabyte: curl asks with Expect: 100-continue.
    let contents = Pattern::new(73, 3_000_000).bytes();
    let file = lab.file("影片.bin", &contents);
    let url = format!("http://{}/files", up.http);
    let (data, form) = (format!("@{file}"), format!("file=@{file}"));
    for (name, args) in [
        ("", &["--data-binary", &data][..]),
        ("影片.bin", &["-F", &form]),
        ("影片.bin", &["-F", "title=holiday", "-F", &form]),
        ("影片.bin", &["--http2-prior-knowledge", "-F", &form]),
        ("", &["--http2-prior-knowledge", "--data-binary", &data]),
    ] {
        let output = run("curl", &[&["-sS", "--fail-with-body"], args, &[&url]].concat());
        assert!(output.status.success(), "{args:?}: {:?}", text(&output));
        let view: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(view["name"], name, "{args:?}");
        assert_serves(&mut web, &view, &contents);
    }
}

/// HTTP/2 without TLS, as proxies and programs speak it.
#[test]
fn http_2_with_prior_knowledge_serves_ranges() {
    if !installed(&["curl"]) {
        return;
    }
    let lab = Lab::new();
    let (up, mut web) = up(&lab);
    let contents = Pattern::new(74, 300_000).bytes();
    let view = created(&web.post("/files", &[], &contents));
    let url = format!("http://{}{}", up.http, view["url"].as_str().unwrap());
    let output = run(
        "curl",
        &[
            "-sS",
            "--http2-prior-knowledge",
            "-r",
            "1000-200999",
            "-w",
            "%{stderr}%{http_version} %{http_code}",
            &url,
        ],
    );
    assert_eq!(text(&output).1, "2 206");
    assert!(output.stdout == contents[1000..201_000]);
}

#[test]
fn a_hundred_uploads_at_once() {
    let lab = Lab::new();
    let (up, mut web) = up(&lab);
    std::thread::scope(|scope| {
        for number in 0..100 {
            let http = &up.http;
            scope.spawn(move || {
                let contents = Pattern::new(number, 200_000).bytes();
                let mut web = Web::connect(http);
                let view = created(&web.post(&format!("/files?name={number:03}"), &[], &contents));
                assert_serves(&mut web, &view, &contents);
            });
        }
    });
    let wanted: Vec<String> = (0..100).map(|number| format!("{number:03}")).collect();
    assert_eq!(listed(&mut web), wanted);
}

/// The answer under way is sent to its end; only then is the file gone for everybody.
#[test]
fn what_is_playing_can_be_deleted() {
    let lab = Lab::new();
    let (up, mut web) = up(&lab);
    let pattern = Pattern::new(75, 48 << 20);
    let view = created(&web.post("/files?name=film", &[], &pattern.bytes()));
    let path = view["url"].as_str().unwrap();
    let mut player = Web::connect(&up.http);
    player.send(request("GET", path, &[("Range", "bytes=1000-")]).as_bytes());
    assert_eq!(player.head().unwrap().status, 206);
    let gone = web.send_body("DELETE", path, &[], b"");
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    pattern.check(1000, pattern.len() - 1000, &mut player.stream.by_ref().take(pattern.len() - 1000));
    player.get(path, &[]).assert_refused(404, "seeking in what is gone");
    web.send_body("DELETE", path, &[], b"").assert_refused(404, "twice");
    assert_eq!(listed(&mut web), [""; 0]);
}
