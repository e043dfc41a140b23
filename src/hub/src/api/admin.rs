//! What operators see beside meetings, and how they get in.

use std::net::IpAddr;
use std::time::Instant;

use hyper::Response;
use hyper::header::{HeaderValue, SET_COOKIE};
use hyper::http::request::Parts as Head;
use serde::{Deserialize, Serialize};
use tnv_web::Body;
use tnv_web::answer::{empty, json, put};
use tnv_web::inflow::Inflow;

use super::nodes::{Shown, shown};
use super::read_json;
use crate::audit::Line;
use crate::downloads;
use crate::refusal::{self, Refusal};
use crate::registry::{Node, NodeId, Policy};
use crate::service::Service;

#[derive(Serialize)]
struct Health {
    status: &'static str,
    version: &'static str,
}

#[derive(Deserialize)]
struct LogIn {
    password: String,
}

#[derive(Serialize)]
struct Session {
    /// Whether whoever asks is an operator.
    operator: bool,
    /// Whether operators have a password.
    password: bool,
}

#[derive(Deserialize)]
struct NodeBody {
    draining: bool,
}

/// A node as operators see it.
#[derive(Serialize)]
struct NodeView<'a> {
    #[serde(flatten)]
    shown: Shown<'a>,
    draining: bool,
    /// Whether the hub has found it at its address.
    found: bool,
    trouble: Option<String>,
    latency_ms: Option<u64>,
    peer: IpAddr,
    /// What it is worth when a client is to be sent somewhere.
    score: f64,
    load: u32,
    rate: u64,
    /// Which part of its clients came back at once.
    returned: f64,
    packages: Vec<Held>,
}

#[derive(Serialize)]
struct Held {
    id: String,
    version: String,
}

#[derive(Serialize)]
struct Nodes<'a> {
    nodes: Vec<NodeView<'a>>,
}

#[derive(Serialize)]
struct Downloads {
    downloads: Vec<downloads::Shown>,
}

#[derive(Serialize)]
struct Audit {
    lines: Vec<Line>,
}

/// Packages that are shown of a node, at most.
const MAX_HELD: usize = 1000;

/// Answers whoever wants to know whether the hub answers.
pub(crate) fn health() -> Result<Response<Body>, Refusal> {
    json(&Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// Answers a GET: whether this is an operator.
pub(crate) fn session(service: &Service, head: &Head, peer: IpAddr) -> Result<Response<Body>, Refusal> {
    let operator = service.access.operator(&head.headers, peer, Instant::now()).is_ok();
    json(&Session { operator, password: service.access.has_password() })
}

/// Answers a POST of the password.
pub(crate) async fn log_in(service: &Service, body: Inflow, peer: IpAddr) -> Result<Response<Body>, Refusal> {
    let LogIn { password } = read_json(body).await?;
    let cookie = service.access.log_in(&password, peer, Instant::now());
    let cookie = cookie.map_err(|denied| refusal::denied(denied, true))?;
    let mut response = json(&Session { operator: true, password: true })?;
    put(response.headers_mut(), SET_COOKIE, &cookie);
    Ok(response)
}

/// Answers a DELETE of the session.
pub(crate) fn log_out(service: &Service, head: &Head) -> Response<Body> {
    let mut response = empty(hyper::StatusCode::NO_CONTENT);
    if let Ok(cookie) = HeaderValue::from_str(&service.access.log_out(&head.headers)) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// Answers a GET of all nodes.
pub(crate) fn nodes(service: &Service) -> Result<Response<Body>, Refusal> {
    let nodes = service.nodes.lock();
    let policy = nodes.policy();
    json(&Nodes { nodes: nodes.nodes().map(|node| view(node, policy)).collect() })
}

/// Answers a PUT: keeps clients away from a node, or no longer.
pub(crate) async fn change_node(
    service: &Service,
    id: &NodeId,
    body: Inflow,
) -> Result<Response<Body>, Refusal> {
    let NodeBody { draining } = read_json(body).await?;
    let mut nodes = service.nodes.lock();
    if !nodes.drain(id, draining) {
        return Err(refusal::no_node());
    }
    tracing::info!(node = %id, draining, "an operator decides about a node");
    let policy = nodes.policy();
    nodes.node(id).map_or_else(|| Err(refusal::no_node()), |node| json(&view(node, policy)))
}

/// Answers a DELETE: forgets a node and what was decided about it, until it registers again.
pub(crate) fn forget_node(service: &Service, id: &NodeId) -> Result<Response<Body>, Refusal> {
    if !service.nodes.lock().forget(id) {
        return Err(refusal::no_node());
    }
    tracing::info!(node = %id, "an operator has a node forgotten");
    json(&serde_json::json!({"status": "unregistered"}))
}

/// Answers a GET of the downloads under way.
pub(crate) fn downloads(service: &Service) -> Result<Response<Body>, Refusal> {
    json(&Downloads { downloads: service.downloads.shown() })
}

/// Answers a GET of what was done last.
pub(crate) fn audit(service: &Service) -> Result<Response<Body>, Refusal> {
    json(&Audit { lines: service.audit.last() })
}

fn view<'a>(node: &'a Node, policy: &Policy) -> NodeView<'a> {
    let now = Instant::now();
    let mut packages: Vec<Held> = node
        .packages()
        .take(MAX_HELD)
        .map(|(id, version)| Held { id: id.to_string(), version: version.to_string() })
        .collect();
    packages.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    NodeView {
        shown: shown(node, policy.heartbeat_timeout),
        draining: node.is_draining,
        found: node.is_found(),
        trouble: node.trouble(now),
        latency_ms: node.latency().map(|latency| u64::try_from(latency.as_millis()).unwrap_or(u64::MAX)),
        peer: node.peer,
        score: policy.score(node, true, None, now),
        load: node.load(),
        rate: node.rate,
        returned: node.return_rate(now),
        packages,
    }
}
