//! Resumable uploads: tus 1.0 with creation, creation-with-upload, termination, checksum and expiration.
//!
//! An upload's id is that of the file it becomes, and all that is known of it lies at a storage: any gateway can go
//! on with it, whatever became of the one that began it.

mod checksum;
mod metadata;
mod part;

use std::io::ErrorKind;
use std::time::{Duration, UNIX_EPOCH};

use hyper::header::{CACHE_CONTROL, HeaderName, HeaderValue, LOCATION};
use hyper::http::request::Parts as Head;
use hyper::{HeaderMap, Method, Response, StatusCode};
use tnv_client::{ClientError, Parts, new_file_id};
use tnv_proto::{AppId, Attributes, Checksum, FileKey, UploadProgress, UserId};

use crate::copies;
use crate::service::Gateway;
use crate::unfinished::Unfinished;
use crate::upload::{check_size, labels};
use checksum::ALGORITHMS;
use part::{Broken, Part};
use tnv_web::{Body, Payload, Refusal};

pub(crate) use part::CheckingRoom;

const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
const EXTENSIONS: HeaderValue =
    HeaderValue::from_static("creation,creation-with-upload,termination,checksum,expiration");

const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");

/// The method that is meant: some clients can send POST only and name the real one in a header.
pub(crate) fn method(request: &Head) -> Method {
    let named = request.headers.get("x-http-method-override");
    named.and_then(|name| Method::from_bytes(name.as_bytes()).ok()).unwrap_or_else(|| request.method.clone())
}

/// Adds what every answer of this protocol has.
pub(crate) fn mark(headers: &mut HeaderMap) {
    headers.insert(RESUMABLE, VERSION);
}

/// Adds what an OPTIONS request is told.
pub(crate) fn describe(headers: &mut HeaderMap, max_size: u64) {
    headers.insert(TUS_VERSION, VERSION);
    headers.insert("tus-extension", EXTENSIONS);
    headers.insert("tus-checksum-algorithm", HeaderValue::from_static(ALGORITHMS));
    headers.insert("tus-max-size", HeaderValue::from(max_size));
}

/// Refuses a client of another version.
///
/// # Errors
/// 412 if it is not 1.0.0.
pub(crate) fn check_version(headers: &HeaderMap) -> Result<(), Refusal> {
    match headers.get(RESUMABLE) {
        Some(version) if version == VERSION => Ok(()),
        _ => {
            let sentence = "Tus-Resumable must be 1.0.0";
            Err(Refusal::new(StatusCode::PRECONDITION_FAILED, sentence).with(TUS_VERSION, VERSION))
        }
    }
}

/// Answers a POST: begins an upload, with its first bytes if the request has some.
pub(crate) async fn create(
    gateway: &Gateway,
    (app, user): (&AppId, &UserId),
    request: &Head,
    payload: Payload,
) -> Result<Response<Body>, Refusal> {
    let headers = &request.headers;
    if headers.contains_key("upload-defer-length") || headers.contains_key("upload-concat") {
        return Err(Refusal::bad("uploads of unknown length, or in parallel parts, are not possible here"));
    }
    let size = number(headers, LENGTH)?;
    check_size(gateway, size)?;
    let (name, content_type) = metadata::labels(text(headers, METADATA)?).map_err(Refusal::bad)?;
    let labels = labels(&name, &content_type)?;
    let client = copies::client(gateway, headers)?;
    let first = match payload.is_empty() {
        true => None,
        false => Some(Part::of(request, &payload, 0, size)?),
    };
    let key = FileKey { app: app.clone(), user: user.clone(), file: new_file_id(user) };
    // Until its address is told nobody could go on with it.
    let unfinished = Unfinished::new(&gateway.client, &key);
    let mut parts = match client.begin(&key, size, &labels).await {
        Ok(parts) => parts,
        Err(error) => {
            unfinished.keep();
            return Err(Refusal::upload(&error, &key));
        }
    };
    if let Some(part) = &first
        && let Err(refusal) = fill(&mut parts, gateway, &key, part, payload).await
    {
        unfinished.forget().await;
        return Err(refusal);
    }
    let mut response = empty(StatusCode::CREATED);
    let progress = parts.progress();
    if progress.offset == progress.size {
        copies::tell(response.headers_mut(), finish(parts, &key).await?);
    }
    put(response.headers_mut(), LOCATION, &gateway.owner.path("tus", &key));
    tell(response.headers_mut(), progress);
    unfinished.keep();
    Ok(response)
}

