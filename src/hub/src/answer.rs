//! Answers: JSON, and objects with their conditions and ranges.

use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LAST_MODIFIED, RANGE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts as Head;
use hyper::{HeaderMap, Method, Response, StatusCode};
use serde::Serialize;

use crate::downloads::Subject;
use crate::package::{BodyError, Reader, Source};
use crate::refusal::Refusal;
use crate::service::Service;
use crate::web::{Body, ByteRange, Piece, Selection, Validators, Verdict, condition, multipart, range};

/// An object, as its answers tell of it.
pub(crate) struct Described {
    pub(crate) size: u64,
    pub(crate) validators: Validators,
    pub(crate) content_type: String,
    /// The whole header.
    pub(crate) disposition: String,
    pub(crate) cache_control: &'static str,
}

/// What is to be sent.
pub(crate) enum Plan {
    /// Headers at most.
    Headed(Response<Body>),
    /// These bytes.
    Bytes(Extent),
}

pub(crate) enum Extent {
    Whole(ByteRange),
    Part(ByteRange),
    Parts { pieces: Vec<Piece>, len: u64, boundary: String },
}

/// An answer in JSON, another one each time.
pub(crate) fn json(value: &impl Serialize) -> Result<Response<Body>, Refusal> {
    json_with(StatusCode::OK, value)
}

/// The same with another status.
pub(crate) fn json_with(status: StatusCode, value: &impl Serialize) -> Result<Response<Body>, Refusal> {
    let text = serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "cannot write an answer");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be written")
    })?;
    let mut response = Response::new(Body::text(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// Nothing but a status.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Sends an object, or what is asked of it.
pub(crate) async fn object(
    service: &Service,
    described: Described,
    request: &Head,
    source: Source,
    subject: Subject,
) -> Result<Response<Body>, Refusal> {
    let extent = match described.plan(request, service.max_ranges)? {
        Plan::Headed(response) => return Ok(response),
        Plan::Bytes(extent) => extent,
    };
    let mut headers = described.headers();
    let (status, len, pieces) = described.lay_out(extent, &mut headers);
    let name = subject.name();
    let room = service.downloads.room(len).await.ok_or_else(|| {
        let detail = "as many downloads are under way as there is memory for (send_memory); try again soon";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })?;
    let followed = service.downloads.begin(Subject { size: len, ..subject }, room);
    let reader = Reader::open(source, pieces, followed).await.map_err(|error| match &error {
        BodyError::Upstream(upstream) => Refusal::upstream(upstream, &name),
        _ => {
            tracing::error!(object = name, %error, "cannot be read");
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "what is asked for cannot be read")
        }
    })?;
    let mut response = Response::new(Body::stream(reader.into_stream(), len));
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    Ok(response)
}

impl Described {
    /// What a request is to get: conditions come first, then ranges.
    pub(crate) fn plan(&self, request: &Head, max_ranges: usize) -> Result<Plan, Refusal> {
        match condition::evaluate(&request.headers, &self.validators) {
            Verdict::Proceed => {}
            Verdict::NotModified => {
                let mut response = empty(StatusCode::NOT_MODIFIED);
                self.put_validators(response.headers_mut());
                return Ok(Plan::Headed(response));
            }
            Verdict::Failed => {
                let detail = "it is not the version that the request is for";
                return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, detail));
            }
        }
        let selected = self.extent(request, max_ranges)?;
        let whole = || ByteRange::whole(self.size).map(Extent::Whole);
        Ok(match selected.or_else(whole) {
            Some(extent) if request.method != Method::HEAD => Plan::Bytes(extent),
            _ => {
                let mut response = empty(StatusCode::OK);
                *response.headers_mut() = self.headers();
                self.put_whole(response.headers_mut());
                Plan::Headed(response)
            }
        })
    }

    /// What a request picks; `None` for all of it. Ranges are defined for GET alone.
    fn extent(&self, request: &Head, max_ranges: usize) -> Result<Option<Extent>, Refusal> {
        let mut values = request.headers.get_all(RANGE).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Ok(None) };
        let counts = condition::range_counts(&request.headers, &self.validators);
        if request.method != Method::GET || !counts {
            return Ok(None);
        }
        match range::select(value.as_bytes(), self.size, max_ranges) {
            Selection::Whole => Ok(None),
            Selection::Unsatisfiable => {
                let detail = format!("the range lies outside of the {} bytes that there are", self.size);
                let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, detail)
                    .with(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
                Err(match HeaderValue::from_str(&format!("bytes */{}", self.size)) {
                    Ok(missed) => refusal.with(CONTENT_RANGE, missed),
                    Err(_) => refusal,
                })
            }
            Selection::Ranges(ranges) => Ok(match ranges[..] {
                [range] => Some(Extent::Part(range)),
                _ => {
                    let boundary = format!("{:032x}", rand::random::<u128>());
                    let pieces = multipart::layout(&ranges, self.size, &self.content_type, &boundary);
                    let len = multipart::content_length(&pieces);
                    len.map(|len| Extent::Parts { pieces, len, boundary })
                }
            }),
        }
    }

    /// Status, length and pieces of an answer with bytes; what its headers say of them is added.
    fn lay_out(&self, extent: Extent, headers: &mut HeaderMap) -> (StatusCode, u64, Vec<Piece>) {
        match extent {
            Extent::Whole(range) => {
                self.put_whole(headers);
                (StatusCode::OK, range.len(), vec![Piece::File(range)])
            }
            Extent::Part(range) => {
                put(headers, CONTENT_TYPE, &self.content_type);
                put(headers, CONTENT_RANGE, &format!("bytes {range}/{}", self.size));
                headers.insert(CONTENT_LENGTH, HeaderValue::from(range.len()));
                (StatusCode::PARTIAL_CONTENT, range.len(), vec![Piece::File(range)])
            }
            Extent::Parts { pieces, len, boundary } => {
                put(headers, CONTENT_TYPE, &format!("multipart/byteranges; boundary={boundary}"));
                headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
                (StatusCode::PARTIAL_CONTENT, len, pieces)
            }
        }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(16);
        self.put_validators(&mut headers);
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // For browsers that show it instead of saving it.
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
        put(&mut headers, CONTENT_DISPOSITION, &self.disposition);
        headers
    }

    fn put_whole(&self, headers: &mut HeaderMap) {
        put(headers, CONTENT_TYPE, &self.content_type);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(self.size));
    }

    fn put_validators(&self, headers: &mut HeaderMap) {
        put(headers, ETAG, &self.validators.etag);
        if let Some(modified) = self.validators.modified {
            put(headers, LAST_MODIFIED, &httpdate::fmt_http_date(modified));
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(self.cache_control));
    }
}

/// Puts a text into a header; what cannot be in one is left out.
pub(crate) fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
