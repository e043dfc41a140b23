//! Packages: where they are to be had, the packages themselves, and what nodes need to make them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use blake3::Hash;
use hyper::header::{CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH, LOCATION};
use hyper::http::request::Parts as Head;
use hyper::{Method, Response, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tnv_package::{Layout, MeetingId, SyncAnswer};
use tnv_web::answer::{empty, json, put};
use tnv_web::body::{Body, Composed, Piece};
use tnv_web::condition::{self, Validators};
use tnv_web::query::Query;
use tnv_web::representation::{Plan, Representation};

use super::files::file_url;
use super::meetings::known;
use super::metalink::put_links;
use crate::audit::{Action, Outcome};
use crate::downloads::Subject;
use crate::meetings::Status;
use crate::object;
use crate::package::Package;
use crate::refusal::Refusal;
use crate::registry::{Asker, Choice, NodeId};
use crate::service::Service;

/// Where a package of this version is to be had, at a node or here.
pub(crate) fn package_url(base: &str, id: &MeetingId, version: Hash) -> String {
    format!("{base}/api/v1/meetings/{id}/download-package?version={version}")
}

/// Answers a client that wants a package: sends it to the best node that holds this version, or serves it.
pub(crate) async fn package(
    service: &Service,
    id: &MeetingId,
    head: &Head,
    peer: IpAddr,
) -> Result<Response<Body>, Refusal> {
    let (layout, changed_ms) = wanted(service, id, head).await?;
    let version = layout.manifest().version();
    let shown = describe(id, &layout, changed_ms);
    // What the client has already, it needs from nobody.
    let plan = shown.plan(head, service.max_ranges);
    if let Ok(Plan::Headed(response)) = plan
        && response.status() == StatusCode::NOT_MODIFIED
    {
        return Ok(response);
    }
    let goes = head.method == Method::GET;
    let has_fallback = service.downloads.packages() < service.config.max_fallbacks as usize;
    let asker = Asker { client: peer, goes, has_fallback };
    let chosen = service.nodes.lock().choose(id, version, asker, Instant::now(), &mut rand::rng());
    if let Some(choice) = chosen {
        if goes {
            let node = Some(choice.id.as_str());
            service.audit.note(Action::Redirect, id, peer, node, 0, Outcome::Done);
        }
        return Ok(redirect(&choice, id, version));
    }
    let others = service.nodes.lock().addresses(id, version, Instant::now(), &mut rand::rng());
    let mut response = send(service, id, layout, &shown, head, (Action::Package, peer, None)).await?;
    put_links(response.headers_mut(), &others, id, version);
    Ok(response)
}

/// Answers a node that wants a package, or a client that came by a Metalink.
pub(crate) async fn direct(
    service: &Service,
    id: &MeetingId,
    head: &Head,
    peer: IpAddr,
) -> Result<Response<Body>, Refusal> {
    let (layout, changed_ms) = wanted(service, id, head).await?;
    let node = Query::new(head.uri.query()).get("node_id").map_err(Refusal::bad)?;
    let shown = describe(id, &layout, changed_ms);
    let action = if node.is_some() { Action::NodePackage } else { Action::Package };
    send(service, id, layout, &shown, head, (action, peer, node)).await
}

/// Answers a node that wants the manifest.
pub(crate) async fn sync(
    service: &Service,
    id: &MeetingId,
    head: &Head,
    peer: IpAddr,
) -> Result<Response<Body>, Refusal> {
    let node = Query::new(head.uri.query()).get("node_id").map_err(Refusal::bad)?;
    if let Some(node) = &node {
        let node = NodeId::new(node).map_err(|error| Refusal::bad(error.to_string()))?;
        if service.nodes.lock().node(&node).is_none() {
            return Err(Refusal::forbidden("Node not registered"));
        }
    }
    let known = known(service, id).await?;
    let etag = known.layout.manifest().etag();
    let status = known.whole.meeting.status;
    // That a meeting has ended must be heard, though its package is the same.
    let has_it = head
        .headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .any(|tags| tags.to_str().is_ok_and(|tags| tags.split(',').any(|tag| tag.trim() == etag)));
    let mut response = if has_it && status != Status::Ended {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        let base = service.base_url(head);
        let answer = SyncAnswer::new(&known.layout, status.as_str(), |member| {
            file_url(&base, id, &member.id, member.path.as_str())
        });
        json(&answer)?
    };
    put(response.headers_mut(), ETAG, &etag);
    let bytes = response.body().len();
    service.audit.note(Action::Sync, id, peer, node.as_deref(), bytes, Outcome::Done);
    Ok(response)
}

/// The version that a request is for, and when it was made: the one in its address, else the newest.
///
/// # Errors
/// 404 if there is no such meeting; 409 if its package has another version now, and nobody remembers this one.
pub(super) async fn wanted(service: &Service, id: &MeetingId, head: &Head) -> Result<(Layout, i64), Refusal> {
    let known = known(service, id).await?;
    let newest = known.version();
    let version = match Query::new(head.uri.query()).get("version").map_err(Refusal::bad)? {
        Some(text) => Hash::from_hex(text.trim_matches('"'))
            .map_err(|_| Refusal::bad("version is not 64 hexadecimal digits"))?,
        None => newest,
    };
    if version == newest {
        return Ok((known.layout.clone(), known.whole.meeting.changed_ms));
    }
    match service.packages.version(id, version) {
        Some(layout) => Ok((layout, 0)),
        None => Err(Refusal::conflict(format!("the package has another version now: {newest}"))),
    }
}

fn describe(id: &MeetingId, layout: &Layout, changed_ms: i64) -> Representation {
    let validators = Validators {
        etag: layout.manifest().etag(),
        modified: condition::modified(changed_ms, SystemTime::now()),
    };
    Representation::new(layout.len(), "application/zip".to_owned(), validators)
        .called("package")
        .attached(&format!("meeting_{id}.zip"))
        .cached("no-cache")
}

async fn send(
    service: &Service,
    id: &MeetingId,
    layout: Layout,
    shown: &Representation,
    head: &Head,
    (action, peer, node): (Action, IpAddr, Option<String>),
) -> Result<Response<Body>, Refusal> {
    let subject = Subject { action, meeting: id.clone(), path: None, peer, node, size: 0 };
    let package = Arc::new(Package { source: service.source(id)?, layout });
    let cut = |range| Piece::Composed(Composed::new(package.clone(), range));
    object::send(service, shown, head, cut, subject).await
}

fn redirect(choice: &Choice, id: &MeetingId, version: Hash) -> Response<Body> {
    let mut response = empty(StatusCode::FOUND);
    let headers = response.headers_mut();
    put(headers, LOCATION, &package_url(&format!("http://{}", choice.address), id, version));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    put_links(headers, &choice.others, id, version);
    response
}

/// A path of which each part is written as a URL has it.
pub(crate) fn encode_path(path: &str) -> String {
    let parts = path.split('/').map(|part| utf8_percent_encode(part, NON_ALPHANUMERIC).to_string());
    parts.collect::<Vec<_>>().join("/")
}
