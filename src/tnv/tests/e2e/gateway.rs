//! The gateway, request by request, over raw HTTP: what players and browsers rely on.

use std::io::Read;

use crate::harness::frames::{DELETE, Wire, key};
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
fn single_ranges() {
    let lab = Lab::new();
    let (up, contents) = with_file(&lab);
    let mut web = Web::connect(&up.http);
    let size = SIZE as usize;
    for (range, part) in [
        ("bytes=0-1", 0..2),
        ("bytes=0-0", 0..1),
        ("bytes=-5", size - 5..size),
        ("bytes=-9999999999", 0..size),
        ("bytes=0-9999999999", 0..size),
        ("bytes=0-", 0..size),
        ("bytes=99999-", size - 1..size),
        ("bytes=500-70000", 500..70_001),
        ("bytes=0-99999", 0..size),
    ] {
        let response = web.get("/files/f", &[("Range", range)]);
        assert_part(&response, &contents, part);
        assert_eq!(response.header("accept-ranges"), Some("bytes"));
        assert!(response.header("etag").is_some() && response.header("last-modified").is_some());
    }
}

#[test]
fn ranges_outside_the_file_are_416() {
    let lab = Lab::new();
    let (up, _) = with_file(&lab);
    let mut web = Web::connect(&up.http);
    for range in ["bytes=100000-", "bytes=100000-100001", "bytes=-0", "bytes=9223372036854775807-"] {
        let response = web.get("/files/f", &[("Range", range)]);
        assert_eq!(response.status, 416, "{range}");
        assert_eq!(response.header("content-range"), Some("bytes */100000"), "{range}");
        assert!(response.body.len() < 1000);
    }
}

#[test]
fn ranges_that_make_no_sense_are_ignored() {
    let lab = Lab::new();
    let (up, contents) = with_file(&lab);
    let mut web = Web::connect(&up.http);
    for range in ["bytes=5-2", "bytes=abc", "lines=0-1", "bytes=", "bytes", "0-1", "bytes=-", "bytes=1-2-3"] {
        assert_whole(&web.get("/files/f", &[("Range", range)]), &contents);
    }
}

/// The parts of a multipart/byteranges body: Content-Range and bytes of each.
fn parts(response: &Response) -> Vec<(String, Vec<u8>)> {
    let kind = response.header("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect(kind).trim_matches('"');
    let delimiter = format!("--{boundary}");
    let mut rest = &response.body[..];
    let mut parts = Vec::new();
    loop {
        rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
        rest = rest.strip_prefix(delimiter.as_bytes()).expect("a delimiter");
        if let Some(end) = rest.strip_prefix(b"--") {
            assert!(end.is_empty() || end == b"\r\n", "nothing behind the end");
            return parts;
        }
        let header_end = rest.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&rest[..header_end]).unwrap().to_lowercase();
        let range =
            head.lines().find_map(|line| line.strip_prefix("content-range: bytes ")).unwrap().to_owned();
        assert!(head.contains("content-type: "), "{head}");
        let (bounds, _) = range.split_once('/').unwrap();
        let (first, last) = bounds.split_once('-').unwrap();
        let len = last.parse::<usize>().unwrap() - first.parse::<usize>().unwrap() + 1;
        rest = &rest[header_end + 4..];
        parts.push((range, rest[..len].to_vec()));
        rest = &rest[len..];
    }
}

#[test]
fn several_ranges_are_parts_and_never_more_bytes_than_the_file() {
    let lab = Lab::new();
    let (up, contents) = with_file(&lab);
    let mut web = Web::connect(&up.http);
    let response = web.get("/files/f", &[("Range", "bytes=0-1, 500-599,-10")]);
    assert_eq!(response.status, 206);
    assert_eq!(response.header("content-range"), None, "each part has its own");
    let wanted =
        [("0-1/100000", 0..2), ("500-599/100000", 500..600), ("99990-99999/100000", 99_990..100_000)];
    let wanted: Vec<_> = wanted.map(|(range, part)| (range.to_owned(), contents[part].to_vec())).into();
    assert!(parts(&response) == wanted);

    assert_part(&web.get("/files/f", &[("Range", "bytes=0-5,3-9")]), &contents, 0..10);
    assert_part(&web.get("/files/f", &[("Range", "bytes=0-4,5-9")]), &contents, 0..10);
    assert_part(&web.get("/files/f", &[("Range", "bytes=0-1,200000-")]), &contents, 0..2);
    let none = web.get("/files/f", &[("Range", "bytes=200000-,300000-300001")]);
    assert_eq!(none.status, 416);
    let many: Vec<String> = (0..200).map(|n| format!("{}-{}", n * 10, n * 10 + 1)).collect();
    assert_whole(&web.get("/files/f", &[("Range", &format!("bytes={}", many.join(",")))]), &contents);
    let greedy = vec!["0-"; 100].join(",");
    let response = web.get("/files/f", &[("Range", &format!("bytes={greedy}"))]);
    assert!(
        [200, 206].contains(&response.status) && response.body == contents,
        "the file once, not 100 times"
    );
}

