//! Conditional requests: If-Match, If-Unmodified-Since, If-None-Match, If-Modified-Since, If-Range, in the
//! order of RFC 9110, section 13.2.2. Pure. All are read for GET and HEAD of a file that exists.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::HeaderMap;
use hyper::header::{HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};

/// What tells one version of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validators {
    /// A strong entity tag, with its quotes.
    pub etag: String,
    /// When the file was stored, in whole seconds; `None` if not known.
    pub modified: Option<SystemTime>,
}

/// What the conditions of a request come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Answer as if there were none.
    Proceed,
    /// 304: the client has this version.
    NotModified,
    /// 412: the client wants another version.
    Failed,
}

/// The last second that an HTTP date can tell, 9999-12-31.
const LAST_SECOND: u64 = 253_402_300_799;

/// A file's time in milliseconds since 1970 as an HTTP date tells it: whole seconds, not in the future (RFC
/// 9110, section 8.8.2.1). `None` for 0, which stands for "not known", and for times no HTTP date can tell.
pub fn modified(created_ms: i64, now: SystemTime) -> Option<SystemTime> {
    let seconds = u64::try_from(created_ms).ok().filter(|millis| *millis > 0)? / 1000;
    let seconds_now = now.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let seconds = seconds.min(seconds_now);
    (seconds <= LAST_SECOND).then(|| UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Evaluates everything but If-Range. Dates that cannot be read are ignored, as are all dates where the
/// file's own is not known.
pub fn evaluate(headers: &HeaderMap, file: &Validators) -> Verdict {
    if headers.contains_key(IF_MATCH) {
        if !lists(headers, IF_MATCH, |tag| strongly_equal(tag, &file.etag)) {
            return Verdict::Failed;
        }
    } else if let Some((since, modified)) = date(headers, IF_UNMODIFIED_SINCE).zip(file.modified)
        && modified > since
    {
        return Verdict::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        if lists(headers, IF_NONE_MATCH, |tag| weakly_equal(tag, &file.etag)) {
            return Verdict::NotModified;
        }
    } else if let Some((since, modified)) = date(headers, IF_MODIFIED_SINCE).zip(file.modified)
        && modified <= since
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether If-Range lets a Range header count: there is none, or it names exactly this version. A weak tag
/// never does.
pub fn range_counts(headers: &HeaderMap, file: &Validators) -> bool {
    let mut values = headers.get_all(IF_RANGE).iter();
    match (values.next(), values.next()) {
        (None, _) => true,
        (Some(value), None) => value.to_str().is_ok_and(|value| {
            if value.starts_with('"') || value.starts_with("W/") {
                strongly_equal(value, &file.etag)
            } else {
                httpdate::parse_http_date(value).ok().is_some_and(|date| file.modified == Some(date))
            }
        }),
        (Some(_), Some(_)) => false,
    }
}

/// Whether a list of entity tags, which may go over several lines, is `*` or has one for which `equal` holds.
fn lists(headers: &HeaderMap, name: HeaderName, equal: impl Fn(&str) -> bool) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.trim() == "*" || Tags(value).any(&equal))
}

fn strongly_equal(tag: &str, etag: &str) -> bool {
    tag == etag && !tag.starts_with("W/")
}

fn weakly_equal(tag: &str, etag: &str) -> bool {
    tag.trim_start_matches("W/") == etag.trim_start_matches("W/")
}

/// The single date of a header; `None` if there is none, more than one, or it cannot be read.
fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => httpdate::parse_http_date(value.to_str().ok()?).ok(),
        _ => None,
    }
}

/// Takes entity tags off a list, up to its end or the first thing that is none. A tag may hold commas.
struct Tags<'a>(&'a str);

