//! Where a package is to be had, and what its bytes are: a Metalink (RFC 5854), and the links that lead there (RFC 6249).

use std::time::{Duration, Instant};

use blake3::Hash;
use hyper::header::{HeaderValue, LINK};
use hyper::http::request::Parts as Head;
use hyper::{HeaderMap, Response};
use tnv_metalink::{EXTENSION, File, MEDIA_TYPE, Mirror};
use tnv_package::{MeetingId, Segment};
use tnv_web::metalink::{Chunks, Hashes, HashesError};
use tnv_web::{Body, metalink as answers};
use tokio::time::timeout;

use super::packages::{package_url, wanted};
use crate::package::Package;
use crate::refusal::Refusal;
use crate::registry::Address;
use crate::service::Service;

/// In which order clients are to ask: nodes first, among them any.
const NODES: u32 = 1;
const HUB: u32 = 2;

/// How long who asks waits for hashes that are not there yet: less than a client has patience for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers a client that wants to fetch a package from several servers.
pub(crate) async fn metalink(
    service: &Service,
    id: &MeetingId,
    head: &Head,
) -> Result<Response<Body>, Refusal> {
    let (layout, _) = wanted(service, id, head).await?;
    let package = Package { source: service.source(id)?, layout: layout.clone() };
    let hashes = hashes(service, package).await;
    let version = layout.manifest().version();
    let nodes = service.nodes.lock().addresses(id, version, Instant::now(), &mut rand::rng());
    let (whole, pieces) = hashes.map(|hashes| (hashes.whole, hashes.pieces)).unzip();
    Ok(answers::answer(File {
        name: format!("meeting_{id}.zip"),
        size: Some(layout.len()),
        hashes: whole.into_iter().collect(),
        pieces,
        mirrors: mirrors(&service.base_url(head), &nodes, id, version),
    }))
}

/// `None`: they will be there later, or the cluster does not give the bytes now.
async fn hashes(service: &Service, package: Package) -> Option<Hashes> {
    let (len, version) = (package.layout.len(), package.layout.manifest().version());
    let read = async move |chunks| read(&package, &chunks).await;
    match timeout(PATIENCE, service.hashes.of(len, version.to_string(), read)).await.ok()? {
        Ok(hashes) => Some(hashes),
        Err(error) => {
            tracing::warn!(%version, %error, "a package cannot be read for its hashes");
            None
        }
    }
}

async fn read(package: &Package, chunks: &Chunks) -> Result<(), HashesError> {
    for segment in package.layout.segments(0..package.layout.len()) {
        match segment {
            Segment::Bytes(bytes) => chunks.send(bytes).await?,
            Segment::Member { index, offset, len } => {
                let file = package.member(index).ok_or(HashesError::Length)?;
                let download = file.client.download(&file.key, offset, len, file.checksum).await?;
                chunks.send_all(download).await?;
            }
        }
    }
    Ok(())
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
