//! What the head of an answer means for what was asked. Pure.

use std::time::{Duration, SystemTime};

use reqwest::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE,
    ETAG, HeaderMap, LAST_MODIFIED, LINK, RETRY_AFTER,
};
use reqwest::{StatusCode, Url};
use tnv_metalink::{Link, MEDIA_TYPE, Mirror, parse_digest, parse_links, parse_repr_digest};

use crate::failure::{Failure, FailureKind};
use crate::http::disposition::file_name;
use crate::source::{Hints, Wanted};
use crate::version::{Facts, Validators};

/// An answer with the wanted bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) facts: Facts,
    /// Bytes that come before them.
    pub(super) skip: u64,
    /// Bytes that come then.
    pub(super) length: u64,
    pub(super) hints: Hints,
}

/// The Range header for what is wanted; `None` where that is the whole file.
pub(super) fn range(wanted: &Wanted) -> Option<String> {
    let until = wanted.until.filter(|until| wanted.size != Some(*until));
    match (wanted.from, until) {
        (0, None) => None,
        (from, None) => Some(format!("bytes={from}-")),
        (from, Some(until)) => Some(format!("bytes={from}-{}", until.saturating_sub(1))),
    }
}

/// The If-Range header that makes a part one of the version that is known.
pub(super) fn condition(wanted: &Wanted) -> Option<&str> {
    let validators = &wanted.version.as_ref()?.validators;
    validators.etag.as_deref().or(validators.modified.as_deref())
}

/// What an answer is to what was wanted. `url` is where it came from in the end.
pub(super) fn judge(
    wanted: &Wanted,
    status: StatusCode,
    headers: &HeaderMap,
    url: &Url,
    now: SystemTime,
) -> Result<Answer, Failure> {
    match status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => {}
        StatusCode::RANGE_NOT_SATISFIABLE => return Err(not_satisfiable(wanted, headers)),
        status => return Err(refusal(status, headers, now)),
    }
    if let Some(coding) =
        text(headers, CONTENT_ENCODING).filter(|coding| !coding.eq_ignore_ascii_case("identity"))
    {
        return Err(Failure::invalid(format!(
            "it sends the file in the coding {coding:?}, which was not asked for"
        )));
    }
    let hints = hints(headers, url);
    match status {
        StatusCode::PARTIAL_CONTENT => partial(wanted, headers, hints),
        _ => whole(wanted, headers, hints),
    }
}

