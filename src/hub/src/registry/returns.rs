//! Clients that were sent to a node and are back: it may be that the node failed them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use blake3::Hash;

use super::NodeId;

/// Ways of clients to nodes that are remembered, at most. Of those that come when there are more, nothing is known.
const MAX_REMEMBERED: usize = 20_000;

/// How often those who have not come back are forgotten where there are too many, at most.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Where clients were sent lately, and for which version of a package.
#[derive(Debug)]
pub(super) struct Returns {
    sent: HashMap<(IpAddr, Hash), Vec<Sent>>,
    /// How many ways those are.
    remembered: usize,
    window: Duration,
    swept: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Sent {
    node: NodeId,
    at: Instant,
    /// That the client came back was held against the node.
    is_counted: bool,
}

/// A client that is back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Back {
    /// All nodes that it was sent to within the window.
    pub(super) nodes: Vec<NodeId>,
    /// The one that it comes from, unless that is known already.
    pub(super) from: Option<NodeId>,
}

impl Returns {
    /// Whoever is back after `window` has had other reasons.
    pub(super) fn new(window: Duration) -> Returns {
        Returns { sent: HashMap::new(), remembered: 0, window, swept: None }
    }

    /// Where this client was sent a moment ago, for the same package.
    pub(super) fn back(&mut self, client: IpAddr, version: Hash, now: Instant) -> Back {
        let key = (client, version);
        let Some(ways) = self.sent.get_mut(&key) else { return Back::default() };
        let before = ways.len();
        ways.retain(|sent| now.saturating_duration_since(sent.at) < self.window);
        self.remembered -= before - ways.len();
        if ways.is_empty() {
            self.sent.remove(&key);
            return Back::default();
        }
        let nodes = ways.iter().map(|sent| sent.node.clone()).collect();
        let last = ways.last_mut().filter(|sent| !sent.is_counted);
        let from = last.map(|sent| {
            sent.is_counted = true;
            sent.node.clone()
        });
        Back { nodes, from }
    }

    /// A client is sent to this node.
    pub(super) fn note(&mut self, client: IpAddr, version: Hash, node: &NodeId, now: Instant) {
        if self.window.is_zero() {
            return;
        }
        let rested = |swept: Instant| now.saturating_duration_since(swept) >= SWEEP_EVERY;
        if self.remembered >= MAX_REMEMBERED && self.swept.is_none_or(rested) {
            self.sweep(now);
        }
        let ways = self.sent.get_mut(&(client, version));
        if let Some(ways) = ways {
            let before = ways.len();
            ways.retain(|sent| sent.node != *node);
            self.remembered -= before - ways.len();
        }
        if self.remembered < MAX_REMEMBERED {
            let sent = Sent { node: node.clone(), at: now, is_counted: false };
            self.sent.entry((client, version)).or_default().push(sent);
            self.remembered += 1;
        }
    }

    /// Forgets those who have not come back.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.swept = Some(now);
        let window = self.window;
        self.sent.retain(|_, ways| {
            ways.retain(|sent| now.saturating_duration_since(sent.at) < window);
            !ways.is_empty()
        });
        self.remembered = self.sent.values().map(Vec::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_ends() {
        let (start, version) = (Instant::now(), blake3::hash(b"m"));
        let mut returns = Returns::new(Duration::from_secs(10));
        let client = |number: usize| IpAddr::from(Ipv4Addr::from(u32::try_from(number / 4).unwrap()));
        let nodes = ["a", "b", "c", "d"].map(|id| NodeId::new(id).unwrap());
        for number in 0..MAX_REMEMBERED + 100 {
            returns.note(client(number), version, &nodes[number % 4], start);
        }
        assert_eq!((returns.remembered, returns.sent.len()), (MAX_REMEMBERED, MAX_REMEMBERED / 4));
        let back = returns.back(client(0), version, start);
        assert_eq!((&back.nodes[..], &back.from), (&nodes[..], &Some(nodes[3].clone())));
        assert_eq!(returns.back(client(0), version, start).from, None, "it counts once");
        assert_eq!(returns.back(client(MAX_REMEMBERED), version, start), Back::default());

        let later = start + Duration::from_secs(10);
        assert_eq!(returns.back(client(0), version, later), Back::default());
        assert_eq!(returns.remembered, MAX_REMEMBERED - 4);
        returns.note(client(0), version, &nodes[0], later);
        returns.note(client(0), version, &nodes[0], later);
        assert_eq!(returns.back(client(0), version, later).nodes, [nodes[0].clone()]);
        returns.sweep(later);
        assert_eq!((returns.remembered, returns.sent.len()), (1, 1));
    }
}
