//! What the gateway tells of itself and of the cluster, as JSON, and for Prometheus.

use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};
use serde::Serialize;
use tnv_client::Client;
use tnv_common::metrics::{self, Metrics};
use tnv_web::{Body, Refusal};

use crate::service::Gateway;

/// What the page must know of the gateway.
#[derive(Serialize)]
struct About<'a> {
    writing: bool,
    app: &'a str,
    user: &'a str,
    max_upload_size: u64,
}

/// How the gateway is configured, as far as it concerns the page.
pub(crate) fn config(gateway: &Gateway) -> Result<Response<Body>, Refusal> {
    json(&About {
        writing: gateway.writing,
        app: gateway.owner.app.as_str(),
        user: gateway.owner.user.as_str(),
        max_upload_size: gateway.max_upload_size,
    })
}

/// All groups and storages, as a tracker knows them.
pub(crate) async fn cluster(client: &Client) -> Result<Response<Body>, Refusal> {
    let state = client.state().await.map_err(|error| Refusal::upstream(&error, &"the cluster's state"))?;
    json(&state)
}

/// Everything that this process has counted.
pub(crate) fn metrics() -> Response<Body> {
    fresh(Metrics::global().render(), metrics::CONTENT_TYPE)
}

/// An answer in JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<Response<Body>, Refusal> {
    let text = serde_json::to_string(value).map_err(|error| {
        tracing::error!(%error, "cannot write an answer");
        Refusal::new(StatusCode::BAD_GATEWAY, "the cluster answered something unexpected")
    })?;
    Ok(fresh(text + "\n", "application/json"))
}

/// A text that is another one the next time.
fn fresh(text: String, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::text(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
