//! A file over HTTP: conditions first, then ranges, then the header, and only then the bytes.

use std::sync::Arc;

use hyper::header::RANGE;
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use tnv_client::ClientError;
use tnv_proto::{ErrorCode, FileKey};

use crate::body::{Body, FileReader, FileSource};
use crate::condition::{self, Verdict};
use crate::description::Description;
use crate::files::{Files, KnownFile};
use crate::multipart::{self, Piece};
use crate::query::Query;
use crate::range::{self, ByteRange, Selection};
use crate::refusal::Refusal;

/// What an answer has of a file.
enum Plan {
    /// Its headers at most.
    Headed(Response<Body>),
    /// These bytes.
    Bytes(Extent),
}

/// Which bytes are to be sent of a file, and how.
enum Extent {
    Whole(ByteRange),
    Part(ByteRange),
    Parts { pieces: Vec<Piece>, len: u64, boundary: String },
}

/// Answers a GET or HEAD of a file.
pub(crate) async fn answer(
    files: &Files,
    key: &FileKey,
    request: &Parts,
    max_ranges: usize,
) -> Result<Response<Body>, Refusal> {
    if let Some(known) = files.recall(key)
        && let Some(answer) = recalled(files, &known, request, max_ranges).await
    {
        return answer;
    }
    let file = files.ask(key).await.map_err(|error| Refusal::upstream(&error, key))?;
    match plan(&file.description, request, max_ranges)? {
        Plan::Headed(answer) => Ok(answer),
        Plan::Bytes(extent) => {
            let reader = open(files, &file, &extent).await.map_err(|error| Refusal::upstream(&error, key))?;
            Ok(with_bytes(&file.description, extent, request, reader))
        }
    }
}

/// The same from what is remembered of the file; `None` if a storage must be asked what it is now.
async fn recalled(
    files: &Files,
    file: &Arc<KnownFile>,
    request: &Parts,
    max_ranges: usize,
) -> Option<Result<Response<Body>, Refusal>> {
    let extent = match plan(&file.description, request, max_ranges) {
        Ok(Plan::Bytes(extent)) => extent,
        Ok(Plan::Headed(answer)) => return files.is_recent(file).then_some(Ok(answer)),
        Err(refusal) => return files.is_recent(file).then_some(Err(refusal)),
    };
    let asked = files.now();
    match open(files, file, &extent).await {
        // A storage too old to compare checksums may have sent another file's bytes.
        Ok(reader) if reader.is_checked() => {
            files.confirm(file, asked);
            Some(Ok(with_bytes(&file.description, extent, request, reader)))
        }
        Err(error) if !is_about_the_file(&error) => Some(Err(Refusal::upstream(&error, &file.key))),
        Ok(_) | Err(_) => {
            files.forget(&file.key);
            None
        }
    }
}

/// Whether a storage has said that there is no such file, or another one.
fn is_about_the_file(error: &ClientError) -> bool {
    matches!(error.code(), Some(ErrorCode::NOT_FOUND | ErrorCode::CHANGED | ErrorCode::RANGE))
}

/// The bytes of an answer, the first download of them open already.
async fn open(files: &Files, file: &Arc<KnownFile>, extent: &Extent) -> Result<FileReader, ClientError> {
    let pieces = match extent {
        Extent::Whole(range) | Extent::Part(range) => vec![Piece::File(*range)],
        Extent::Parts { pieces, .. } => pieces.clone(),
    };
    let source = FileSource { client: files.client.clone(), file: Arc::clone(file) };
    FileReader::open(source, pieces).await
}

/// What is to be answered if the file is this one.
fn plan(file: &Description, request: &Parts, max_ranges: usize) -> Result<Plan, Refusal> {
    match condition::evaluate(&request.headers, &file.validators) {
        Verdict::Proceed => {}
        Verdict::NotModified => return Ok(Plan::Headed(not_modified(file))),
        Verdict::Failed => {
            let sentence = "the file is not the version that the request is for";
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, sentence));
        }
    }
    let selected = extent(file, request, max_ranges)?;
    Ok(match selected.or_else(|| ByteRange::whole(file.size).map(Extent::Whole)) {
        Some(extent) if request.method != Method::HEAD => Plan::Bytes(extent),
        _ => Plan::Headed(headed(file, request)),
    })
}

/// What a request picks of the file; `None` for all of it. Ranges are defined for GET alone (RFC 9110, section 14.2).
fn extent(file: &Description, request: &Parts, max_ranges: usize) -> Result<Option<Extent>, Refusal> {
    let mut values = request.headers.get_all(RANGE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Ok(None) };
    if request.method != Method::GET || !condition::range_counts(&request.headers, &file.validators) {
        return Ok(None);
    }
    match range::select(value.as_bytes(), file.size, max_ranges) {
        Selection::Whole => Ok(None),
        Selection::Unsatisfiable => Err(Refusal::range(file.size)),
        Selection::Ranges(ranges) => Ok(match ranges[..] {
            [range] => Some(Extent::Part(range)),
            _ => parts(file, &ranges),
        }),
    }
}

fn parts(file: &Description, ranges: &[ByteRange]) -> Option<Extent> {
    let boundary = format!("{:032x}", rand::random::<u128>());
    let pieces = multipart::layout(ranges, file.size, &file.content_type, &boundary);
    multipart::content_length(&pieces).map(|len| Extent::Parts { pieces, len, boundary })
}

fn not_modified(file: &Description) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    file.put_validators(response.headers_mut());
    response
}

/// What comes before the bytes of the whole file.
fn headed(file: &Description, request: &Parts) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = file.headers(is_download(request));
    file.put_whole(response.headers_mut());
    response
}

/// The answer with these bytes.
fn with_bytes(file: &Description, extent: Extent, request: &Parts, reader: FileReader) -> Response<Body> {
    let mut headers = file.headers(is_download(request));
    let (status, len) = match extent {
        Extent::Whole(range) => {
            file.put_whole(&mut headers);
            (StatusCode::OK, range.len())
        }
        Extent::Part(range) => {
            file.put_part(&mut headers, &range);
            (StatusCode::PARTIAL_CONTENT, range.len())
        }
        Extent::Parts { len, boundary, .. } => {
            file.put_parts(&mut headers, &boundary, len);
            (StatusCode::PARTIAL_CONTENT, len)
        }
    };
    let mut response = Response::new(Body::file(reader, len));
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    response
}

fn is_download(request: &Parts) -> bool {
    Query::new(request.uri.query()).has("download")
}
