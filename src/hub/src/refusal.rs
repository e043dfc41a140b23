//! Answers that say no: a status and `{"detail": "..."}`. What a server behind the hub said goes to the log, not to the
//! client, for it names hosts.

use std::borrow::Cow;

use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Method, Response, StatusCode};
use serde::Serialize;
use tnv_client::ClientError;
use tnv_common::database::DbError;
use tnv_package::MeetingId;
use tnv_proto::ErrorCode;

use crate::access::Denied;
use crate::packages::PackageError;
use crate::web::Body;

/// Seconds after which an unavailable cluster or database is worth another try.
const RETRY_SECONDS: &str = "2";

/// Why a request is not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    detail: Cow<'static, str>,
    /// Headers that belong to this status.
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct Detail<'a> {
    detail: &'a str,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { status, detail: detail.into(), headers: Vec::new() }
    }

    /// 400.
    pub(crate) fn bad(detail: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 403.
    pub(crate) fn forbidden(detail: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(StatusCode::FORBIDDEN, detail)
    }

    /// 404.
    pub(crate) fn not_found(detail: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, detail)
    }

    /// 409.
    pub(crate) fn conflict(detail: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(StatusCode::CONFLICT, detail)
    }

    /// 404 where there is nothing.
    pub(crate) fn nothing() -> Refusal {
        Refusal::not_found("Not Found")
    }

    /// 404 of a meeting.
    pub(crate) fn no_meeting(id: &MeetingId) -> Refusal {
        Refusal::not_found(format!("Meeting not found: {id}"))
    }

    /// 404 of a node.
    pub(crate) fn no_node() -> Refusal {
        Refusal::not_found("Node not found")
    }

    /// 405 where only `methods` exist.
    pub(crate) fn method(method: &Method, methods: &'static str) -> Refusal {
        let detail = format!("{method} is not possible here, only {methods}");
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, detail).with(ALLOW, HeaderValue::from_static(methods))
    }

    /// Why somebody may not do something. `asks_by_itself`: a page made the request, which asks for the password itself.
    pub(crate) fn denied(denied: Denied, asks_by_itself: bool) -> Refusal {
        let unauthorized = |detail: &'static str| Refusal::new(StatusCode::UNAUTHORIZED, detail);
        let challenge = |refusal: Refusal, scheme: &'static str| {
            refusal.with(WWW_AUTHENTICATE, HeaderValue::from_static(scheme))
        };
        match denied {
            Denied::NoKey => challenge(
                unauthorized("API key missing: send Authorization: Bearer KEY, or ?api_key=KEY"),
                "Bearer realm=\"tnv hub\"",
            ),
            Denied::WrongKey => Refusal::forbidden("Invalid API key"),
            Denied::KeyNotSet => Refusal::forbidden(
                "nodes elsewhere need an API key: set api_key, or allowed_nodes, in the hub's configuration",
            ),
            Denied::NotAllowed => Refusal::forbidden("this address is in none of the hub's allowed_nodes"),
            Denied::NoPassword if asks_by_itself => unauthorized("the operators' password is needed"),
            Denied::NoPassword => challenge(
                unauthorized("the operators' password is needed"),
                "Basic realm=\"tnv hub\", charset=\"UTF-8\"",
            ),
            Denied::WrongPassword if asks_by_itself => unauthorized("the password is another one"),
            Denied::WrongPassword => challenge(
                unauthorized("the password is another one"),
                "Basic realm=\"tnv hub\", charset=\"UTF-8\"",
            ),
            Denied::PasswordNotSet => Refusal::forbidden(
                "this can be done on the hub's own machine only, unless admin_password is set in its configuration",
            ),
            Denied::TooManyTries => {
                let detail = "too many wrong passwords from your address; wait a minute";
                Refusal::new(StatusCode::TOO_MANY_REQUESTS, detail)
                    .with(RETRY_AFTER, HeaderValue::from_static("60"))
            }
        }
    }

    /// What a failure of the database means to the client; the failure itself is logged here.
    pub(crate) fn database(error: &DbError) -> Refusal {
        tracing::warn!(%error, "the database");
        if error.is_in_doubt() {
            let detail = "the database went away; look whether the change was made before you make it again";
            return Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        }
        match error {
            DbError::Statement { is_full: true, .. } => {
                Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "the disk of the database is full")
            }
            _ => {
                Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer; try again soon")
            }
        }
    }

    /// What a failure behind the hub means to its client; the failure itself is logged here. `subject` is what was
    /// asked for.
    pub(crate) fn upstream(error: &ClientError, subject: &dyn std::fmt::Display) -> Refusal {
        let refusal = Refusal::of(error);
        tracing::warn!(%subject, status = refusal.status.as_u16(), %error, "upstream trouble");
        refusal
    }

    fn of(error: &ClientError) -> Refusal {
        let unavailable = |detail: &'static str| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        if matches!(error, ClientError::Unreachable { .. }) {
            return unavailable("the cluster cannot be reached; try again soon");
        }
        if matches!(error, ClientError::Uncertain { .. }) {
            return Refusal::new(StatusCode::BAD_GATEWAY, "the file may not have been stored; send it again");
        }
        match error.code() {
            Some(ErrorCode::NOT_FOUND) => Refusal::not_found("the bytes of this file are gone"),
            Some(ErrorCode::FORBIDDEN) => {
                Refusal::new(StatusCode::BAD_GATEWAY, "the cluster does not serve the hub's app")
            }
            Some(ErrorCode::TOO_LARGE) => {
                Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the file is larger than the storage takes")
            }
            Some(ErrorCode::NO_SPACE) => {
                Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "there is no room for the file")
            }
            Some(ErrorCode::UNAVAILABLE | ErrorCode::BUSY) => {
                unavailable("the cluster cannot answer now; try again soon")
            }
            Some(ErrorCode::INTERNAL) => {
                Refusal::new(StatusCode::BAD_GATEWAY, "the storage cannot read or write this file")
            }
            _ => Refusal::new(StatusCode::BAD_GATEWAY, "the cluster answered something unexpected"),
        }
    }

    /// What it says to people.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The same with another detail.
    pub(crate) fn saying(self, detail: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { detail: detail.into(), ..self }
    }

    /// The same with one more header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Refusal {
        self.headers.push((name, value));
        self
    }

    /// The answer. Never kept by a cache: the next try may go better.
    pub(crate) fn into_response(self) -> Response<Body> {
        let text = serde_json::to_string(&Detail { detail: &self.detail }).unwrap_or_default();
        let mut response = Response::new(Body::text(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
        }
        headers.extend(self.headers);
        response
    }
}

impl From<PackageError> for Refusal {
    fn from(error: PackageError) -> Refusal {
        match error {
            PackageError::Database(error) => Refusal::database(&error),
            PackageError::Rows(..) => {
                tracing::error!(%error, "a meeting cannot be served");
                Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the rows of this meeting make no package")
            }
        }
    }
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Refusal {
        Refusal::database(&error)
    }
}
