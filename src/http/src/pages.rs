//! What the gateway tells of itself and of the cluster, as JSON.

use hyper::Response;
use serde::Serialize;
use tnv_client::Client;
use tnv_web::answer::json;
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
