//! Answers that say no: a status and a sentence. What a server behind this one said goes to the log, not to the client, for
//! it names hosts.

use std::borrow::Cow;

use hyper::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
};
use hyper::{Method, Response, StatusCode};
use tnv_client::ClientError;
use tnv_common::database::DbError;
use tnv_proto::ErrorCode;

use crate::body::Body;
use crate::inflow;

/// Seconds after which an unavailable cluster is worth another try: a storage that starts is in use within
/// one.
const RETRY_SECONDS: &str = "2";

/// Why a request is not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    sentence: Cow<'static, str>,
    /// Headers that belong to this status.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// This status, with a sentence for people.
    pub fn new(status: StatusCode, sentence: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { status, sentence: sentence.into(), headers: Vec::new() }
    }

    /// 400.
    pub fn bad(sentence: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, sentence)
    }

    /// 403.
    pub fn forbidden(sentence: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(StatusCode::FORBIDDEN, sentence)
    }

    /// 403 of what a page of another site would change.
    pub fn foreign_page() -> Refusal {
        Refusal::forbidden("pages of other origins may not change anything here")
    }

    /// 404.
    pub fn not_found(sentence: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, sentence)
    }

    /// 404 of an address.
    pub fn nothing() -> Refusal {
        Refusal::not_found("there is nothing at this address")
    }

    /// 409.
    pub fn conflict(sentence: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(StatusCode::CONFLICT, sentence)
    }

    /// 413.
    pub fn too_large(sentence: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, sentence)
    }

    /// 503: there is no place for one more connection.
    pub fn full() -> Refusal {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many connections; try again soon")
    }

    /// 429: nor for one more of this client.
    pub fn full_for_client() -> Refusal {
        let sentence = "too many connections from your address; close some, or try again soon";
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, sentence)
            .with(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS))
    }

    /// 421: this name may be anybody's.
    pub fn host(name: &str) -> Refusal {
        let sentence = format!(
            "pages under the name {name} may not do this over plain http; if it is this server's own, add it to \
             hosts in its configuration"
        );
        Refusal::new(StatusCode::MISDIRECTED_REQUEST, sentence)
    }

    /// 405 where only `methods` exist.
    pub fn method(method: &Method, methods: &'static str) -> Refusal {
        let sentence = format!("{method} is not possible here, only {methods}");
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, sentence).with(ALLOW, HeaderValue::from_static(methods))
    }

    /// 416 of something, such as a file, of this size.
    pub fn range(what: &str, size: u64) -> Refusal {
        let sentence = format!("the range lies outside the {what}, which has {size} bytes");
        let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, sentence)
            .with(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        match HeaderValue::from_str(&format!("bytes */{size}")) {
            Ok(missed) => refusal.with(CONTENT_RANGE, missed),
            Err(_) => refusal,
        }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What it says to people.
    pub fn sentence(&self) -> &str {
        &self.sentence
    }

    /// The same with another sentence.
    pub fn saying(self, sentence: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { sentence: sentence.into(), ..self }
    }

    /// The same with one more header.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Refusal {
        self.headers.push((name, value));
        self
    }

    /// What a failure of the cluster means to the client; the failure itself is logged here. `subject` is
    /// what was asked for.
    pub fn upstream(error: &ClientError, subject: &dyn std::fmt::Display) -> Refusal {
        Refusal::of(error).logged(error, subject)
    }

    /// What a failed upload means to its client; as [`Refusal::upstream`].
    pub fn upload(error: &ClientError, subject: &dyn std::fmt::Display) -> Refusal {
        let refusal = match error {
            ClientError::Local { source, .. } => inflow::refusal(source),
            ClientError::Uncertain { .. } => Refusal::new(
                StatusCode::BAD_GATEWAY,
                "the file may or may not have been stored; look before sending it again",
            ),
            _ => Refusal::of_upload(error),
        };
        refusal.logged(error, subject)
    }

    /// The same for one that came in the request's body: if the client is the reason, `outcome` tells it what has become
    /// of what had arrived.
    pub fn received(error: &ClientError, subject: &dyn std::fmt::Display, outcome: &str) -> Refusal {
        match error {
            ClientError::Local { source, .. } => {
                let refusal = inflow::refusal(source);
                let sentence = format!("{}; {outcome}", refusal.sentence);
                refusal.saying(sentence).logged(error, subject)
            }
            _ => Refusal::upload(error, subject),
        }
    }

    /// What it means if it cannot be told how far an upload has come.
    pub fn parts(error: &ClientError, subject: &dyn std::fmt::Display) -> Refusal {
        if error.code() != Some(ErrorCode::INTERNAL) {
            return Refusal::upload(error, subject);
        }
        let sentence = "the upload's parts are damaged: DELETE it and begin anew";
        Refusal::new(StatusCode::BAD_GATEWAY, sentence).logged(error, subject)
    }

    fn of_upload(error: &ClientError) -> Refusal {
        match error.code() {
            Some(ErrorCode::CONFLICT) => Refusal::new(
                StatusCode::CONFLICT,
                "the file id is taken, or the offset is not where the upload stands",
            ),
            Some(ErrorCode::CHANGED) => Refusal::new(
                StatusCode::PRECONDITION_FAILED,
                "what arrived does not have the checksum it should have",
            ),
            Some(ErrorCode::TOO_LARGE) => Refusal::too_large("the file is larger than the storage takes"),
            Some(ErrorCode::LOCKED) => {
                Refusal::new(StatusCode::LOCKED, "another request is writing to this upload; try again soon")
            }
            Some(ErrorCode::NO_SPACE) => {
                Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "there is no room for the file")
            }
            Some(ErrorCode::INTERNAL) => {
                Refusal::new(StatusCode::BAD_GATEWAY, "the storage cannot write the file")
            }
            _ => Refusal::of(error),
        }
    }

    fn logged(self, error: &ClientError, subject: &dyn std::fmt::Display) -> Refusal {
        let refusal = self;
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
            Some(ErrorCode::NOT_FOUND) => Refusal::no_file(),
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
    pub fn no_file() -> Refusal {
        Refusal::not_found("there is no such file")
    }

    /// The answer: the sentence as a line.
    pub fn into_response(self) -> Response<Body> {
        let text = format!("{}\n", self.sentence);
        self.with_body(text, "text/plain; charset=utf-8")
    }

    /// The answer for programs: `{"detail": "..."}`.
    pub fn into_json(self) -> Response<Body> {
        let text = serde_json::json!({ "detail": self.sentence }).to_string();
        self.with_body(text, "application/json")
    }

    /// Never kept by a cache: the next try may go better.
    fn with_body(self, text: String, content_type: &'static str) -> Response<Body> {
        let mut response = Response::new(Body::text(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let says_when = self.headers.iter().any(|(name, _)| name == RETRY_AFTER);
        if self.status == StatusCode::SERVICE_UNAVAILABLE && !says_when {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
        }
        headers.extend(self.headers);
        response
    }
}

impl From<DbError> for Refusal {
    /// What a failure of the database means to the client; the failure itself is logged here.
    fn from(error: DbError) -> Refusal {
        tracing::warn!(%error, "the database");
        let unavailable = |sentence| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, sentence);
        if error.is_in_doubt() {
            return unavailable(
                "the database went away; look whether the change was made before you make it again",
            );
        }
        match error {
            DbError::Statement { is_full: true, .. } => {
                Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "the disk of the database is full")
            }
            _ => unavailable("the database does not answer; try again soon"),
        }
    }
}