/// What a status other than success means.
pub(super) fn refusal(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Failure {
    let kind = match status.as_u16() {
        404 | 410 => FailureKind::NotFound,
        408 | 423 | 425 | 429 | 502..=504 => FailureKind::Busy,
        500..=599 => FailureKind::Failing,
        _ => FailureKind::Refused,
    };
    Failure { retry_after: retry_after(headers, now), ..Failure::new(kind, format!("it answers {status}")) }
}

fn whole(wanted: &Wanted, headers: &HeaderMap, hints: Hints) -> Result<Answer, Failure> {
    let announced = length(headers)?;
    let facts = facts(headers, announced);
    if hints.metalink.is_some() {
        return Ok(Answer { facts, skip: 0, length: announced.unwrap_or_default(), hints });
    }
    let Some(size) = announced.or(wanted.size) else {
        return Err(Failure::invalid("it does not tell how long the file is"));
    };
    // Another version is told as such, whatever it would cost.
    let same_size = wanted.size.is_none_or(|wanted| wanted == size);
    if wanted.from > wanted.skip_limit && same_size {
        let text = format!("it gives the file from its beginning only, and {} bytes are there", wanted.from);
        return Err(Failure::new(FailureKind::WholeOnly, text));
    }
    let skip = wanted.from.min(size);
    let ranges = if wanted.from > 0 { Some(false) } else { facts.ranges };
    Ok(Answer { facts: Facts { ranges, ..facts }, skip, length: size - skip, hints })
}

fn partial(wanted: &Wanted, headers: &HeaderMap, hints: Hints) -> Result<Answer, Failure> {
    let value = text(headers, CONTENT_RANGE)
        .ok_or_else(|| Failure::invalid("it sends a part and does not say which"))?;
    let wrong = |why: &str| Failure::invalid(format!("it sends the part {value:?}: {why}"));
    let part = ContentRange::parse(value).ok_or_else(|| wrong("that is none"))?;
    if part.first != wanted.from {
        return Err(wrong(&format!("it should begin at {}", wanted.from)));
    }
    if wanted.until.is_some_and(|until| part.last >= until) {
        return Err(wrong("that is more than was asked for"));
    }
    let count = part.last - part.first + 1;
    if length(headers)?.is_some_and(|length| length != count) {
        return Err(wrong("it announces another number of bytes"));
    }
    let facts = Facts { ranges: Some(true), ..facts(headers, part.size) };
    Ok(Answer { facts, skip: 0, length: count, hints })
}

/// The file ends before what is wanted: it is another one, or the server is mistaken.
fn not_satisfiable(wanted: &Wanted, headers: &HeaderMap) -> Failure {
    let size = text(headers, CONTENT_RANGE)
        .and_then(|value| value.trim().strip_prefix("bytes */")?.parse::<u64>().ok());
    match size {
        Some(size) if size <= wanted.from => Failure::changed(format!("it has {size} bytes there")),
        _ => Failure::invalid(format!("it does not give the bytes from {} on", wanted.from)),
    }
}

fn facts(headers: &HeaderMap, size: Option<u64>) -> Facts {
    let digests =
        |name: &str| headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>();
    let mut hashes: Vec<_> = digests("repr-digest").into_iter().flat_map(parse_repr_digest).collect();
    hashes.extend(digests("digest").into_iter().flat_map(parse_digest));
    let ranges = match text(headers, ACCEPT_RANGES) {
        Some("none") => Some(false),
        _ => None,
    };
    Facts { size, validators: validators(headers), hashes, ranges }
}

/// The validators that change with every byte: weak entity tags do not, and dates do only if the file is older than its
/// answer (RFC 9110, section 8.8.2.2).
fn validators(headers: &HeaderMap) -> Validators {
    let etag =
        text(headers, ETAG).filter(|etag| etag.len() >= 2 && etag.starts_with('"') && etag.ends_with('"'));
    let modified = text(headers, LAST_MODIFIED).filter(|modified| {
        let date = |text: &str| httpdate::parse_http_date(text).ok();
        match (date(modified), text(headers, DATE).map(date)) {
            (Some(modified), Some(Some(date))) => modified + Duration::from_secs(1) <= date,
            (modified, None) => modified.is_some(),
            _ => false,
        }
    });
    Validators { etag: etag.map(str::to_owned), modified: modified.map(str::to_owned) }
}

pub(super) fn hints(headers: &HeaderMap, url: &Url) -> Hints {
    let is_metalink = |value: &str| {
        value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(MEDIA_TYPE))
    };
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()).flat_map(parse_links);
    let name = headers.get(CONTENT_DISPOSITION).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let mut hints = Hints { name: name.and_then(|value| file_name(&value)), ..Hints::default() };
    if text(headers, CONTENT_TYPE).is_some_and(is_metalink) {
        hints.metalink = Some(url.to_string());
    }
    for link in links {
        let Ok(target) = url.join(&link.target).map(String::from) else { continue };
        let Link { priority, location, .. } = &link;
        if link.is("describedby") && link.media_type.as_deref().is_some_and(is_metalink) {
            hints.described_by.push(target);
        } else if link.is("duplicate") {
            let priority = priority.unwrap_or(Mirror::LOWEST);
            hints.duplicates.push(Mirror { url: target, priority, location: location.clone() });
        }
    }
    hints
}

/// The announced length of the body; `None` if none is.
fn length(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    let Some(value) = text(headers, CONTENT_LENGTH) else { return Ok(None) };
    value.parse().map(Some).map_err(|_| Failure::invalid(format!("{value:?} is no length")))
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = text(headers, RETRY_AFTER)?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

fn text(headers: &HeaderMap, name: reqwest::header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// `bytes FIRST-LAST/SIZE`.
#[derive(Debug, PartialEq, Eq)]
struct ContentRange {
    first: u64,
    last: u64,
    /// `None` of a server that does not know.
    size: Option<u64>,
}

impl ContentRange {
    fn parse(value: &str) -> Option<ContentRange> {
        let number =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
        let (range, size) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.trim().split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        let size = match size.trim() {
            "*" => None,
            size => Some(number(size)?),
        };
        (first <= last && last < u64::MAX && size.is_none_or(|size| last < size)).then_some(ContentRange {
            first,
            last,
            size,
        })
    }
}

#[cfg(test)]
mod tests;
