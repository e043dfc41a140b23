//! Ranges and conditions, row by row.

use crate::cluster::{Cluster, bytes_of, with_clip};
use crate::http::{Answer, get, head};

const ETAG: &str = "\"abababababababababababababababab\"";
const AT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

#[track_caller]
fn check_part(answer: &Answer, range: std::ops::Range<u64>, size: u64) {
    assert_eq!(answer.status, 206);
    let wanted = format!("bytes {}-{}/{size}", range.start, range.end - 1);
    assert_eq!(answer.header("content-range"), Some(wanted.as_str()));
    assert_eq!(answer.header("content-length"), Some((range.end - range.start).to_string().as_str()));
    assert_eq!(answer.header("etag"), Some(ETAG));
    assert!(answer.body == bytes_of(range), "other bytes than asked for");
}

#[track_caller]
fn check_whole(answer: &Answer, size: u64) {
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-range"), None);
    assert_eq!(answer.header("accept-ranges"), Some("bytes"));
    assert!(answer.body == bytes_of(0..size), "other bytes than the file's");
}

#[tokio::test]
async fn one_range_is_a_206_of_exactly_its_bytes() {
    let (_cluster, gateway) = with_clip().await;
    for (range, wanted) in [
        ("0-1", 0..2),
        ("0-", 0..1000),
        ("-5", 995..1000),
        ("-2000", 0..1000),
        ("0-9999999999", 0..1000),
        ("999-999", 999..1000),
        ("998-99999999999999999999999999", 998..1000),
        ("300-599", 300..600),
        // Overlapping, adjacent, and one satisfiable of two.
        ("0-99,50-149", 0..150),
        ("0-99,100-149", 0..150),
        ("10-19,5000-6000", 10..20),
    ] {
        let answer = get(gateway.address, "/files/clip", &[&format!("Range: bytes={range}")]).await;
        check_part(&answer, wanted, 1000);
        assert_eq!(answer.header("content-type"), Some("video/mp4"), "{range}");
    }
}

#[tokio::test]
async fn what_lies_outside_is_a_416() {
    let (cluster, gateway) = with_clip().await;
    for range in ["1000-", "1000-2000", "-0", "5000-6000,-0"] {
        let answer = get(gateway.address, "/files/clip", &[&format!("Range: bytes={range}")]).await;
        assert_eq!((answer.status, answer.header("content-range")), (416, Some("bytes */1000")), "{range}");
        assert_eq!(answer.text(), "the range lies outside the file, which has 1000 bytes\n");
    }
    assert_eq!(cluster.seen().reads, 0);
}

#[tokio::test]
async fn what_is_not_understood_is_ignored() {
    let (_cluster, gateway) = with_clip().await;
    for range in ["bytes=5-2", "bytes=abc", "pages=1-2", "bytes=0-1,x", "bytes"] {
        check_whole(&get(gateway.address, "/files/clip", &[&format!("Range: {range}")]).await, 1000);
    }
    check_whole(&get(gateway.address, "/files/clip", &["Range: bytes=0-1", "Range: bytes=4-5"]).await, 1000);
}

