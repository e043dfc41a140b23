//! Where a package is to be had, and what its bytes are: a Metalink (RFC 5854), and the links that lead there (RFC 6249).

use std::time::Instant;

use blake3::Hash;
use hyper::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue, LINK, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts as Head;
use hyper::{HeaderMap, Response};
use tnv_metalink::{EXTENSION, File, MEDIA_TYPE, Metalink, Mirror};
use tnv_package::{Layout, MeetingId};
use tnv_web::Body;
use tnv_web::answer::put;
use tnv_web::disposition::{self, Disposition};

use super::packages::{package_url, wanted};
use crate::metalinks::Hashes;
use crate::package::Package;
use crate::refusal::Refusal;
use crate::registry::Address;
use crate::service::Service;

/// In which order clients are to ask: nodes first, among them any.
const NODES: u32 = 1;
const HUB: u32 = 2;

/// Answers a client that wants to fetch a package from several servers.
pub(crate) async fn metalink(
    service: &Service,
    id: &MeetingId,
    head: &Head,
) -> Result<Response<Body>, Refusal> {
    let (layout, _) = wanted(service, id, head).await?;
    let package = Package { source: service.source(id)?, layout: layout.clone() };
    let hashes = service.metalinks.hashes(package).await;
    let version = layout.manifest().version();
    let nodes = service.nodes.lock().addresses(id, version, Instant::now(), &mut rand::rng());
    let name = format!("meeting_{id}.zip");
    let mut response = Response::new(Body::text(document(
        &name,
        &layout,
        hashes,
        mirrors(&service.base_url(head), &nodes, id, version),
    )));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    // The hashes stay as they are, but not who else has the package.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let disposition = disposition::header(Disposition::Attachment, &format!("{name}.{EXTENSION}"));
    put(headers, CONTENT_DISPOSITION, &disposition);
    Ok(response)
}

/// Adds to an answer where this version's Metalink is, and which nodes have the same bytes.
pub(super) fn put_links(headers: &mut HeaderMap, nodes: &[Address], id: &MeetingId, version: Hash) {
    let described =
        format!("<package.{EXTENSION}?version={version}>; rel=describedby; type=\"{MEDIA_TYPE}\"");
    let duplicates = nodes.iter().enumerate().map(|(place, node)| {
        let url = package_url(&format!("http://{node}"), id, version);
        format!("<{url}>; rel=duplicate; pri={}", place + 1)
    });
    for link in [described].into_iter().chain(duplicates) {
        if let Ok(link) = HeaderValue::from_str(&link) {
            headers.append(LINK, link);
        }
    }
}

fn mirrors(base: &str, nodes: &[Address], id: &MeetingId, version: Hash) -> Vec<Mirror> {
    let own = format!("{base}/api/v1/meetings/{id}/download-package-direct?version={version}");
    let nodes = nodes.iter().map(|node| (package_url(&format!("http://{node}"), id, version), NODES));
    let mirrors = nodes.chain([(own, HUB)]);
    mirrors.map(|(url, priority)| Mirror { priority, ..Mirror::new(url) }).collect()
}

fn document(name: &str, layout: &Layout, hashes: Option<Hashes>, mirrors: Vec<Mirror>) -> String {
    let (whole, pieces) = hashes.map(|hashes| (hashes.whole, hashes.pieces)).unzip();
    let file = File {
        name: name.to_owned(),
        size: Some(layout.len()),
        hashes: whole.into_iter().collect(),
        pieces,
        mirrors,
    };
    tnv_metalink::write(&Metalink { files: vec![file] })
}
