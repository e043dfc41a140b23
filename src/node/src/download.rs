//! A package over HTTP: which version, whole or in ranges, from here or on its way.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL,
    CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue, RANGE,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Response, StatusCode};
use tnv_common::clock::unix_millis;
use tnv_package::{Layout, MeetingId};

use crate::body::{Body, Download, PackageReader, Source};
use crate::node::{Node, Service};
use crate::pulls::{Pulls, Stage};
use crate::refusal::Refusal;
use crate::web::{ByteRange, Piece, Selection, Validators, Verdict, condition, multipart, range};

const ZIP: &str = "application/zip";
/// A request for more ranges gets the whole package.
const MAX_RANGES: usize = 8;

/// Answers a GET or HEAD of a package.
pub(crate) async fn answer(
    node: &Arc<Node>,
    meeting: Option<MeetingId>,
    request: &Parts,
    peer: SocketAddr,
) -> Result<Response<Body>, Refusal> {
    if node.service() != Service::Running {
        return Err(Refusal::stopped());
    }
    let meeting = meeting.ok_or_else(Refusal::no_package)?;
    let (layout, source) = find(&node.pulls(), &meeting, version(request)?).await?;
    send(node, meeting, request, peer, &layout, source)
}

/// The version that a request is about; the hub puts it into its redirects.
fn version(request: &Parts) -> Result<Option<blake3::Hash>, Refusal> {
    let pairs = request.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let Some((_, version)) = pairs.into_iter().find(|(name, _)| *name == "version") else { return Ok(None) };
    let parsed = blake3::Hash::from_hex(version);
    parsed.map(Some).map_err(|_| Refusal::bad("version: expected 64 hexadecimal digits"))
}

/// The package, here or on its way. Where another version is wanted than the one here, the hub is asked.
async fn find(
    pulls: &Arc<Pulls>,
    meeting: &MeetingId,
    wanted: Option<blake3::Hash>,
) -> Result<(Layout, Source), Refusal> {
    let fits = |found: blake3::Hash| match wanted {
        Some(wanted) if wanted != found => {
            let detail = format!("version {wanted} is not to be had here; the hub has {found} now");
            Err(Refusal::new(StatusCode::CONFLICT, detail))
        }
        _ => Ok(()),
    };
    if let Some(reading) = pulls.store.read(meeting, unix_millis())
        && wanted.is_none_or(|wanted| wanted == reading.package().version())
    {
        return Ok((reading.package().layout.clone(), Source::Whole(reading)));
    }
    match pulls.join(meeting).known().await {
        Stage::Pulling(draft) => {
            fits(draft.layout.manifest().version())?;
            Ok((draft.layout.clone(), Source::Coming(draft)))
        }
        Stage::Done(package) => {
            fits(package.version())?;
            Ok((package.layout.clone(), Source::Whole(package.read(unix_millis()))))
        }
        Stage::Failed(error) => Err(Refusal::pull(&error)),
        Stage::Asking => Err(Refusal::stopped()),
    }
}

fn send(
    node: &Arc<Node>,
    meeting: MeetingId,
    request: &Parts,
    peer: SocketAddr,
    layout: &Layout,
    source: Source,
) -> Result<Response<Body>, Refusal> {
    let (headers, size) = (&request.headers, layout.len());
    let validators = Validators { etag: layout.manifest().etag(), modified: None };
    let mut response = Response::new(Body::empty());
    put_headers(response.headers_mut(), &validators, &meeting);
    match condition::evaluate(headers, &validators) {
        Verdict::Proceed => {}
        Verdict::NotModified => {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(response);
        }
        Verdict::Failed => {
            let detail = "the package is not the version that the request is for";
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, detail));
        }
    }
    let ranges = match selection(request, &validators, size) {
        Selection::Whole => Vec::new(),
        Selection::Ranges(ranges) => ranges,
        Selection::Unsatisfiable => return Err(unsatisfiable(size)),
    };
    let pieces = pieces(&mut response, &ranges, size);
    let len = pieces.iter().map(Piece::len).sum::<u64>();
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(len));
    if request.method != Method::HEAD {
        let download = Download::begin(node.clone(), meeting, peer, len);
        *response.body_mut() = Body::Package(Box::new(PackageReader::new(source, pieces, download)));
    }
    Ok(response)
}

/// Ranges are defined for GET alone (RFC 9110, section 14.2).
fn selection(request: &Parts, validators: &Validators, size: u64) -> Selection {
    let mut values = request.headers.get_all(RANGE).iter();
    match (values.next(), values.next()) {
        (Some(value), None)
            if request.method == Method::GET && condition::range_counts(&request.headers, validators) =>
        {
            range::select(value.as_bytes(), size, MAX_RANGES)
        }
        _ => Selection::Whole,
    }
}

/// The pieces of the body, and what the header says of them.
fn pieces(response: &mut Response<Body>, ranges: &[ByteRange], size: u64) -> Vec<Piece> {
    if ranges.is_empty() {
        return ByteRange::whole(size).map(Piece::File).into_iter().collect();
    }
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let (name, value, pieces) = match ranges {
        [range] => (CONTENT_RANGE, format!("bytes {range}/{size}"), vec![Piece::File(*range)]),
        ranges => {
            let boundary = format!("{:032x}", rand::random::<u128>());
            let pieces = multipart::layout(ranges, size, ZIP, &boundary);
            (CONTENT_TYPE, format!("multipart/byteranges; boundary={boundary}"), pieces)
        }
    };
    if let Ok(value) = HeaderValue::from_str(&value) {
        response.headers_mut().insert(name, value);
    }
    pieces
}

fn put_headers(headers: &mut HeaderMap, validators: &Validators, meeting: &MeetingId) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(ZIP));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // Another version may be there the next time, which the ETag tells.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Everybody may have it, and browsers come here by a redirect of the hub.
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let exposed = "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag";
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposed));
    for (name, value) in [
        (ETAG, validators.etag.clone()),
        // An id has no character that would have to be escaped.
        (CONTENT_DISPOSITION, format!("attachment; filename=\"meeting_{meeting}.zip\"")),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
}

fn unsatisfiable(size: u64) -> Refusal {
    let detail = format!("the range lies outside the package, which has {size} bytes");
    let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, detail)
        .with(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    match HeaderValue::from_str(&format!("bytes */{size}")) {
        Ok(missed) => refusal.with(CONTENT_RANGE, missed),
        Err(_) => refusal,
    }
}