#[tokio::test]
async fn several_ranges_are_multipart() {
    let (cluster, gateway) = with_clip().await;
    let answer = get(gateway.address, "/files/clip", &["Range: bytes=500-599, 0-1,-10"]).await;
    assert_eq!(answer.status, 206);
    assert_eq!(answer.header("content-range"), None);
    let content_type = answer.header("content-type").unwrap();
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let mut wanted = Vec::new();
    for (range, name) in [(500..600, "500-599"), (0..2, "0-1"), (990..1000, "990-999")] {
        let part =
            format!("--{boundary}\r\nContent-Type: video/mp4\r\nContent-Range: bytes {name}/1000\r\n\r\n");
        wanted.extend_from_slice(part.as_bytes());
        wanted.extend(bytes_of(range));
        wanted.extend_from_slice(b"\r\n");
    }
    wanted.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    assert!(answer.body == wanted, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(cluster.seen().reads, 3);
}

#[tokio::test]
async fn too_many_ranges_give_the_whole_file() {
    let (cluster, _) = with_clip().await;
    let gateway = cluster.gateway(|config| config.max_ranges = 2).await;
    let answer = get(gateway.address, "/files/clip", &["Range: bytes=0-0,2-2"]).await;
    assert_eq!(answer.status, 206);
    check_whole(&get(gateway.address, "/files/clip", &["Range: bytes=0-0,2-2,4-4"]).await, 1000);
    // They are counted after merging.
    check_part(&get(gateway.address, "/files/clip", &["Range: bytes=0-0,1-1,2-2,3-3"]).await, 0..4, 1000);
}

#[tokio::test]
async fn if_range_lets_a_range_count_for_this_version_only() {
    let (_cluster, gateway) = with_clip().await;
    for same in [ETAG, AT] {
        let fields = ["Range: bytes=2-3", &format!("If-Range: {same}")];
        check_part(&get(gateway.address, "/files/clip", &fields).await, 2..4, 1000);
    }
    for other in ["\"other\"", &format!("W/{ETAG}"), BEFORE, "nonsense"] {
        let fields = ["Range: bytes=2-3", &format!("If-Range: {other}")];
        check_whole(&get(gateway.address, "/files/clip", &fields).await, 1000);
    }
    // A range outside of another version is no mistake.
    check_whole(
        &get(gateway.address, "/files/clip", &["Range: bytes=5000-", "If-Range: \"other\""]).await,
        1000,
    );
}

#[tokio::test]
async fn conditions_come_before_ranges_in_their_order() {
    let (cluster, gateway) = with_clip().await;
    let if_none_match = format!("If-None-Match: {ETAG}");
    let if_match = format!("If-Match: {ETAG}");
    let (since, since_before) = (format!("If-Modified-Since: {AT}"), format!("If-Modified-Since: {BEFORE}"));
    let (unmodified, unmodified_before) =
        (format!("If-Unmodified-Since: {AT}"), format!("If-Unmodified-Since: {BEFORE}"));
    let range = "Range: bytes=0-1";
    let cases: [(&[&str], u16); 12] = [
        (&[&if_none_match], 304),
        (&[&if_none_match, range], 304),
        (&[&since, range], 304),
        (&[&since_before, range], 206),
        (&["If-None-Match: \"other\"", &since, range], 206),
        (&["If-Match: \"other\""], 412),
        (&["If-Match: \"other\"", &if_none_match, range], 412),
        (&[&unmodified_before], 412),
        (&[&unmodified, range], 206),
        (&[&if_match, &unmodified_before, range], 206),
        (&[&if_match, &if_none_match], 304),
        (&[&if_none_match, "Range: bytes=5000-"], 304),
    ];
    for (fields, status) in cases {
        let answer = get(gateway.address, "/files/clip", fields).await;
        assert_eq!(answer.status, status, "{fields:?}");
        if status == 304 {
            assert_eq!((answer.header("etag"), answer.header("last-modified")), (Some(ETAG), Some(AT)));
        }
        if status != 412 {
            let headed = head(gateway.address, "/files/clip", fields).await;
            assert_eq!(headed.status, if status == 206 { 200 } else { status }, "HEAD {fields:?}");
        }
    }
    assert_eq!(cluster.seen().reads, 4, "only a 206 needs bytes");
}

#[tokio::test]
async fn head_knows_no_ranges() {
    let (cluster, gateway) = with_clip().await;
    for fields in [&[][..], &["Range: bytes=0-1"], &["Range: bytes=5000-"]] {
        let answer = head(gateway.address, "/files/clip", fields).await;
        assert_eq!((answer.status, answer.header("content-length")), (200, Some("1000")), "{fields:?}");
        assert_eq!(answer.header("content-range"), None);
        assert_eq!(answer.header("accept-ranges"), Some("bytes"));
    }
    assert_eq!(cluster.seen().reads, 0);
}

#[tokio::test]
async fn a_file_of_no_bytes() {
    let cluster = Cluster::start().await;
    cluster.add("empty", 0, "", "");
    let gateway = cluster.gateway(|_| {}).await;
    check_whole(&get(gateway.address, "/files/empty", &[]).await, 0);
    check_whole(&get(gateway.address, "/files/empty", &["Range: bytes=abc"]).await, 0);
    for range in ["0-", "-1", "0-0"] {
        let answer = get(gateway.address, "/files/empty", &[&format!("Range: bytes={range}")]).await;
        assert_eq!((answer.status, answer.header("content-range")), (416, Some("bytes */0")), "{range}");
    }
    assert_eq!(head(gateway.address, "/files/empty", &[]).await.header("content-length"), Some("0"));
    assert_eq!(cluster.seen().reads, 0);
}

#[tokio::test]
async fn offsets_beyond_32_bits() {
    let cluster = Cluster::start().await;
    let size = 5 << 40;
    cluster.add("film", size, "video/mp4", "");
    let gateway = cluster.gateway(|_| {}).await;
    let start = size - 300_000;
    let answer = get(gateway.address, "/files/film", &[&format!("Range: bytes={start}-")]).await;
    check_part(&answer, start..size, size);
    assert_eq!(
        head(gateway.address, "/files/film", &[]).await.header("content-length"),
        Some("5497558138880")
    );
}
