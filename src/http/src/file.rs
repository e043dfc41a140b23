//! A file over HTTP: conditions first, then ranges, then the header, and only then the bytes.

use std::time::SystemTime;

use hyper::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    ETAG, HeaderName, HeaderValue, LAST_MODIFIED, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Response, StatusCode};
use tnv_client::Client;
use tnv_proto::{Attributes, FileKey};

use crate::body::{Body, FileReader, FileSource};
use crate::condition::{self, Validators, Verdict};
use crate::disposition::{self, Disposition};
use crate::media;
use crate::multipart::{self, Piece};
use crate::query::Query;
use crate::range::{self, ByteRange, Selection};
use crate::refusal::Refusal;

/// What there is to know of a file before its bytes.
struct Description {
    size: u64,
    validators: Validators,
    content_type: String,
    disposition: String,
    /// Whether a browser might run something in it.
    active: bool,
}

/// What is to be sent of a file.
enum Plan {
    Whole,
    Part(ByteRange),
    Parts { pieces: Vec<Piece>, len: u64, boundary: String },
}

/// Answers a GET or HEAD of a file.
pub(crate) async fn answer(
    client: &Client,
    key: FileKey,
    request: &Parts,
    max_ranges: usize,
) -> Result<Response<Body>, Refusal> {
    let attributes = client.stat(&key).await.map_err(|error| Refusal::upstream(&error, &key))?;
    let file = Description::new(
        &key,
        &attributes,
        Query::new(request.uri.query()).has("download"),
        SystemTime::now(),
    );
    match condition::evaluate(&request.headers, &file.validators) {
        Verdict::Proceed => {}
        Verdict::NotModified => return Ok(file.not_modified()),
        Verdict::Failed => {
            let sentence = "the file is not the version that the request is for";
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, sentence));
        }
    }
    let plan = file.plan(request, max_ranges)?;
    if request.method == Method::HEAD {
        return Ok(file.headed(&plan, Body::empty()));
    }
    let (size, checksum) = (file.size, attributes.blake3);
    let source = FileSource { client: client.clone(), key, size, checksum };
    let body = open(source, &plan, file.size).await?;
    Ok(file.headed(&plan, body))
}

/// The body of a plan, with its first download open already.
async fn open(source: FileSource, plan: &Plan, size: u64) -> Result<Body, Refusal> {
    let (pieces, len) = match plan {
        Plan::Whole => match ByteRange::whole(size) {
            Some(range) => (vec![Piece::File(range)], size),
            None => return Ok(Body::empty()),
        },
        Plan::Part(range) => (vec![Piece::File(*range)], range.len()),
        Plan::Parts { pieces, len, .. } => (pieces.clone(), *len),
    };
    let key = source.key.clone();
    let reader = FileReader::open(source, pieces).await.map_err(|error| Refusal::upstream(&error, &key))?;
    Ok(Body::file(reader, len))
}

impl Description {
    fn new(key: &FileKey, attributes: &Attributes, download: bool, now: SystemTime) -> Description {
        let file = key.file.as_str();
        let content_type = media::content_type(&attributes.content_type, &attributes.name, file);
        let fitting = media::disposition(&content_type);
        let disposition = if download { Disposition::Attachment } else { fitting };
        let name = media::file_name(&attributes.name, file, &content_type);
        Description {
            size: attributes.size,
            validators: Validators {
                etag: etag(key, attributes),
                modified: condition::modified(attributes.created_ms, now),
            },
            disposition: disposition::header(disposition, &name),
            active: fitting == Disposition::Attachment,
            content_type,
        }
    }

    /// Ranges are defined for GET alone (RFC 9110, section 14.2).
    fn plan(&self, request: &Parts, max_ranges: usize) -> Result<Plan, Refusal> {
        let mut values = request.headers.get_all(RANGE).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Ok(Plan::Whole) };
        if request.method != Method::GET || !condition::range_counts(&request.headers, &self.validators) {
            return Ok(Plan::Whole);
        }
        match range::select(value.as_bytes(), self.size, max_ranges) {
            Selection::Whole => Ok(Plan::Whole),
            Selection::Unsatisfiable => Err(Refusal::range(self.size)),
            Selection::Ranges(ranges) => Ok(match ranges[..] {
                [range] => Plan::Part(range),
                _ => self.parts(&ranges),
            }),
        }
    }

    fn parts(&self, ranges: &[ByteRange]) -> Plan {
        let boundary = format!("{:032x}", rand::random::<u128>());
        let pieces = multipart::layout(ranges, self.size, &self.content_type, &boundary);
        match multipart::content_length(&pieces) {
            Some(len) => Plan::Parts { pieces, len, boundary },
            None => Plan::Whole,
        }
    }

    fn not_modified(&self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        self.put_validators(response.headers_mut());
        response
    }

    /// The answer with this body.
    fn headed(&self, plan: &Plan, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        self.put_validators(headers);
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        put(headers, CONTENT_DISPOSITION, &self.disposition);
        if self.active {
            // For browsers that show it nevertheless.
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
        }
        let len = match plan {
            Plan::Whole => {
                put(headers, CONTENT_TYPE, &self.content_type);
                self.size
            }
            Plan::Part(range) => {
                put(headers, CONTENT_TYPE, &self.content_type);
                put(headers, CONTENT_RANGE, &format!("bytes {range}/{}", self.size));
                range.len()
            }
            Plan::Parts { len, boundary, .. } => {
                put(headers, CONTENT_TYPE, &format!("multipart/byteranges; boundary={boundary}"));
                *len
            }
        };
        headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
        if !matches!(plan, Plan::Whole) {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        response
    }

    fn put_validators(&self, headers: &mut HeaderMap) {
        put(headers, ETAG, &self.validators.etag);
        if let Some(modified) = self.validators.modified {
            put(headers, LAST_MODIFIED, &httpdate::fmt_http_date(modified));
        }
    }
}

/// Sets a header. All values made here are printable ASCII; one that were not is left out.
fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => {
            headers.insert(name, value);
        }
        Err(error) => tracing::error!(%name, value, %error, "header left out"),
    }
}

/// A strong entity tag, the same on every server: of the file's checksum, else of its key and size, which
/// suffice because a stored file never changes.
fn etag(key: &FileKey, attributes: &Attributes) -> String {
    if attributes.blake3.is_known() {
        return format!("\"{:.32}\"", attributes.blake3.to_string());
    }
    let id = blake3::hash(key.to_string().as_bytes()).to_hex();
    format!("\"{:x}-{:.16}\"", attributes.size, id.as_str())
}
