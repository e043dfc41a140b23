//! Asks nodes how they are, where they say that they are: whoever answers there must be the node itself.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Access;
use crate::nodes::Nodes;
use crate::registry::{Finding, Target};

/// Where a node tells how it is; older ones do so at the second.
const STATUS_PATHS: [&str; 2] = ["/api/v1/node/status", "/api/status"];
/// The names that a node's id has there.
const ID_FIELDS: [&str; 3] = ["id", "node_id", "nodeId"];
/// The longest answer, in bytes.
const MAX_ANSWER: usize = 256 * 1024;
/// Nodes that are asked at a time.
const MAX_AT_ONCE: usize = 32;

/// Why a node has not answered as it should.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("it does not answer within {0:?}")]
    Silent(Duration),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("no sensible answer: {0}")]
    Http(String),
    #[error("its status is {0}")]
    Status(StatusCode),
    #[error("its answer does not say who it is")]
    Nameless,
    #[error("it is at {0}, which is in none of allowed_nodes")]
    NotAllowed(IpAddr),
}

/// Asks all nodes again and again, and single ones when they come.
#[derive(Clone)]
pub(crate) struct Prober {
    nodes: Nodes,
    access: Arc<Access>,
    patience: Duration,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Prober {
    pub(crate) fn new(
        nodes: Nodes,
        access: Arc<Access>,
        patience: Duration,
        shutdown: CancellationToken,
    ) -> Prober {
        let (permits, tasks) = (Arc::new(Semaphore::new(MAX_AT_ONCE)), TaskTracker::new());
        Prober { nodes, access, patience, permits, tasks, shutdown }
    }

    /// Asks all nodes every `interval`, until the hub stops.
    pub(crate) async fn run(self, interval: Duration) {
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => break,
                () = tokio::time::sleep(interval) => {}
            }
            let targets = self.nodes.lock().targets(Instant::now());
            for target in targets {
                self.ask_soon(target);
            }
            self.nodes.lock().forget_silent(Instant::now());
            // A round that takes longer than the interval is not overtaken by the next one.
            while !self.tasks.is_empty() && !self.shutdown.is_cancelled() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Asks a node in the background.
    pub(crate) fn ask_soon(&self, target: Target) {
        let prober = self.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = prober.shutdown.cancelled() => {}
                () = prober.ask(&target) => {}
            }
        });
    }

    async fn ask(&self, target: &Target) {
        let Ok(_permit) = self.permits.acquire().await else { return };
        let begun = Instant::now();
        let asked = tokio::time::timeout(self.patience, who_is_at(target, &self.access)).await;
        let finding = match asked.unwrap_or(Err(Fault::Silent(self.patience))) {
            Ok(who) if who == target.id.as_str() => Finding::Answered(begun.elapsed()),
            Ok(who) => Finding::Impostor(who.chars().take(128).collect()),
            Err(fault) => Finding::Failed(fault.to_string()),
        };
        self.nodes.lock().probed(target, finding, Instant::now());
    }
}

/// The id of the node at this address.
async fn who_is_at(target: &Target, access: &Access) -> Result<String, Fault> {
    let mut status = StatusCode::NOT_FOUND;
    for path in STATUS_PATHS {
        let answer = get(target, path, access).await?;
        status = answer.0;
        if status == StatusCode::OK {
            let answer: Value =
                serde_json::from_slice(&answer.1).map_err(|error| Fault::Http(error.to_string()))?;
            let id = ID_FIELDS.iter().find_map(|field| answer.get(field)?.as_str());
            return id.map(str::to_owned).ok_or(Fault::Nameless);
        }
        if status != StatusCode::NOT_FOUND {
            break;
        }
    }
    Err(Fault::Status(status))
}

async fn get(target: &Target, path: &str, access: &Access) -> Result<(StatusCode, Bytes), Fault> {
    let address = &target.address;
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    let peer = stream.peer_addr()?.ip();
    if !access.allows_node(peer) {
        return Err(Fault::NotAllowed(peer));
    }
    let nonsense = |error: hyper::Error| Fault::Http(error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(nonsense)?;
    let request = Request::get(path)
        .header(HOST, address.to_string())
        .header(ACCEPT, "application/json")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Fault::Http(error.to_string()))?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(nonsense)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| Fault::Http(error.to_string()))?;
        Ok((status, body.to_bytes()))
    };
    // The connection only moves while somebody waits for it.
    let mut connection = std::pin::pin!(connection);
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        ended = &mut connection => match ended {
            // What it has read is there still.
            Ok(()) => exchange.await,
            Err(error) => Err(nonsense(error)),
        },
    }
}
