//! Answers that say no, where they are the hub's own. What a server behind the hub said goes to the log, not to the client, for
//! it names hosts.

use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use tnv_client::ClientError;
use tnv_package::MeetingId;
use tnv_proto::ErrorCode;
pub(crate) use tnv_web::Refusal;

use crate::access::Denied;
use crate::packages::PackageError;

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

/// What a failure behind the hub means to its client; the failure itself is logged here. `subject` is what was
/// asked for.
pub(crate) fn upstream(error: &ClientError, subject: &dyn std::fmt::Display) -> Refusal {
    let refusal = of(error);
    tracing::warn!(%subject, status = refusal.status().as_u16(), %error, "upstream trouble");
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

impl From<PackageError> for Refusal {
    fn from(error: PackageError) -> Refusal {
        match error {
            PackageError::Database(error) => Refusal::from(error),
            PackageError::Rows(..) => {
                tracing::error!(%error, "a meeting cannot be served");
                Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the rows of this meeting make no package")
            }
        }
    }
}
