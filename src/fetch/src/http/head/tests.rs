use proptest::prelude::*;
use reqwest::header::{HeaderName, HeaderValue};

use super::*;
use crate::version::Version;

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let header = |(name, value): &(&str, &str)| {
        (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(header).collect()
}

fn wanted(from: u64, until: u64) -> Wanted {
    let validators = Validators { etag: Some("\"a\"".to_owned()), modified: Some("then".to_owned()) };
    let version = Some(Version { size: 100, validators });
    Wanted { from, until: Some(until), size: Some(100), version, skip_limit: 50 }
}

fn answer(wanted: &Wanted, status: u16, pairs: &[(&str, &str)]) -> Result<Answer, Failure> {
    let url = Url::parse("http://host/dir/file").unwrap();
    judge(wanted, StatusCode::from_u16(status).unwrap(), &headers(pairs), &url, SystemTime::UNIX_EPOCH)
}

fn kind(wanted: &Wanted, status: u16, pairs: &[(&str, &str)]) -> FailureKind {
    answer(wanted, status, pairs).unwrap_err().kind
}

#[test]
fn requests_are_for_no_more_than_is_wanted() {
    assert_eq!(range(&wanted(0, 100)), None);
    assert_eq!(range(&wanted(0, 99)).unwrap(), "bytes=0-98");
    assert_eq!(range(&wanted(7, 100)).unwrap(), "bytes=7-");
    assert_eq!(condition(&wanted(7, 100)), Some("\"a\""));
}

#[test]
fn a_part_is_taken_where_it_is_the_wanted_one() {
    let taken =
        answer(&wanted(10, 50), 206, &[("content-range", "bytes 10-49/100"), ("etag", "\"a\"")]).unwrap();
    assert_eq!((taken.skip, taken.length, taken.facts.size), (0, 40, Some(100)));
    assert_eq!(taken.facts.validators.etag.as_deref(), Some("\"a\""));
    assert_eq!(answer(&wanted(10, 50), 206, &[("content-range", "bytes 10-19/*")]).unwrap().length, 10);
    for wrong in [
        "bytes 0-49/100",
        "bytes 11-49/100",
        "bytes 10-50/100",
        "bytes 10-9/100",
        "bytes 10-49/40",
        "10-49/100",
        "",
    ] {
        assert_eq!(kind(&wanted(10, 50), 206, &[("content-range", wrong)]), FailureKind::Invalid, "{wrong}");
    }
    let lies = [("content-range", "bytes 10-49/100"), ("content-length", "39")];
    assert_eq!(kind(&wanted(10, 50), 206, &lies), FailureKind::Invalid);
    assert_eq!(kind(&wanted(10, 50), 206, &[]), FailureKind::Invalid);
}

#[test]
fn a_whole_file_is_skipped_up_to_what_is_wanted() {
    let whole = [("content-length", "100")];
    let taken = answer(&wanted(10, 100), 200, &whole).unwrap();
    assert_eq!((taken.skip, taken.length, taken.facts.ranges), (10, 90, Some(false)));
    assert_eq!(kind(&wanted(60, 100), 200, &whole), FailureKind::WholeOnly);
    // Its size says that it is another file.
    assert_eq!(answer(&wanted(60, 100), 200, &[("content-length", "9")]).unwrap().facts.size, Some(9));
    assert_eq!(answer(&wanted(0, 100), 200, &[]).unwrap().length, 100);
    let unknown = Wanted { size: None, until: None, ..wanted(0, 0) };
    assert_eq!(kind(&unknown, 200, &[]), FailureKind::Invalid);
    assert_eq!(
        kind(&unknown, 200, &[("content-length", "1"), ("content-encoding", "gzip")]),
        FailureKind::Invalid
    );
}

#[test]
fn refusals_are_told_apart() {
    for (status, expected) in [
        (404, FailureKind::NotFound),
        (410, FailureKind::NotFound),
        (403, FailureKind::Refused),
        (304, FailureKind::Refused),
        (429, FailureKind::Busy),
        (503, FailureKind::Busy),
        (500, FailureKind::Failing),
    ] {
        assert_eq!(kind(&wanted(0, 100), status, &[]), expected, "{status}");
    }
    assert_eq!(kind(&wanted(10, 100), 416, &[("content-range", "bytes */9")]), FailureKind::Changed);
    assert_eq!(kind(&wanted(10, 100), 416, &[("content-range", "bytes */100")]), FailureKind::Invalid);
    assert_eq!(kind(&wanted(10, 100), 416, &[]), FailureKind::Invalid);
}

#[test]
fn a_pause_is_in_seconds_or_until_a_date() {
    let after = |value| answer(&wanted(0, 100), 503, &[("retry-after", value)]).unwrap_err().retry_after;
    assert_eq!(after("7"), Some(Duration::from_secs(7)));
    assert_eq!(after("Thu, 01 Jan 1970 00:00:09 GMT"), Some(Duration::from_secs(9)));
    assert_eq!(after("soon"), None);
}

#[test]
fn only_strong_validators_count() {
    let of = |pairs: &[(&str, &str)]| validators(&headers(pairs));
    assert_eq!(of(&[("etag", "W/\"a\"")]), Validators::default());
    assert_eq!(of(&[("etag", "a")]), Validators::default());
    let old = "Thu, 01 Jan 1970 00:00:09 GMT";
    assert_eq!(of(&[("last-modified", old)]).modified.as_deref(), Some(old));
    assert_eq!(of(&[("last-modified", old), ("date", old)]).modified, None);
    let later = "Thu, 01 Jan 1970 00:00:10 GMT";
    assert_eq!(of(&[("last-modified", old), ("date", later)]).modified.as_deref(), Some(old));
    assert_eq!(of(&[("last-modified", "yesterday")]).modified, None);
}

#[test]
fn links_and_digests_are_read() {
    let digest = "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:";
    let link = "<file.meta4>; rel=describedby; type=\"application/metalink4+xml\", \
                <//other/file>; rel=duplicate; pri=2, <x>; rel=describedby";
    let taken = answer(&wanted(0, 100), 200, &[("link", link), ("repr-digest", digest)]).unwrap();
    assert_eq!(
        taken.facts.hashes[0].hex(),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(taken.hints.described_by, ["http://host/dir/file.meta4"]);
    assert_eq!(taken.hints.duplicates[0].url, "http://other/file");
    let metalink = [("content-type", "application/metalink4+xml; charset=utf-8")];
    assert_eq!(
        answer(&wanted(0, 100), 200, &metalink).unwrap().hints.metalink.unwrap(),
        "http://host/dir/file"
    );
}

proptest! {
    #[test]
    fn no_answer_gives_more_than_is_wanted(
        from in 0_u64..100, count in 1_u64..100, status in prop::sample::select(vec![200_u16, 206, 416]),
        range in "bytes [0-9]{1,3}-[0-9]{1,3}/([0-9]{1,3}|\\*)|[ -~]{0,12}", length in "[0-9]{0,3}|[ -~]{1,5}",
    ) {
        let wanted = wanted(from, (from + count).min(100).max(from + 1));
        if let Ok(taken) = answer(&wanted, status, &[("content-range", &range), ("content-length", &length)]) {
            prop_assert!(taken.skip == 0 || taken.skip <= from);
            prop_assert!(status == 200 || taken.length <= wanted.until.unwrap() - from);
        }
    }
}
