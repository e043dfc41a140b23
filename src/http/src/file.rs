//! A stored file over HTTP.

use std::sync::Arc;

use hyper::Response;
use hyper::http::request::Parts;
use tnv_client::ClientError;
use tnv_proto::{ErrorCode, FileKey};
use tnv_web::Refusal;
use tnv_web::body::{Body, Piece, Stored};
use tnv_web::representation::{Extent, Plan};

use crate::files::{Files, KnownFile};

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
    match file.representation.plan(request, max_ranges)? {
        Plan::Headed(answer) => Ok(answer),
        Plan::Bytes(extent) => {
            let body = open(&file, &extent).await.map_err(|error| Refusal::upstream(&error, key))?;
            Ok(file.representation.with_bytes(&extent, request, body))
        }
    }
}

/// The same from what is remembered of the file; `None` if a storage must be asked what it is now.
async fn recalled(
    files: &Files,
    file: &KnownFile,
    request: &Parts,
    max_ranges: usize,
) -> Option<Result<Response<Body>, Refusal>> {
    let extent = match file.representation.plan(request, max_ranges) {
        Ok(Plan::Bytes(extent)) => extent,
        Ok(Plan::Headed(answer)) => return files.is_recent(file).then_some(Ok(answer)),
        Err(refusal) => return files.is_recent(file).then_some(Err(refusal)),
    };
    let asked = files.now();
    match open(file, &extent).await {
        // A storage too old to compare checksums may have sent another file's bytes.
        Ok(body) if body.is_checked() => {
            files.confirm(file, asked);
            Some(Ok(file.representation.with_bytes(&extent, request, body)))
        }
        Err(error) if !is_about_the_file(&error) => Some(Err(Refusal::upstream(&error, &file.stored.key))),
        Ok(_) | Err(_) => {
            files.forget(&file.stored.key);
            None
        }
    }
}

/// Whether a storage has said that there is no such file, or another one.
fn is_about_the_file(error: &ClientError) -> bool {
    matches!(error.code(), Some(ErrorCode::NOT_FOUND | ErrorCode::CHANGED | ErrorCode::RANGE))
}

/// The bytes of an answer, the first download of them open already.
async fn open(file: &KnownFile, extent: &Extent) -> Result<Body, ClientError> {
    let stored = |range| Piece::Stored(Stored::new(Arc::clone(&file.stored), range));
    Body::open(extent.pieces(stored)).await
}
