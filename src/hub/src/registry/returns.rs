//! Clients that were sent to a node and are back: it may be that the node failed them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tnv_package::MeetingId;

use super::NodeId;

/// Clients that are remembered, at most. Of those that come when there are more, nothing is known.
const MAX_REMEMBERED: usize = 20_000;

/// How often those who have not come back are forgotten where there are too many, at most.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Where clients were sent lately.
#[derive(Debug)]
pub(super) struct Returns {
    sent: HashMap<(IpAddr, MeetingId), Sent>,
    window: Duration,
    swept: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Sent {
    node: NodeId,
    at: Instant,
}

impl Returns {
    /// Whoever is back after `window` has had other reasons.
    pub(super) fn new(window: Duration) -> Returns {
        Returns { sent: HashMap::new(), window, swept: None }
    }

    /// The node that this client was sent to a moment ago.
    pub(super) fn take(&mut self, client: IpAddr, meeting: &MeetingId, now: Instant) -> Option<NodeId> {
        let sent = self.sent.remove(&(client, meeting.clone()))?;
        (now.saturating_duration_since(sent.at) < self.window).then_some(sent.node)
    }

    /// A client is sent to this node.
    pub(super) fn note(&mut self, client: IpAddr, meeting: &MeetingId, node: &NodeId, now: Instant) {
        if self.window.is_zero() {
            return;
        }
        let rested = |swept: Instant| now.saturating_duration_since(swept) >= SWEEP_EVERY;
        if self.sent.len() >= MAX_REMEMBERED && self.swept.is_none_or(rested) {
            self.sweep(now);
        }
        if self.sent.len() < MAX_REMEMBERED {
            self.sent.insert((client, meeting.clone()), Sent { node: node.clone(), at: now });
        }
    }

    /// Forgets those who have not come back.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.swept = Some(now);
        self.sent.retain(|_, sent| now.saturating_duration_since(sent.at) < self.window);
    }
}
