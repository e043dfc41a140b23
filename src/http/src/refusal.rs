//! Answers that say no: a status and a sentence. What a server behind the gateway said goes to the log, not
//! to the client, for it names hosts.

use std::borrow::Cow;

use hyper::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, RETRY_AFTER,
};
use hyper::{Response, StatusCode};
use tnv_client::ClientError;
use tnv_proto::ErrorCode;

use crate::body::Body;

/// The methods that exist here.
pub(crate) const METHODS: &str = "GET, HEAD, OPTIONS";

/// Seconds after which an unavailable cluster is worth another try: a storage that starts is in use within
/// one.
const RETRY_SECONDS: &str = "2";

/// Why a request is not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    sentence: Cow<'static, str>,
    /// The size of the file whose range was missed.
    size: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, sentence: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { status, sentence: sentence.into(), size: None }
    }

    /// 416 of a file of this size.
    pub(crate) fn range(size: u64) -> Refusal {
        let sentence = format!("the range lies outside the file, which has {size} bytes");
        Refusal { size: Some(size), ..Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, sentence) }
    }

    /// What a failure behind the gateway means to its client; the failure itself is logged here. `subject` is
    /// what was asked for.
    pub(crate) fn upstream(error: &ClientError, subject: &dyn std::fmt::Display) -> Refusal {
        let refusal = Refusal::of(error);
        if refusal.status.is_server_error() {
            tracing::warn!(%subject, status = refusal.status.as_u16(), %error, "upstream trouble");
        } else {
            tracing::debug!(%subject, status = refusal.status.as_u16(), %error, "refused upstream");
        }
        refusal
    }

    fn of(error: &ClientError) -> Refusal {
        if matches!(error, ClientError::Unreachable { .. }) {
            return Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the cluster cannot be reached; try again soon",
            );
        }
        match error.code() {
            Some(ErrorCode::NOT_FOUND) => Refusal::not_found(),
            Some(ErrorCode::FORBIDDEN) => Refusal::new(StatusCode::FORBIDDEN, "this app is not served here"),
            Some(ErrorCode::RANGE) => {
                Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "the file is no longer as long as it was")
            }
            Some(ErrorCode::CHANGED) => {
                Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the file was replaced just now; try again")
            }
            Some(ErrorCode::UNAVAILABLE | ErrorCode::BUSY) => {
                Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the cluster cannot answer now; try again soon")
            }
            Some(ErrorCode::INTERNAL) => Refusal::new(
                StatusCode::BAD_GATEWAY,
                "the storage cannot read this file: it is damaged or missing",
            ),
            _ => Refusal::new(StatusCode::BAD_GATEWAY, "the cluster answered something unexpected"),
        }
    }

    /// 404 of a file.
    pub(crate) fn not_found() -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, "there is no such file")
    }

    /// The answer. Never kept by a cache: the next try may go better.
    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::text(format!("{}\n", self.sentence)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(ALLOW, HeaderValue::from_static(METHODS));
            }
            _ => {}
        }
        if let Some(size) = self.size {
            headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
            if let Ok(missed) = HeaderValue::from_str(&format!("bytes */{size}")) {
                headers.insert(CONTENT_RANGE, missed);
            }
        }
        response
    }
}
