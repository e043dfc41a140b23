//! Nodes: they come, say how they are, and leave.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use blake3::Hash;
use hyper::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tnv_common::clock::unix_millis;
use tnv_package::MeetingId;
use tnv_web::Body;
use tnv_web::answer::json;
use tnv_web::inflow::Inflow;

use super::{integer, read_json};
use crate::refusal::{self, Refusal};
use crate::registry::{Address, Beat, Node, NodeId, Registration, Target};
use crate::service::Service;

/// The longest status and region that a node may have, in characters.
const MAX_WORD: usize = 64;

/// What both generations of nodes say of themselves: `node_id` and `address`, or `id`, `ip` and `port`.
#[derive(Deserialize)]
struct RegisterBody {
    id: Option<String>,
    node_id: Option<String>,
    #[serde(flatten)]
    place: Place,
    #[serde(flatten)]
    beat: BeatBody,
}

/// What a node says of how and where it is.
#[derive(Deserialize)]
struct HeartbeatBody {
    #[serde(flatten)]
    place: Place,
    #[serde(flatten)]
    beat: BeatBody,
}

/// Where a node says that it is.
#[derive(Deserialize)]
struct Place {
    address: Option<String>,
    ip: Option<String>,
    #[serde(default, deserialize_with = "integer")]
    port: Option<u16>,
}

/// What a node says of how it is.
#[derive(Deserialize)]
struct BeatBody {
    health: Option<f64>,
    status: Option<String>,
    #[serde(default, deserialize_with = "integer")]
    storage_capacity: Option<u64>,
    #[serde(default, deserialize_with = "integer")]
    storage_used: Option<u64>,
    /// Older nodes name the ids of meetings there, which tell no version.
    #[serde(default, alias = "meetings")]
    packages: Option<Vec<Value>>,
    #[serde(default, deserialize_with = "integer")]
    downloads: Option<u32>,
    #[serde(default, deserialize_with = "integer")]
    rate: Option<u64>,
    weight: Option<f64>,
    region: Option<String>,
}

#[derive(Serialize)]
struct Registered<'a> {
    id: &'a str,
    status: &'static str,
}

#[derive(Serialize)]
struct Done {
    status: &'static str,
}

/// A node as everybody sees it.
#[derive(Serialize)]
pub(crate) struct Shown<'a> {
    pub(crate) id: &'a str,
    pub(crate) address: String,
    pub(crate) ip: &'a str,
    pub(crate) port: u16,
    pub(crate) status: &'a str,
    /// Whether clients are sent to it.
    pub(crate) online: bool,
    pub(crate) health: f64,
    /// Seconds since 1970, by the hub's clock.
    pub(crate) last_heartbeat: f64,
    pub(crate) storage_capacity: u64,
    pub(crate) storage_used: u64,
    /// How many packages it holds.
    pub(crate) meetings: usize,
    pub(crate) downloads: u32,
}

#[derive(Serialize)]
struct List<'a> {
    nodes: Vec<Shown<'a>>,
}

