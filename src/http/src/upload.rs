//! New files in one request, and files removed. Nothing is kept of an upload that fails.

use hyper::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderValue, LOCATION};
use hyper::http::request::Parts as Head;
use hyper::{HeaderMap, Response, StatusCode};
use tnv_client::{Client, ClientError, Parts, Source, Stored, new_file_id};
use tnv_proto::{Acknowledged, AppId, Checksum, FileKey, Labels, UserId};
use tnv_web::answer::json;
use tnv_web::form::{self, Boundary, FormFile};
use tnv_web::query::Query;
use tnv_web::{Body, Payload, Refusal, media};

use crate::copies;
use crate::files::Files;
use crate::service::Gateway;
use crate::unfinished::Unfinished;
use crate::view::FileView;

const NOTHING_STORED: &str = "nothing was stored";

/// A file that is to be stored.
struct NewFile {
    name: String,
    content_type: String,
    source: Source,
}

/// Answers a POST: the body is the file, or a form with the file in it.
pub(crate) async fn create(
    gateway: &Gateway,
    (app, user): (&AppId, &UserId),
    request: &Head,
    payload: Payload,
) -> Result<Response<Body>, Refusal> {
    let length = length(&request.headers, &payload)?;
    let client = copies::client(gateway, &request.headers)?;
    let _uploading = payload.counted();
    let new = read(gateway, request, payload, length).await?;
    check_size(gateway, new.source.size())?;
    let labels = labels(&new.name, &new.content_type)?;
    let key = FileKey { app: app.clone(), user: user.clone(), file: new_file_id(user) };
    let stored = if request.headers.contains_key(EXPECT) {
        store_asked(&client, &key, &labels, new.source).await
    } else {
        store(&client, &key, &labels, new.source).await
    };
    let stored = stored.map_err(|error| Refusal::received(&error, &key, NOTHING_STORED))?;
    created(gateway, &key, &stored)
}

/// Answers a DELETE.
pub(crate) async fn delete(files: &Files, key: &FileKey) -> Result<Response<Body>, Refusal> {
    let deleted = files.client.delete(key).await;
    // Also when nobody knows whether it is gone; and behind it, for another request may have looked it up meanwhile.
    files.forget(key);
    deleted.map_err(|error| Refusal::upstream(&error, key))?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// How long a body is, as its header says.
///
/// # Errors
/// 411 if the header does not say it.
pub(crate) fn length(headers: &HeaderMap, payload: &Payload) -> Result<u64, Refusal> {
    let told = payload.len().filter(|_| headers.contains_key(CONTENT_LENGTH));
    let missing = "the request must say its Content-Length";
    told.ok_or_else(|| Refusal::new(StatusCode::LENGTH_REQUIRED, missing))
}

/// Holds a file against `max_upload_size`.
pub(crate) fn check_size(gateway: &Gateway, size: u64) -> Result<(), Refusal> {
    let max = gateway.max_upload_size;
    if size > max {
        return Err(Refusal::too_large(format!("{size} bytes are more than the {max} that a file may have")));
    }
    Ok(())
}

/// What a file is called and what it is. A type that is none, or that says nothing, is left for the storage to find
/// out.
pub(crate) fn labels(name: &str, content_type: &str) -> Result<Labels, Refusal> {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    // The latter is what curl says of any body.
    let says_nothing = ["application/octet-stream", "application/x-www-form-urlencoded"]
        .iter()
        .any(|kind| essence.eq_ignore_ascii_case(kind));
    let known = !says_nothing
        && content_type.len() <= tnv_proto::MAX_CONTENT_TYPE_LEN
        && media::is_type(content_type);
    Labels::new(name, if known { content_type } else { "" }).map_err(|error| Refusal::bad(error.to_string()))
}

async fn read(gateway: &Gateway, request: &Head, payload: Payload, length: u64) -> Result<NewFile, Refusal> {
    let text = |name| {
        request.headers.get(name).and_then(|value: &HeaderValue| std::str::from_utf8(value.as_bytes()).ok())
    };
    let content_type = text(CONTENT_TYPE).unwrap_or_default();
    let inflow = || payload.inflow(gateway.progress_timeout);
    if let Some(boundary) = Boundary::of(content_type).map_err(Refusal::bad)? {
        check_size(gateway, length.saturating_sub(form::MAX_HEAD as u64))?;
        let FormFile { name, content_type, size, reader } =
            FormFile::open(inflow(), &boundary, length).await?;
        return Ok(NewFile { name, content_type, source: Source::Stream { reader: Box::new(reader), size } });
    }
    check_size(gateway, length)?;
    let named = Query::new(request.uri.query()).get("name").map_err(Refusal::bad)?;
    let name = named.or_else(|| text(CONTENT_DISPOSITION).and_then(form::file_name)).unwrap_or_default();
    let source = Source::Stream { reader: Box::new(inflow()), size: length };
    Ok(NewFile { name, content_type: content_type.to_owned(), source })
}

async fn store(
    client: &Client,
    key: &FileKey,
    labels: &Labels,
    source: Source,
) -> Result<Acknowledged, ClientError> {
    let Stored { attributes, copies, .. } = client.store_and_locate(key, labels, source).await?;
    Ok(Acknowledged { attributes, copies })
}

/// Stores a file whose client waits for "100 Continue": that is said at the body's first read, so a storage must have
/// agreed before it.
async fn store_asked(
    client: &Client,
    key: &FileKey,
    labels: &Labels,
    source: Source,
) -> Result<Acknowledged, ClientError> {
    let unfinished = Unfinished::new(client, key);
    let stored = match client.begin(key, source.size(), labels).await {
        Ok(parts) => store_parts(parts, source).await,
        Err(error) => {
            unfinished.keep();
            return Err(error);
        }
    };
    match &stored {
        Ok(_) => unfinished.keep(),
        Err(_) => unfinished.forget().await,
    }
    stored
}

async fn store_parts(mut parts: Parts, source: Source) -> Result<Acknowledged, ClientError> {
    if source.size() > 0 {
        parts.append(source).await?;
    }
    parts.finish(Checksum::UNKNOWN).await
}

fn created(gateway: &Gateway, key: &FileKey, stored: &Acknowledged) -> Result<Response<Body>, Refusal> {
    let view = FileView::new(key, &stored.attributes, &gateway.owner);
    let mut response = json(&view)?;
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(location) = HeaderValue::from_str(view.url()) {
        response.headers_mut().insert(LOCATION, location);
    }
    copies::tell(response.headers_mut(), stored.copies);
    Ok(response)
}
