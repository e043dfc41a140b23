//! Answers that say no: a status and `{"detail": "..."}`.

use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::body::Body;
use crate::config::ChangeError;
use crate::config::Remark;
use crate::hub::HubError;
use crate::node::NotChanged;
use crate::pull::PullError;

/// Seconds after which a package that cannot be had now is worth another try.
const RETRY_SECONDS: u32 = 5;

/// Why a request is not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    body: Value,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Refusal {
        Refusal { status, body: json!({"detail": detail.into()}), headers: Vec::new() }
    }

    /// 400.
    pub(crate) fn bad(detail: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 400 with every mistake of a configuration.
    fn mistakes(mistakes: &[Remark]) -> Refusal {
        let list: Vec<Value> =
            mistakes.iter().map(|remark| json!({"key": remark.key, "message": remark.message})).collect();
        let detail: Vec<String> = mistakes.iter().map(Remark::to_string).collect();
        let body = json!({"detail": detail.join("; "), "errors": list});
        Refusal { status: StatusCode::BAD_REQUEST, body, headers: Vec::new() }
    }

    /// A configuration that is not changed.
    pub(crate) fn not_changed(error: &NotChanged) -> Refusal {
        match error {
            NotChanged::Config(ChangeError::Mistakes(mistakes)) => Refusal::mistakes(mistakes),
            NotChanged::Config(ChangeError::Write { .. }) => {
                tracing::error!(%error, "配置保存失败");
                Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }
            NotChanged::Store(error) => {
                Refusal::mistakes(&[Remark { key: "storage.path".to_owned(), message: error.to_string() }])
            }
        }
    }

    /// 404 of a package.
    pub(crate) fn no_package() -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, "Meeting package not found")
    }

    /// 503 while the service does not run.
    pub(crate) fn stopped() -> Refusal {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "服务未运行")
    }

    /// 405 where only `methods` exist.
    pub(crate) fn method(method: &Method, methods: &'static str) -> Refusal {
        let detail = format!("{method} is not possible here, only {methods}");
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, detail).with(ALLOW, HeaderValue::from_static(methods))
    }

    /// 401: the password is asked for.
    pub(crate) fn password(detail: &'static str) -> Refusal {
        let ask = HeaderValue::from_static("Basic realm=\"tnv node\", charset=\"UTF-8\"");
        Refusal::new(StatusCode::UNAUTHORIZED, detail).with(WWW_AUTHENTICATE, ask)
    }

    /// What it means to a client that a package has not come. What is behind it was logged where it happened.
    pub(crate) fn pull(error: &PullError) -> Refusal {
        let unavailable =
            |detail: &str| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail).again_in(RETRY_SECONDS);
        match error {
            PullError::Hub(HubError::Unknown(_)) => Refusal::no_package(),
            PullError::Hub(HubError::Away(_) | HubError::Busy { .. }) => {
                unavailable("the package is not here, and the hub cannot be reached; try again soon")
            }
            PullError::Hub(HubError::Changed) => unavailable("the meeting is being changed; try again"),
            PullError::Hub(HubError::Refused { .. }) => {
                unavailable("the package is not here, and the hub does not let this node have it")
            }
            PullError::Cancelled => unavailable("the node has stopped pulling the package; try again"),
            PullError::Hub(HubError::Odd { .. } | HubError::Nonsense(_)) | PullError::Wrong { .. } => {
                Refusal::new(StatusCode::BAD_GATEWAY, "the hub's package is not what its manifest says")
            }
            error if error.is_full() => Refusal::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "there is no room for the package on this node",
            )
            .again_in(60),
            PullError::Full { .. } | PullError::Io(_) | PullError::Broken(_) => {
                Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the node cannot keep the package")
            }
        }
    }

    /// The same with one more header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Refusal {
        self.headers.push((name, value));
        self
    }

    fn again_in(self, seconds: u32) -> Refusal {
        self.with(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The answer. Never kept by a cache: the next try may go better.
    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::text(self.body.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.headers);
        response
    }
}
