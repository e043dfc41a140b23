//! Answers that are no files: the front page and the cluster's state.

use hyper::Response;
use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use tnv_client::Client;

use crate::body::Body;
use crate::refusal::Refusal;

const INDEX: &str = include_str!("index.html");

/// What is here.
pub(crate) fn index() -> Response<Body> {
    let mut response = page(INDEX, "text/html; charset=utf-8");
    response.headers_mut().insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    );
    response
}

/// All groups and storages as JSON, as a tracker knows them.
pub(crate) async fn cluster(client: &Client) -> Result<Response<Body>, Refusal> {
    let state = client.state().await.map_err(|error| Refusal::upstream(&error, &"the cluster's state"))?;
    let json = serde_json::to_string(&state).map_err(|error| {
        tracing::error!(%error, "cannot write the cluster's state");
        Refusal::new(StatusCode::BAD_GATEWAY, "the cluster answered something unexpected")
    })?;
    Ok(page(json + "\n", "application/json"))
}

fn page(text: impl Into<bytes::Bytes>, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::text(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