/// Answers a node that comes.
pub(crate) async fn register(
    service: &Service,
    body: Inflow,
    peer: IpAddr,
) -> Result<Response<Body>, Refusal> {
    let body: RegisterBody = read_json(body).await?;
    let id = body.id.as_ref().or(body.node_id.as_ref()).filter(|id| !id.is_empty());
    let id = id.cloned().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let id = NodeId::new(&id).map_err(|error| Refusal::bad(error.to_string()))?;
    let address = body
        .place
        .address()?
        .ok_or_else(|| Refusal::bad("say where the node is: address as HOST:PORT, or ip and port"))?;
    if address.ip().is_some_and(|ip| !service.access.allows_node(ip)) {
        let detail = format!("{address} is in none of the hub's allowed_nodes");
        return Err(Refusal::forbidden(detail));
    }
    let beat = body.beat.check()?;
    let registration = Registration {
        id: id.clone(),
        address: address.clone(),
        status: beat.status.clone().unwrap_or_else(|| "active".to_owned()),
        storage_capacity: beat.storage_capacity.unwrap_or(0),
        storage_used: beat.storage_used.unwrap_or(0),
    };
    let now = Instant::now();
    let is_new = {
        let mut nodes = service.nodes.lock();
        let is_new = nodes.node(&id).is_none();
        let must_ask = nodes
            .register(registration, peer, now)
            .map_err(|error| Refusal::new(hyper::StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
        nodes.beat(&id, beat, now);
        if must_ask {
            service.prober.ask_soon(Target { id: id.clone(), address: address.clone() });
        }
        is_new
    };
    if is_new {
        tracing::info!(node = %id, %address, %peer, "a node has registered");
    }
    json(&Registered { id: id.as_str(), status: "registered" })
}

/// Answers a node that says how it is.
pub(crate) async fn heartbeat(
    service: &Service,
    id: &NodeId,
    body: Inflow,
) -> Result<Response<Body>, Refusal> {
    let HeartbeatBody { place, beat } = read_json(body).await?;
    // What is no address tells nothing, as none at all: a node is not lost for it that has served so far.
    let address = place.address().ok().flatten();
    let beat = Beat { address, ..beat.check()? };
    let mut nodes = service.nodes.lock();
    if !nodes.beat(id, beat, Instant::now()) {
        return Err(match nodes.node(id) {
            None => refusal::no_node(),
            Some(node) => Refusal::not_found(format!(
                "{id} is registered at {}; register again, and give each node an id of its own",
                node.address
            )),
        });
    }
    json(&Done { status: "ok" })
}

/// Answers a node that leaves.
pub(crate) fn unregister(service: &Service, id: &NodeId) -> Result<Response<Body>, Refusal> {
    if !service.nodes.lock().unregister(id) {
        return Err(refusal::no_node());
    }
    tracing::info!(node = %id, "a node has left");
    json(&Done { status: "unregistered" })
}

/// Answers a GET of the list.
pub(crate) fn list(service: &Service) -> Result<Response<Body>, Refusal> {
    let nodes = service.nodes.lock();
    let timeout = nodes.policy().heartbeat_timeout;
    json(&List { nodes: nodes.nodes().map(|node| shown(node, timeout)).collect() })
}

pub(crate) fn shown(node: &Node, timeout: Duration) -> Shown<'_> {
    let now = Instant::now();
    let serves = node.is_active() && node.is_found() && !node.is_draining;
    let silence = node.silence(now);
    Shown {
        id: node.id.as_str(),
        address: node.address.to_string(),
        ip: &node.address.host,
        port: node.address.port,
        status: &node.status,
        online: serves && node.is_fresh(now, timeout),
        health: node.health,
        last_heartbeat: unix_millis() as f64 / 1000.0 - silence.as_secs_f64(),
        storage_capacity: node.storage_capacity,
        storage_used: node.storage_used,
        meetings: node.packages().count(),
        downloads: node.downloads,
    }
}

impl Place {
    /// The address, if there is one.
    fn address(&self) -> Result<Option<Address>, Refusal> {
        let address = match (&self.address, &self.ip, self.port) {
            (Some(address), ..) => address.parse(),
            (None, Some(ip), Some(port)) => Address::new(ip, port),
            _ => return Ok(None),
        };
        address.map(Some).map_err(|error| Refusal::bad(error.to_string()))
    }
}

impl BeatBody {
    fn check(self) -> Result<Beat, Refusal> {
        let is_word = |text: &String| text.chars().count() <= MAX_WORD && !text.contains(char::is_control);
        if !self.status.iter().chain(&self.region).all(is_word) {
            return Err(Refusal::bad(format!(
                "status and region have up to {MAX_WORD} characters, none of them a control character"
            )));
        }
        let packages = self.packages.map(|packages| packages.iter().filter_map(package).collect());
        Ok(Beat {
            address: None,
            health: self.health,
            status: self.status,
            storage_capacity: self.storage_capacity,
            storage_used: self.storage_used,
            packages,
            downloads: self.downloads,
            rate: self.rate,
            weight: self.weight,
            region: self.region,
        })
    }
}

/// A package that a node holds; what does not say which version it is of counts for nothing.
fn package(held: &Value) -> Option<(MeetingId, Hash)> {
    let id = held.get("id").or_else(|| held.get("meeting_id"))?.as_str()?;
    let version = held.get("version")?.as_str()?;
    Some((MeetingId::new(id).ok()?, Hash::from_hex(version).ok()?))
}
