//! The node's place among the hub's nodes: registered, kept by heartbeats, taken up again whatever happens in between.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::hub::{Hub, HubError};
use crate::node::{Node, Service};

/// The longest pause while the hub is away.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// The pause while it does not take this node's key: nothing will change until somebody changes it.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// How often the log says that the hub does not know it, at most.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What comes and goes within this time is told at once.
const NEWS_PAUSE: Duration = Duration::from_millis(500);

/// The place that a node has, or not.
struct Membership {
    node: Arc<Node>,
    /// The hub where it is registered, and the id that it has there.
    at: Option<(Arc<Hub>, String)>,
    /// What it told the hub to be: another address or name is told anew.
    told: Option<(String, String)>,
    /// Words in a row that did not get through.
    failures: u32,
    /// When it was last logged that the hub does not know it.
    forgotten: Option<Instant>,
}

/// Keeps the node registered as long as its service runs, until the process ends.
pub(crate) async fn run(node: Arc<Node>) {
    let mut membership =
        Membership { node: node.clone(), at: None, told: None, failures: 0, forgotten: None };
    let (mut service, mut changes) = (node.watch_service(), node.watch_changes());
    loop {
        let now = *service.borrow_and_update();
        changes.mark_unchanged();
        let news = Some(node.pulls().store.watch());
        let pause = match now {
            Service::Running => Some(membership.keep().await),
            Service::Stopped | Service::Ending => {
                membership.leave().await;
                None
            }
        };
        if now == Service::Ending {
            return;
        }
        let news = news.filter(|_| membership.at.is_some());
        wait(pause, news, &mut service, &mut changes).await;
    }
}

/// Until the pause is over, or something has changed.
async fn wait(
    pause: Option<Duration>,
    news: Option<watch::Receiver<()>>,
    service: &mut watch::Receiver<Service>,
    changes: &mut watch::Receiver<u64>,
) {
    let pause = async {
        match pause {
            Some(pause) => tokio::time::sleep(pause).await,
            None => std::future::pending().await,
        }
    };
    // Clients are sent here as soon as the hub knows that there is something for them.
    let news = async {
        let Some(mut news) = news else { return std::future::pending().await };
        // Its sender may go with a storage that is used no more; that change is heard of otherwise.
        match news.changed().await {
            Ok(()) => tokio::time::sleep(NEWS_PAUSE).await,
            Err(_) => std::future::pending().await,
        }
    };
    // The senders live as long as the node does.
    tokio::select! {
        () = pause => {}
        () = news => {}
        _ = service.changed() => {}
        _ = changes.changed() => {}
    }
}

impl Membership {
    /// Registers, or says that the node is still there: how long to wait then.
    async fn keep(&mut self) -> Duration {
        match self.word().await {
            Ok(()) => {
                self.failures = 0;
                self.node.heard(|standing| standing.error = None);
                self.node.config().heartbeat.interval
            }
            Err(error) => self.failed(&error),
        }
    }

    async fn word(&mut self) -> Result<(), HubError> {
        let hub = self.node.supply.hub();
        let host = self.node.public_host().await;
        let host = host.map_err(|error| HubError::Away(format!("no way to it is known: {error}")))?;
        let presence = self.node.presence(&host, "active");
        let told = (presence.node_id.clone(), presence.address.clone());
        if self.at.as_ref().is_some_and(|(at, _)| !Arc::ptr_eq(at, &hub)) || self.told != Some(told.clone()) {
            // Another hub, key, name or address.
            if self.told.as_ref().is_some_and(|(id, _)| *id != told.0) {
                self.leave().await;
            }
            self.at = None;
        }
        if let Some((_, id)) = &self.at {
            match hub.heartbeat(id, &presence).await {
                Err(HubError::Unknown(reason)) => self.note_unknown(&reason),
                outcome => return outcome,
            }
        }
        self.at = None;
        self.node.heard(|standing| standing.registered = None);
        let registration = crate::hub::Presence { status: "online", ..presence.clone() };
        let id = hub.register(&registration).await?;
        tracing::info!(address = presence.address, id, "节点注册成功");
        self.node.heard(|standing| {
            (standing.registered, standing.address) = (Some(id.clone()), Some(presence.address.clone()));
            standing.error = None;
        });
        // What it holds is told by heartbeats.
        let beaten = hub.heartbeat(&id, &presence).await;
        (self.at, self.told) = (Some((hub, id)), Some(told));
        beaten
    }

    /// The hub does not know the node, or another one by its id: two of these would fill the log.
    fn note_unknown(&mut self, reason: &str) {
        if self.forgotten.is_some_and(|at| at.elapsed() < TELL_EVERY) {
            tracing::debug!(reason, "主控服务器不认识本节点，重新注册");
            return;
        }
        self.forgotten = Some(Instant::now());
        tracing::warn!(reason, "主控服务器不认识本节点，重新注册");
    }

    fn failed(&mut self, error: &HubError) -> Duration {
        self.failures += 1;
        let refused = matches!(error, HubError::Refused { .. });
        if self.failures == 1 || refused {
            tracing::error!(%error, "与主控服务器通信失败，将继续重试");
        } else {
            tracing::debug!(%error, failures = self.failures, "与主控服务器通信失败");
        }
        self.node.heard(|standing| (standing.error, standing.refused) = (Some(error.to_string()), refused));
        if refused {
            return REFUSED_PAUSE;
        }
        let interval = self.node.config().heartbeat.interval.min(MAX_PAUSE);
        let doubled = interval.saturating_mul(1 << (self.failures - 1).min(6)).min(MAX_PAUSE);
        // When a hub comes back, its nodes do not come all at once.
        doubled.mul_f64(0.5 + rand::random::<f64>() / 2.0)
    }

    /// Says goodbye, once, if there is anybody who would miss it.
    async fn leave(&mut self) {
        let Some((hub, id)) = self.at.take() else { return };
        self.told = None;
        self.node.heard(|standing| standing.registered = None);
        match hub.unregister(&id).await {
            Ok(()) => tracing::info!(id, "节点已注销"),
            Err(error) => tracing::warn!(id, %error, "节点注销失败"),
        }
    }
}
