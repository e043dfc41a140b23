//! A file or anything else that has ranges, as answers to GET and HEAD tell of it: conditions first, then ranges, then the
//! headers, which are made once, and only then the bytes.

use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LAST_MODIFIED, RANGE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Response, StatusCode};

use crate::body::{Body, Piece};
use crate::condition::{self, Validators, Verdict};
use crate::disposition::{self, Disposition};
use crate::media;
use crate::multipart::{self, Section};
use crate::query::Query;
use crate::range::{self, ByteRange, Selection};
use crate::refusal::Refusal;

/// How many headers an answer has at most, so that their map need not grow.
const HEADERS: usize = 16;

/// Something with bytes of a known number, type and version.
#[derive(Debug)]
pub struct Representation {
    /// What it is called in refusals.
    kind: &'static str,
    size: u64,
    content_type: String,
    validators: Validators,
    etag: Option<HeaderValue>,
    modified: Option<HeaderValue>,
    cache_control: Option<HeaderValue>,
    type_header: Option<HeaderValue>,
    /// What a browser is to do with it, and what it is to do if it was asked for as a download.
    dispositions: [Option<HeaderValue>; 2],
    /// Whether a browser might run something in it.
    active: bool,
}

/// What an answer has of a representation.
pub enum Plan {
    /// Its headers at most; this is the answer.
    Headed(Response<Body>),
    /// These bytes, for [`Representation::with_bytes`].
    Bytes(Extent),
}

/// Which bytes are to be sent, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Whole(ByteRange),
    Part(ByteRange),
    Parts { sections: Vec<Section>, len: u64, boundary: String },
}

impl Extent {
    /// How many bytes that are, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> u64 {
        match &self.0 {
            Kind::Whole(range) | Kind::Part(range) => range.len(),
            Kind::Parts { len, .. } => *len,
        }
    }

    /// What is to be sent, one piece behind the other. `cut` makes the piece of a range.
    pub fn pieces(&self, cut: impl Fn(ByteRange) -> Piece) -> Vec<Piece> {
        match &self.0 {
            Kind::Whole(range) | Kind::Part(range) => vec![cut(*range)],
            Kind::Parts { sections, .. } => {
                let piece = |section: &Section| match section {
                    Section::Text(text) => Piece::Text(text.clone()),
                    Section::Range(range) => cut(*range),
                };
                sections.iter().map(piece).collect()
            }
        }
    }
}

impl Representation {
    /// `size` bytes of a type. What a browser might run is told to be saved instead.
    pub fn new(size: u64, content_type: String, validators: Validators) -> Representation {
        let modified = validators.modified.map(httpdate::fmt_http_date);
        Representation {
            kind: "file",
            size,
            cache_control: None,
            etag: value(ETAG, &validators.etag),
            modified: modified.and_then(|date| value(LAST_MODIFIED, &date)),
            type_header: value(CONTENT_TYPE, &content_type),
            dispositions: [None, None],
            active: media::disposition(&content_type) == Disposition::Attachment,
            validators,
            content_type,
        }
    }

    /// The same with a name to save it under.
    pub fn named(mut self, name: &str) -> Representation {
        let header = |disposition| value(CONTENT_DISPOSITION, &disposition::header(disposition, name));
        let fitting = media::disposition(&self.content_type);
        self.dispositions = [header(fitting), header(Disposition::Attachment)];
        self
    }

    /// The same with a name to save it under, which is what a browser is to do with it in any case.
    pub fn attached(self, name: &str) -> Representation {
        let header = value(CONTENT_DISPOSITION, &disposition::header(Disposition::Attachment, name));
        Representation { dispositions: [header.clone(), header], active: true, ..self }
    }

    /// The same, called otherwise than "file" where it is refused.
    pub fn called(self, kind: &'static str) -> Representation {
        Representation { kind, ..self }
    }

    /// The same with a header for caches.
    pub fn cached(self, cache_control: &'static str) -> Representation {
        Representation { cache_control: Some(HeaderValue::from_static(cache_control)), ..self }
    }

    /// The number of its bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What its versions are told apart by.
    pub fn validators(&self) -> &Validators {
        &self.validators
    }

