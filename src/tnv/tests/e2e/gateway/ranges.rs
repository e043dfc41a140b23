//! Range, If-Range and the other conditions.

use super::{SIZE, assert_part, assert_whole, with_file};
use crate::harness::lab::Lab;
use crate::harness::web::{Response, Web};

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