#[test]
fn if_range() {
    let lab = Lab::new();
    let (up, contents) = with_file(&lab);
    let mut web = Web::connect(&up.http);
    let etag = web.get("/files/f", &[]).header("etag").unwrap().to_owned();
    let mut ask = |if_range: &str| web.get("/files/f", &[("Range", "bytes=10-19"), ("If-Range", if_range)]);
    assert_part(&ask(&etag), &contents, 10..20);
    assert_whole(&ask("\"other\""), &contents);
    assert_whole(&ask(&format!("W/{etag}")), &contents);
    assert_whole(&ask("Wed, 01 Jan 2020 00:00:00 GMT"), &contents);
    assert_whole(&ask("nonsense"), &contents);
}

#[test]
fn preconditions_in_their_order() {
    let lab = Lab::new();
    let (up, contents) = with_file(&lab);
    let mut web = Web::connect(&up.http);
    let first = web.get("/files/f", &[]);
    let (etag, modified) = (first.header("etag").unwrap(), first.header("last-modified").unwrap());
    let (weak, past, future) =
        (format!("W/{etag}"), "Wed, 01 Jan 2020 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT");
    let range = ("Range", "bytes=0-1");
    let cases: &[(&[(&str, &str)], u16)] = &[
        (&[("If-None-Match", etag)], 304),
        (&[("If-None-Match", &weak)], 304),
        (&[("If-None-Match", "*")], 304),
        (&[("If-None-Match", "\"a\", \"b\"")], 200),
        (&[("If-None-Match", etag), range], 304),
        (&[("If-None-Match", "\"a\""), range], 206),
        (&[("If-Modified-Since", modified)], 304),
        (&[("If-Modified-Since", modified), range], 304),
        (&[("If-Modified-Since", past)], 200),
        (&[("If-Modified-Since", "nonsense")], 200),
        (&[("If-Match", etag)], 200),
        (&[("If-Match", "*")], 200),
        (&[("If-Match", "\"a\"")], 412),
        (&[("If-Match", &weak)], 412),
        (&[("If-Match", etag), range], 206),
        (&[("If-Match", "\"a\""), range], 412),
        (&[("If-Unmodified-Since", past)], 412),
        (&[("If-Unmodified-Since", future)], 200),
        // One that comes earlier in the order decides, and makes its counterpart by date ignored.
        (&[("If-Match", etag), ("If-Unmodified-Since", past)], 200),
        (&[("If-None-Match", "\"a\""), ("If-Modified-Since", modified)], 200),
        (&[("If-Match", "\"a\""), ("If-None-Match", etag)], 412),
        (&[("If-Unmodified-Since", past), ("If-None-Match", etag)], 412),
        (&[("If-None-Match", etag), ("If-Range", "\"a\""), range], 304),
    ];
    for (headers, wanted) in cases {
        let response = web.get("/files/f", headers);
        assert_eq!(response.status, *wanted, "{headers:?}");
        match wanted {
            304 => assert_eq!(response.header("etag"), Some(etag)),
            206 => assert_part(&response, &contents, 0..2),
            200 => assert_whole(&response, &contents),
            _ => {}
        }
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
fn what_is_not_there_is_404_and_mistakes_are_never_500() {
    let lab = Lab::new();
    let (up, _) = with_file(&lab);
    let nul_and_more = "/files/a%00b";
    for (path, wanted) in [
        ("/files/none", 404),
        ("/files/tnvideo/nobody/f", 404),
        ("/files/..%2f..%2fetc%2fpasswd", 404),
        ("/files/%27%20OR%201%3D1", 404),
        ("/files/%E8%A7%86%E9%A2%91", 404),
        ("/nosuchpage", 404),
        ("/files/", 404),
        ("/files/bad-app/u/f", 400),
        (nul_and_more, 400),
        ("/files/%zz", 400),
        ("/files/%ff%fe", 400),
        (&format!("/files/{}", "f".repeat(128)), 400),
    ] {
        let response = get(&up.http, path, &[]);
        assert_eq!(response.status, wanted, "{path}");
        assert!((1..1000).contains(&response.body.len()), "a short body: {path}");
    }
    let response = get(&up.http, "/files/stranger/u/f", &[]);
    assert!([403, 404].contains(&response.status), "{response:?}");
}

#[test]
fn other_methods_are_405() {
    let lab = Lab::new();
    let (up, _) = with_file(&lab);
    for method in ["DELETE", "PATCH", "BREW"] {
        let response = Web::connect(&up.http).request(method, "/files/f", &[("Content-Length", "0")]);
        assert_eq!(response.status, 405, "{method}");
        assert!(response.header("allow").unwrap().contains("GET"), "{method}");
    }
    assert_eq!(
        Wire::connect(&up.storage).call(crate::harness::frames::FILESIZE, &key(APP, USER, "f")).integer(),
        100_000
    );
}

#[test]
fn a_cluster_that_is_away_is_503_with_retry_after() {
    let lab = Lab::new();
    let http = Role::http(&["127.0.0.1:1"]).start(&lab);
    let response = get(&http.address, "/files/f", &[]);
    assert_eq!(response.status, 503);
    assert!(response.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);

    let tracker = Role::tracker(&lab).start(&lab);
    let id = Role::id(&lab).start(&lab);
    let mut storage = Role::storage(&lab, "store", &[&tracker.address], &[&id.address]).start(&lab);
    crate::harness::lab::wait_active(&tracker.address, USER);
    Wire::connect(&storage.address).upload(&key(APP, USER, "f"), b"contents").ok();
    let http = Role::http(&[&tracker.address]).named("http-b").start(&lab);
    assert_eq!(get(&http.address, "/files/f", &[]).status, 200);
    storage.process.kill();
    let response = get(&http.address, "/files/f", &[]);
    assert_eq!(response.status, 503, "every storage is down");
    assert!(response.header("retry-after").is_some());
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
fn garbage_is_refused_and_harms_nobody() {
    let lab = Lab::new();
    let (up, contents) = with_file(&lab);
    for garbage in
        [&b"\0\0\0\0\0\0\0\0\x46\0"[..], b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n\r\n\xff\xff\xff"]
    {
        let mut web = Web::connect(&up.http);
        web.send(garbage);
        let _ = web.stream.get_ref().shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = web.stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4") || answer.starts_with(b"HTTP/1.0 4"));
    }
    let huge = "x".repeat(2 << 20);
    let mut web = Web::connect(&up.http);
    let _ = std::io::Write::write_all(
        web.stream.get_mut(),
        request("GET", "/files/f", &[("X", &huge)]).as_bytes(),
    );
    let head = web.head();
    assert!(head.is_err() || [400, 431].contains(&head.unwrap().status));
    assert_whole(&get(&up.http, "/files/f", &[]), &contents);
}

#[test]
fn a_running_answer_outlives_the_delete_of_its_file() {
    let lab = Lab::new();
    let up = lab.up();
    let pattern = Pattern::new(22, 64 << 20);
    let file = key(APP, USER, "large");
    Wire::connect(&up.storage).upload(&file, &pattern.bytes()).ok();
    let mut web = Web::connect(&up.http);
    web.send(request("GET", "/files/large", &[]).as_bytes());
    let head = web.head().unwrap();
    assert_eq!(head.len(), pattern.len());
    Wire::connect(&up.storage).call(DELETE, &file).ok();
    pattern.check(0, pattern.len(), &mut web.stream.by_ref().take(pattern.len()));
    assert_eq!(web.get("/files/large", &[]).status, 404);
}

/// What is cut short on disk is never sent as if it were whole.
#[test]
fn a_truncated_file_is_aborted_not_ended() {
    let lab = Lab::new();
    let up = lab.up();
    let pattern = Pattern::new(23, 8 << 20);
    Wire::connect(&up.storage).upload(&key(APP, USER, "f"), &pattern.bytes()).ok();
    let (_, path) = crate::harness::contents_below(&lab.path("data")).remove(0);
    std::fs::File::options().write(true).open(path).unwrap().set_len(3 << 20).unwrap();
    let mut web = Web::connect(&up.http);
    web.send(request("GET", "/files/f", &[]).as_bytes());
    if let Ok(head) = web.head().map(|head| head.status)
        && head < 400
    {
        let mut body = Vec::new();
        let outcome = web.stream.by_ref().take(pattern.len()).read_to_end(&mut body);
        assert!(
            outcome.is_err() || (body.len() as u64) < pattern.len(),
            "an answer as long as the file once was"
        );
    }
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