    /// What is to be answered to a GET or HEAD.
    ///
    /// # Errors
    /// 412 and 416.
    pub fn plan(&self, request: &Parts, max_ranges: usize) -> Result<Plan, Refusal> {
        match condition::evaluate(&request.headers, &self.validators) {
            Verdict::Proceed => {}
            Verdict::NotModified => return Ok(Plan::Headed(self.not_modified())),
            Verdict::Failed => {
                let sentence = format!("the {} is not the version that the request is for", self.kind);
                return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, sentence));
            }
        }
        let selected = self.extent(request, max_ranges)?;
        Ok(match selected.or_else(|| ByteRange::whole(self.size).map(Kind::Whole)) {
            Some(kind) if request.method != Method::HEAD => Plan::Bytes(Extent(kind)),
            _ => Plan::Headed(self.headed(request)),
        })
    }

    /// The answer with these bytes.
    pub fn with_bytes(&self, extent: &Extent, request: &Parts, body: Body) -> Response<Body> {
        let mut headers = self.headers(is_download(request));
        let status = match &extent.0 {
            Kind::Whole(_) => {
                self.put_whole(&mut headers);
                StatusCode::OK
            }
            Kind::Part(range) => {
                self.put_part(&mut headers, range);
                StatusCode::PARTIAL_CONTENT
            }
            Kind::Parts { len, boundary, .. } => {
                self.put_parts(&mut headers, boundary, *len);
                StatusCode::PARTIAL_CONTENT
            }
        };
        let mut response = Response::new(body);
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        response
    }

    /// What a request picks of it; `None` for all of it. Ranges are defined for GET alone (RFC 9110, section 14.2).
    fn extent(&self, request: &Parts, max_ranges: usize) -> Result<Option<Kind>, Refusal> {
        let mut values = request.headers.get_all(RANGE).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Ok(None) };
        if request.method != Method::GET || !condition::range_counts(&request.headers, &self.validators) {
            return Ok(None);
        }
        match range::select(value.as_bytes(), self.size, max_ranges) {
            Selection::Whole => Ok(None),
            Selection::Unsatisfiable => Err(Refusal::range(self.kind, self.size)),
            Selection::Ranges(ranges) => Ok(match ranges[..] {
                [range] => Some(Kind::Part(range)),
                _ => self.parts(&ranges),
            }),
        }
    }

    fn parts(&self, ranges: &[ByteRange]) -> Option<Kind> {
        let boundary = format!("{:032x}", rand::random::<u128>());
        let sections = multipart::layout(ranges, self.size, &self.content_type, &boundary);
        multipart::content_length(&sections).map(|len| Kind::Parts { sections, len, boundary })
    }

    fn not_modified(&self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        self.put_validators(response.headers_mut());
        response
    }

    /// What comes before all of its bytes.
    fn headed(&self, request: &Parts) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = self.headers(is_download(request));
        self.put_whole(response.headers_mut());
        response
    }

    /// The memory its texts take, in bytes.
    pub fn weight(&self) -> usize {
        let headers = [&self.etag, &self.modified, &self.type_header].into_iter().chain(&self.dispositions);
        let headers: usize = headers.flatten().map(HeaderValue::len).sum();
        headers + self.content_type.len() + self.validators.etag.len()
    }

    /// The headers of an answer that has bytes of it, or would have them. They are to be saved if it is a `download`.
    fn headers(&self, download: bool) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(HEADERS);
        self.put_validators(&mut headers);
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let [fitting, attachment] = &self.dispositions;
        put(&mut headers, CONTENT_DISPOSITION, if download { attachment } else { fitting });
        if self.active {
            // For browsers that show it nevertheless.
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
        }
        headers
    }

    /// Says that the answer is the whole file.
    fn put_whole(&self, headers: &mut HeaderMap) {
        put(headers, CONTENT_TYPE, &self.type_header);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(self.size));
    }

    /// Says that the answer is a part of the file.
    fn put_part(&self, headers: &mut HeaderMap, range: &ByteRange) {
        put(headers, CONTENT_TYPE, &self.type_header);
        put(headers, CONTENT_RANGE, &value(CONTENT_RANGE, &format!("bytes {range}/{}", self.size)));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(range.len()));
    }

    /// Says that the answer is several parts of the file, `len` bytes in all.
    fn put_parts(&self, headers: &mut HeaderMap, boundary: &str, len: u64) {
        let content_type = format!("multipart/byteranges; boundary={boundary}");
        put(headers, CONTENT_TYPE, &value(CONTENT_TYPE, &content_type));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
    }

    fn put_validators(&self, headers: &mut HeaderMap) {
        put(headers, ETAG, &self.etag);
        put(headers, LAST_MODIFIED, &self.modified);
        put(headers, CACHE_CONTROL, &self.cache_control);
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &Option<HeaderValue>) {
    if let Some(value) = value {
        headers.insert(name, value.clone());
    }
}

/// A header's value. All values made here are printable ASCII; one that were not is left out.
fn value(name: HeaderName, text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text)
        .inspect_err(|error| tracing::error!(%name, text, %error, "header left out"))
        .ok()
}

fn is_download(request: &Parts) -> bool {
    Query::new(request.uri.query()).has("download")
}
