//! A package over HTTP: which version, whole or in ranges, from here or on its way.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_DISPOSITION, HeaderValue,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Response};
use tnv_common::clock::unix_millis;
use tnv_package::MeetingId;
use tnv_web::body::{Body, Local, LocalFile, Piece};
use tnv_web::condition::Validators;
use tnv_web::query::Query;
use tnv_web::representation::{Extent, Plan};
use tnv_web::{Refusal, Representation};

use crate::node::{Node, Service};
use crate::pulls::{Pulls, Stage};
use crate::refusal;
use crate::served::{Download, Served};

/// A request for more ranges gets the whole package.
const MAX_RANGES: usize = 8;

/// Answers a GET or HEAD of a package.
pub(crate) async fn answer(
    node: &Arc<Node>,
    meeting: Option<&MeetingId>,
    request: &Parts,
    peer: SocketAddr,
) -> Result<Response<Body>, Refusal> {
    if node.service() != Service::Running {
        return Err(refusal::stopped());
    }
    let meeting = meeting.ok_or_else(refusal::no_package)?;
    let served = find(&node.pulls(), meeting, version(request)?).await?;
    let package = describe(&served);
    let mut answer = match package.plan(request, MAX_RANGES)? {
        Plan::Headed(answer) => answer,
        Plan::Bytes(extent) => {
            let body = body(&extent, Arc::new(served)).await?;
            let download = Download::begin(node.clone(), meeting.clone(), peer, body.len());
            package.with_bytes(&extent, request, body.followed(download))
        }
    };
    put_headers(answer.headers_mut(), meeting);
    Ok(answer)
}

/// The version that a request is about; the hub puts it into its redirects.
fn version(request: &Parts) -> Result<Option<blake3::Hash>, Refusal> {
    let version = Query::new(request.uri.query()).get("version").map_err(Refusal::bad)?;
    let parsed = version.map(blake3::Hash::from_hex).transpose();
    parsed.map_err(|_| Refusal::bad("version: expected 64 hexadecimal digits"))
}

/// The package, here or on its way. Where another version is wanted than the one here, the hub is asked.
async fn find(
    pulls: &Arc<Pulls>,
    meeting: &MeetingId,
    wanted: Option<blake3::Hash>,
) -> Result<Served, Refusal> {
    let fits = |found: blake3::Hash| match wanted {
        Some(wanted) if wanted != found => {
            Err(Refusal::conflict(format!("version {wanted} is not to be had here; the hub has {found} now")))
        }
        _ => Ok(()),
    };
    if let Some(reading) = pulls.store.read(meeting, unix_millis())
        && wanted.is_none_or(|wanted| wanted == reading.package().version())
    {
        return Ok(Served::Whole(reading));
    }
    match pulls.join(meeting).known().await {
        Stage::Pulling(draft) => {
            fits(draft.layout.manifest().version())?;
            Ok(Served::Coming(draft))
        }
        Stage::Done(package) => {
            fits(package.version())?;
            Ok(Served::Whole(package.read(unix_millis())))
        }
        Stage::Failed(error) => Err(refusal::pull(&error)),
        Stage::Asking => Err(refusal::stopped()),
    }
}

fn describe(served: &Served) -> Representation {
    let layout = served.layout();
    let validators = Validators { etag: layout.manifest().etag(), modified: None };
    // Another version may be there the next time, which the ETag tells.
    Representation::new(layout.len(), "application/zip".to_owned(), validators)
        .called("package")
        .cached("no-cache")
}

async fn body(extent: &Extent, served: Arc<dyn LocalFile>) -> Result<Body, Refusal> {
    let pieces = extent.pieces(|range| Piece::Local(Local::new(served.clone(), range)));
    Body::open(pieces).await.map_err(|error| Refusal::upstream(&error, &"a package"))
}

fn put_headers(headers: &mut HeaderMap, meeting: &MeetingId) {
    // Everybody may have it, and browsers come here by a redirect of the hub.
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let exposed = "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag";
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposed));
    // An id has no character that would have to be escaped.
    if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"meeting_{meeting}.zip\"")) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
}