/// Appends the first part of a new upload. If it breaks off, the client can go on where it stands.
async fn fill(
    parts: &mut Parts,
    gateway: &Gateway,
    key: &FileKey,
    part: &Part,
    payload: Payload,
) -> Result<(), Refusal> {
    let _uploading = payload.counted();
    match part.append(parts, gateway, payload).await {
        Err(Broken::Refused(refusal)) => Err(refusal),
        // It has left: the address would not reach it.
        Err(Broken::Failed(error)) if is_gone(&error) => {
            Err(Refusal::received(&error, key, "nothing was stored"))
        }
        Err(Broken::Failed(error)) => {
            tracing::debug!(%key, %error, "the first bytes of an upload failed");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Answers a HEAD: how far an upload has come.
pub(crate) async fn progress(gateway: &Gateway, key: &FileKey) -> Result<Response<Body>, Refusal> {
    let mut response = empty(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let (name, content_type) = match find(gateway, key).await? {
        Found::Parts(parts) => {
            let progress = parts.progress();
            let labels = parts.labels().cloned().unwrap_or_default();
            // The gateway that took the last byte may have died before it could say so.
            if progress.offset == progress.size && gateway.writing {
                finish(parts, key).await?;
            }
            headers.insert(LENGTH, HeaderValue::from(progress.size));
            tell(headers, progress);
            (labels.name().to_owned(), labels.content_type().to_owned())
        }
        Found::File(file) => {
            headers.insert(LENGTH, HeaderValue::from(file.size));
            headers.insert(OFFSET, HeaderValue::from(file.size));
            (file.name, file.content_type)
        }
    };
    if let Some(metadata) = metadata::header(&name, &content_type) {
        put(headers, METADATA, &metadata);
    }
    Ok(response)
}

/// Answers a PATCH: the next part. What arrived of one that breaks off is kept.
pub(crate) async fn append(
    gateway: &Gateway,
    key: &FileKey,
    request: &Head,
    payload: Payload,
) -> Result<Response<Body>, Refusal> {
    let offset = number(&request.headers, OFFSET)?;
    let mut parts = match find(gateway, key).await? {
        Found::Parts(parts) => parts,
        Found::File(file) if offset == file.size && payload.is_empty() => {
            let mut response = empty(StatusCode::NO_CONTENT);
            response.headers_mut().insert(OFFSET, HeaderValue::from(file.size));
            return Ok(response);
        }
        Found::File(_) => return Err(Refusal::new(StatusCode::CONFLICT, "the upload is complete already")),
    };
    let progress = parts.progress();
    // First: a client that is told this knows what to do, whatever else is wrong.
    if offset != progress.offset {
        let sentence = format!("Upload-Offset is {offset}, but the upload stands at {}", progress.offset);
        return Err(Refusal::new(StatusCode::CONFLICT, sentence));
    }
    let part = Part::of(request, &payload, offset, progress.size)?;
    let _uploading = payload.counted();
    part.append(&mut parts, gateway, payload).await.map_err(|broken| match broken {
        Broken::Refused(refusal) => refusal,
        Broken::Failed(error) => Refusal::received(&error, key, "ask with HEAD where to go on"),
    })?;
    let mut response = empty(StatusCode::NO_CONTENT);
    let progress = parts.progress();
    if progress.offset == progress.size {
        copies::tell(response.headers_mut(), finish(parts, key).await?);
    }
    tell(response.headers_mut(), progress);
    Ok(response)
}

/// Answers a DELETE: forgets an upload, and removes the file if it has become one. How far it has come is not asked: what
/// is damaged must go as well.
pub(crate) async fn terminate(gateway: &Gateway, key: &FileKey) -> Result<Response<Body>, Refusal> {
    let found = |outcome: Result<(), ClientError>| match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(Refusal::upload(&error, key)),
    };
    let parts = found(gateway.client.discard(key).await)?;
    // Also beside parts: a storage that dies in between leaves both.
    let file = found(gateway.client.delete(key).await)?;
    if parts || file { Ok(empty(StatusCode::NO_CONTENT)) } else { Err(no_upload()) }
}

/// What there is under an upload's id.
enum Found {
    Parts(Parts),
    File(Attributes),
}

async fn find(gateway: &Gateway, key: &FileKey) -> Result<Found, Refusal> {
    match gateway.client.resume(key).await {
        Ok(parts) => Ok(Found::Parts(parts)),
        Err(error) if error.is_not_found() => {
            let file = gateway.client.stat(key).await.map_err(|error| match error.is_not_found() {
                true => no_upload(),
                false => Refusal::upstream(&error, key),
            })?;
            Ok(Found::File(file))
        }
        Err(error) => Err(Refusal::parts(&error, key)),
    }
}

fn no_upload() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is no such upload, or it has expired")
}

/// Whether the client has left.
fn is_gone(error: &ClientError) -> bool {
    matches!(error, ClientError::Local { source, .. } if source.kind() == ErrorKind::UnexpectedEof)
}

/// Makes a file of an upload that is complete: how many storages have it, 0 = not told.
async fn finish(parts: Parts, key: &FileKey) -> Result<u8, Refusal> {
    match parts.finish(Checksum::UNKNOWN).await {
        Ok(stored) => Ok(stored.copies),
        Err(error) => Err(Refusal::upload(&error, key)),
    }
}

/// A header as text; empty if it is not there.
fn text(headers: &HeaderMap, name: HeaderName) -> Result<&str, Refusal> {
    let unreadable = |_| Refusal::bad(format!("{name} has characters that it may not have"));
    headers.get(&name).map_or(Ok(""), |value| value.to_str().map_err(unreadable))
}

/// A header that must be there and be a number of bytes.
fn number(headers: &HeaderMap, name: HeaderName) -> Result<u64, Refusal> {
    let digits = text(headers, name.clone())?;
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse().ok().filter(|number| valid && *number <= i64::MAX as u64);
    number.ok_or_else(|| Refusal::bad(format!("{name} must be a number of bytes")))
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Adds where an upload stands and, unless it is complete, when it is forgotten.
fn tell(headers: &mut HeaderMap, progress: UploadProgress) {
    headers.insert(OFFSET, HeaderValue::from(progress.offset));
    let expires = u64::try_from(progress.expires_ms).ok().filter(|_| progress.offset < progress.size);
    let time = expires.and_then(|millis| UNIX_EPOCH.checked_add(Duration::from_millis(millis)));
    // A date beyond the year 9999 cannot be written.
    if let Some(time) = time.filter(|_| progress.expires_ms < 253_402_300_800_000) {
        put(headers, EXPIRES, &httpdate::fmt_http_date(time));
    }
}

/// Sets a header to what is printable ASCII.
fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
