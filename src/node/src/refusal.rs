//! Answers that say no, where they are a node's own.

use hyper::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use tnv_web::answer::json_with;
use tnv_web::{Body, Refusal};

use crate::config::ChangeError;
use crate::config::Remark;
use crate::hub::HubError;
use crate::node::NotChanged;
use crate::pull::PullError;

/// Seconds after which a package that cannot be had now is worth another try.
const RETRY_SECONDS: u32 = 5;

/// What is answered where the configuration is not changed.
pub(crate) fn not_changed(error: &NotChanged) -> Result<Response<Body>, Refusal> {
    match error {
        NotChanged::Config(ChangeError::Mistakes(mistakes)) => of_mistakes(mistakes),
        NotChanged::Config(ChangeError::Write { .. }) => {
            tracing::error!(%error, "配置保存失败");
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
        }
        NotChanged::Store(error) => {
            of_mistakes(&[Remark { key: "storage.path".to_owned(), message: error.to_string() }])
        }
    }
}

/// 400 with every mistake of a configuration.
fn of_mistakes(mistakes: &[Remark]) -> Result<Response<Body>, Refusal> {
    let list: Vec<Value> =
        mistakes.iter().map(|remark| json!({"key": remark.key, "message": remark.message})).collect();
    let detail: Vec<String> = mistakes.iter().map(Remark::to_string).collect();
    json_with(StatusCode::BAD_REQUEST, &json!({"detail": detail.join("; "), "errors": list}))
}

/// 404 of a package.
pub(crate) fn no_package() -> Refusal {
    Refusal::not_found("Meeting package not found")
}

/// 503 while the service does not run.
pub(crate) fn stopped() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "服务未运行")
}

/// 401: the password is asked for.
pub(crate) fn password(detail: &'static str) -> Refusal {
    let ask = HeaderValue::from_static("Basic realm=\"tnv node\", charset=\"UTF-8\"");
    Refusal::new(StatusCode::UNAUTHORIZED, detail).with(WWW_AUTHENTICATE, ask)
}

/// What it means to a client that a package has not come. What is behind it was logged where it happened.
pub(crate) fn pull(error: &PullError) -> Refusal {
    let unavailable =
        |detail: &'static str| again_in(RETRY_SECONDS, Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail));
    match error {
        PullError::Hub(HubError::Unknown(_)) => no_package(),
        PullError::Hub(HubError::Away(_) | HubError::Busy { .. }) => {
            unavailable("the package is not here, and the hub cannot be reached; try again soon")
        }
        PullError::Hub(HubError::Changed) => unavailable("the meeting is being changed; try again"),
        PullError::Hub(HubError::Refused { .. }) => {
            unavailable("the package is not here, and the hub does not let this node have it")
        }
        PullError::Damaged(_) => unavailable("the package is damaged here and is fetched again; try again"),
        PullError::Cancelled => unavailable("the node has stopped pulling the package; try again"),
        PullError::Hub(HubError::Odd { .. } | HubError::Nonsense(_)) | PullError::Wrong { .. } => {
            Refusal::new(StatusCode::BAD_GATEWAY, "the hub's package is not what its manifest says")
        }
        error if error.is_full() => {
            let detail = "there is no room for the package on this node";
            again_in(60, Refusal::new(StatusCode::INSUFFICIENT_STORAGE, detail))
        }
        PullError::Full { .. } | PullError::Io(_) | PullError::Broken(_) => {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the node cannot keep the package")
        }
    }
}

fn again_in(seconds: u32, refusal: Refusal) -> Refusal {
    refusal.with(RETRY_AFTER, HeaderValue::from(seconds))
}