impl<'a> Iterator for Tags<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let list = self.0.trim_start_matches([',', ' ', '\t']);
        let prefix = if list.starts_with("W/") { 2 } else { 0 };
        let opaque = list.get(prefix..)?.strip_prefix('"')?;
        let (tag, rest) = list.split_at_checked(prefix + opaque.find('"')? + 2)?;
        self.0 = rest;
        Some(tag)
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    const AT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn file() -> Validators {
        Validators { etag: "\"abc\"".to_owned(), modified: httpdate::parse_http_date(AT).ok() }
    }

    fn headers(fields: &[(HeaderName, &str)]) -> HeaderMap {
        let field =
            |(name, value): &(HeaderName, &str)| (name.clone(), HeaderValue::from_str(value).unwrap());
        let mut map = HeaderMap::new();
        for (name, value) in fields.iter().map(field) {
            map.append(name, value);
        }
        map
    }

    #[track_caller]
    fn check(fields: &[(HeaderName, &str)], wanted: Verdict) {
        assert_eq!(evaluate(&headers(fields), &file()), wanted, "{fields:?}");
    }

    #[test]
    fn if_match_compares_strongly() {
        check(&[], Verdict::Proceed);
        check(&[(IF_MATCH, "\"abc\"")], Verdict::Proceed);
        check(&[(IF_MATCH, "*")], Verdict::Proceed);
        check(&[(IF_MATCH, "\"x,y\" , \"abc\"")], Verdict::Proceed);
        check(&[(IF_MATCH, "\"x\""), (IF_MATCH, "\"abc\"")], Verdict::Proceed);
        check(&[(IF_MATCH, "W/\"abc\"")], Verdict::Failed);
        check(&[(IF_MATCH, "\"x\"")], Verdict::Failed);
        check(&[(IF_MATCH, "abc")], Verdict::Failed);
        check(&[(IF_MATCH, "")], Verdict::Failed);
    }

    #[test]
    fn if_unmodified_since_counts_without_if_match_only() {
        check(&[(IF_UNMODIFIED_SINCE, AT)], Verdict::Proceed);
        check(&[(IF_UNMODIFIED_SINCE, AFTER)], Verdict::Proceed);
        check(&[(IF_UNMODIFIED_SINCE, BEFORE)], Verdict::Failed);
        check(&[(IF_UNMODIFIED_SINCE, "yesterday")], Verdict::Proceed);
        check(&[(IF_UNMODIFIED_SINCE, BEFORE), (IF_UNMODIFIED_SINCE, BEFORE)], Verdict::Proceed);
        check(&[(IF_MATCH, "\"abc\""), (IF_UNMODIFIED_SINCE, BEFORE)], Verdict::Proceed);
    }

    #[test]
    fn if_none_match_compares_weakly() {
        check(&[(IF_NONE_MATCH, "\"abc\"")], Verdict::NotModified);
        check(&[(IF_NONE_MATCH, "W/\"abc\"")], Verdict::NotModified);
        check(&[(IF_NONE_MATCH, "\"x\",,W/\"abc\"")], Verdict::NotModified);
        check(&[(IF_NONE_MATCH, "*")], Verdict::NotModified);
        check(&[(IF_NONE_MATCH, "\"x\"")], Verdict::Proceed);
    }

    #[test]
    fn if_modified_since_counts_without_if_none_match_only() {
        check(&[(IF_MODIFIED_SINCE, AT)], Verdict::NotModified);
        check(&[(IF_MODIFIED_SINCE, AFTER)], Verdict::NotModified);
        check(&[(IF_MODIFIED_SINCE, BEFORE)], Verdict::Proceed);
        check(&[(IF_MODIFIED_SINCE, "never")], Verdict::Proceed);
        check(&[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, AT)], Verdict::Proceed);
    }

    #[test]
    fn failed_comes_before_not_modified() {
        check(&[(IF_MATCH, "\"x\""), (IF_NONE_MATCH, "\"abc\"")], Verdict::Failed);
        check(&[(IF_MATCH, "\"abc\""), (IF_NONE_MATCH, "\"abc\"")], Verdict::NotModified);
    }

    #[test]
    fn dates_are_ignored_where_the_files_own_is_not_known() {
        let file = Validators { modified: None, ..file() };
        for name in [IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE] {
            assert_eq!(evaluate(&headers(&[(name, BEFORE)]), &file), Verdict::Proceed);
        }
        assert!(!range_counts(&headers(&[(IF_RANGE, AT)]), &file));
    }

    #[test]
    fn if_range_wants_exactly_this_version() {
        let counts = |fields: &[(HeaderName, &str)]| range_counts(&headers(fields), &file());
        assert!(counts(&[]));
        assert!(counts(&[(IF_RANGE, "\"abc\"")]));
        assert!(counts(&[(IF_RANGE, AT)]));
        for other in ["\"x\"", "W/\"abc\"", BEFORE, AFTER, "abc", "", "\"abc\", \"x\"", "*"] {
            assert!(!counts(&[(IF_RANGE, other)]), "{other}");
        }
        assert!(!counts(&[(IF_RANGE, "\"abc\""), (IF_RANGE, "\"abc\"")]));
    }

    #[test]
    fn file_times_become_whole_seconds_that_are_not_in_the_future() {
        let second = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(modified(5_999, second(100)), Some(second(5)));
        assert_eq!(modified(500_000, second(100)), Some(second(100)));
        assert_eq!(modified(i64::MAX, second(100)), Some(second(100)));
        assert_eq!(modified(i64::MAX, second(LAST_SECOND + 1)), None);
        assert_eq!(modified(0, second(100)), None);
        assert_eq!(modified(-1, second(100)), None);
    }
}
