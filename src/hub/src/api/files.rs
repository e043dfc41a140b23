//! Files of meetings: uploaded, read, removed.

use std::net::IpAddr;
use std::time::SystemTime;

use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};
use hyper::http::request::Parts as Head;
use hyper::{HeaderMap, Response, StatusCode};
use serde::Serialize;
use tnv_common::clock::unix_millis;
use tnv_package::{MeetingId, MemberPath, crc32_digits};
use tnv_proto::Checksum;
use tnv_web::answer::{empty, json_with};
use tnv_web::body::{self, Body, Piece};
use tnv_web::condition::{self, Validators};
use tnv_web::form::{Boundary, FormParts};
use tnv_web::inflow::Inflow;
use tnv_web::query::Query;
use tnv_web::representation::Representation;

use super::meetings::known;
use super::packages::encode_path;
use crate::audit::Action;
use crate::downloads::Subject;
use crate::intake::NewFile;
use crate::meetings::MeetingFile;
use crate::object;
use crate::refusal::Refusal;
use crate::service::Service;

/// A file as operators see it.
#[derive(Serialize)]
struct Stored {
    id: String,
    path: String,
    size: u64,
    content_type: String,
    checksum: String,
    crc32: String,
    created_ms: i64,
    url: String,
}

#[derive(Serialize)]
struct Uploaded {
    files: Vec<Stored>,
}

/// Where one version of a file is to be had.
pub(crate) fn file_url(base: &str, meeting: &MeetingId, id: &str, path: &str) -> String {
    format!("{base}/uploads/{meeting}/{id}/{}", encode_path(path))
}

/// Answers a POST of a form with files in it, all of them named `file`. Those before one that fails are there.
pub(crate) async fn upload(
    service: &Service,
    id: &MeetingId,
    head: &Head,
    body: Inflow,
) -> Result<Response<Body>, Refusal> {
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let boundary = Boundary::of(content_type).map_err(Refusal::bad)?.ok_or_else(|| {
        let detail =
            "send a form (multipart/form-data) with parts named file, or PUT one file under its path";
        Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    })?;
    // Before anything is read: a client that waits for 100 Continue sends nothing in vain.
    known(service, id).await?;
    let mut form = FormParts::new(body, boundary);
    let mut files = Vec::new();
    while let Some(part) = form.next().await? {
        if part.name.is_empty() {
            return Err(Refusal::bad("a file in the form has no name: no file was chosen"));
        }
        let new = NewFile { path: MemberPath::cleaned(&part.name), content_type: part.content_type };
        let stored = service.intake.store_part(id, new, &mut form).await;
        files.push(stored.map_err(|refusal| with_those_before(refusal, &files))?);
    }
    if files.is_empty() {
        return Err(Refusal::bad("the form has no file; its field must be called \"file\""));
    }
    let base = service.base_url(head);
    let files = files.iter().map(|file| stored(file, id, &base)).collect();
    json_with(StatusCode::CREATED, &Uploaded { files })
}

/// Answers a PUT of one file.
pub(crate) async fn put(
    service: &Service,
    id: &MeetingId,
    path: &str,
    head: &Head,
    body: Inflow,
) -> Result<Response<Body>, Refusal> {
    let path = MemberPath::new(path).map_err(|error| Refusal::bad(error.to_string()))?;
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let new = NewFile { path, content_type: content_type.to_owned() };
    let file = service.intake.store_body(id, new, body, length(&head.headers)).await?;
    json_with(StatusCode::CREATED, &stored(&file, id, &service.base_url(head)))
}

/// Answers a GET of a file by its id or path.
pub(crate) async fn read(
    service: &Service,
    id: &MeetingId,
    name: &str,
    head: &Head,
    peer: IpAddr,
) -> Result<Response<Body>, Refusal> {
    let known = known(service, id).await?;
    let file = known.file(name).ok_or_else(|| no_file(name))?.clone();
    send(service, id, file, head, (peer, None), "no-cache").await
}

/// Answers a GET of one version of a file, which may be gone from its meeting for a while.
pub(crate) async fn version(
    service: &Service,
    (id, file, path): (&MeetingId, &str, &str),
    head: &Head,
    peer: IpAddr,
) -> Result<Response<Body>, Refusal> {
    // Mostly it is there, and no database has to be asked.
    let known = service.packages.known(id).await?;
    let current = known.and_then(|known| known.file(file).filter(|found| found.id == file).cloned());
    let found = match current {
        Some(current) => Some(current),
        None => service.meetings.file(file).await?,
    };
    let found = found.filter(|found| found.meeting == id.as_str() && found.path == path);
    let found = found.ok_or_else(|| no_file(path))?;
    let node = Query::new(head.uri.query()).get("node_id").map_err(Refusal::bad)?;
    // Its address is that of these bytes for ever.
    send(service, id, found, head, (peer, node), "public, max-age=31536000, immutable").await
}

/// Answers a DELETE of a file by its id or path.
pub(crate) async fn delete(service: &Service, id: &MeetingId, name: &str) -> Result<Response<Body>, Refusal> {
    let known = known(service, id).await?;
    let file = known.file(name).ok_or_else(|| no_file(name))?;
    let removed = service.meetings.remove_file(id.as_str(), &file.id, unix_millis()).await;
    service.packages.forget(id);
    if !removed? {
        return Err(no_file(name));
    }
    tracing::info!(meeting = %id, path = file.path, "a file was removed");
    Ok(empty(StatusCode::NO_CONTENT))
}

async fn send(
    service: &Service,
    id: &MeetingId,
    file: MeetingFile,
    head: &Head,
    (peer, node): (IpAddr, Option<String>),
    cache_control: &'static str,
) -> Result<Response<Body>, Refusal> {
    let name = file.path.rsplit('/').next().unwrap_or(&file.path);
    let validators = Validators {
        etag: format!("\"{}\"", file.blake3),
        modified: condition::modified(file.created_ms, SystemTime::now()),
    };
    let content_type = Some(file.content_type.clone()).filter(|kind| !kind.is_empty());
    let content_type = content_type.unwrap_or_else(|| "application/octet-stream".to_owned());
    let shown = Representation::new(file.size, content_type, validators).attached(name).cached(cache_control);
    let path = Some(file.path.clone());
    let subject = Subject { action: Action::File, meeting: id.clone(), path, peer, node, size: 0 };
    let checksum = Checksum::from_hex(&file.blake3);
    let stored = match checksum {
        Some(checksum) => service.source(id)?.file(&file.id, file.size, checksum),
        None => None,
    };
    let stored = stored.ok_or_else(|| {
        let detail = "the row of this file does not say what it is";
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    })?;
    let cut = |range| Piece::Stored(body::Stored::new(stored.clone(), range));
    object::send(service, &shown, head, cut, subject).await
}

fn stored(file: &MeetingFile, meeting: &MeetingId, base: &str) -> Stored {
    Stored {
        id: file.id.clone(),
        path: file.path.clone(),
        size: file.size,
        content_type: file.content_type.clone(),
        checksum: file.blake3.clone(),
        crc32: crc32_digits(file.crc32),
        created_ms: file.created_ms,
        url: file_url(base, meeting, &file.id, &file.path),
    }
}

/// How long a body is, if its header says so.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn no_file(name: &str) -> Refusal {
    Refusal::not_found(format!("File not found: {name}"))
}

fn with_those_before(refusal: Refusal, files: &[MeetingFile]) -> Refusal {
    if files.is_empty() {
        return refusal;
    }
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let detail = format!("{}; stored before: {}", refusal.sentence(), paths.join(", "));
    refusal.saying(detail)
}
