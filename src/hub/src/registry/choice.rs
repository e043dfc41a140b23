//! Which node a client is sent to.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use blake3::Hash;
use rand::{Rng, RngExt};
use tnv_package::MeetingId;

use super::{Address, Node, NodeId, Registry};
use crate::access::Cidr;

/// What a node is worth for each part of its health, its storage in use, the package, and its region.
const HEALTH: f64 = 10.0;
const STORAGE: f64 = 3.0;
const HOLDING: f64 = 5.0;
const REGION: f64 = 5.0;
/// What it loses if all clients that are sent to it come back at once, if its last probe failed, and for each second
/// that it took to answer, up to a limit.
const RETURNS: f64 = 5.0;
const UNANSWERED: f64 = 3.0;
const SLOW: f64 = 2.0;
const SLOWEST: f64 = 4.0;
/// Answers that come within this time are as good as any.
const QUICK: Duration = Duration::from_millis(200);
/// Nodes that are so much worse than the best one are left out.
const BAND: f64 = 2.0;
/// Other nodes that are named beside the chosen one, at most.
pub(super) const MAX_OTHERS: usize = 8;

/// How nodes are chosen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// A node that was silent for longer is not chosen.
    pub heartbeat_timeout: Duration,
    /// Whether a node without the package may be chosen, which gets it then.
    pub pull_through: bool,
    /// Whether a client is sent to the same node each time, as long as that is as good as others.
    pub affinity: bool,
    /// A client that is back within this time counts as a report that its node has failed it, and is sent to no node twice
    /// within it; zero = never.
    pub return_window: Duration,
    /// How many times as many clients as others a node gets, where that is not 1.
    pub weights: HashMap<NodeId, f64>,
    /// Which networks are in which region. The first that fits counts.
    pub regions: Vec<(Cidr, String)>,
}

/// Who asks for a package.
#[derive(Debug, Clone, Copy)]
pub struct Asker {
    /// Where it comes from.
    pub client: IpAddr,
    /// Whether it is about to be sent to the node that is chosen.
    pub goes: bool,
    /// Whether the hub itself could serve it if all nodes have just failed it.
    pub has_fallback: bool,
}

/// The node that a client is to go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Who it is.
    pub id: NodeId,
    /// Where it is.
    pub address: Address,
    /// Where other nodes are that hold the same package, the better ones first.
    pub others: Vec<Address>,
}

struct Candidate<'a> {
    node: &'a Node,
    score: f64,
    holds: bool,
}

impl Policy {
    /// Whether a client may be sent to this node for this package.
    pub(super) fn fits(&self, node: &Node, meeting: &MeetingId, version: Hash, now: Instant) -> bool {
        let serves = node.is_active()
            && !node.is_draining
            && node.is_found()
            && node.is_fresh(now, self.heartbeat_timeout);
        serves && (self.pull_through || node.version_of(meeting) == Some(version))
    }

    /// What a node is worth, without chance.
    pub fn score(&self, node: &Node, holds: bool, client: Option<IpAddr>, now: Instant) -> f64 {
        let mut score = HEALTH * node.health;
        if node.storage_capacity > 0 {
            score -= STORAGE * (node.storage_used as f64 / node.storage_capacity as f64).min(1.0);
        }
        if holds && self.pull_through {
            score += HOLDING;
        }
        if client.is_some_and(|client| self.is_near(node, client)) {
            score += REGION;
        }
        let late = node.latency().unwrap_or_default().saturating_sub(QUICK).as_secs_f64();
        score -= (SLOW * late).min(SLOWEST);
        if node.failures() > 0 {
            score -= UNANSWERED;
        }
        score - RETURNS * node.return_rate(now)
    }

    fn is_near(&self, node: &Node, client: IpAddr) -> bool {
        let region = |address: IpAddr| {
            self.regions.iter().find(|(network, _)| network.contains(address)).map(|(_, region)| region)
        };
        let own = region(node.address.ip().unwrap_or(node.peer)).or(node.region.as_ref());
        own.is_some() && own == region(client)
    }

    /// How much a node has to do for its weight.
    fn burden(&self, node: &Node) -> f64 {
        f64::from(node.load()) / self.weights.get(&node.id).copied().unwrap_or(node.weight)
    }
}

impl Registry {
    /// The node that this client is to go to for this version of a meeting's package; `None` if the hub has to serve it.
    ///
    /// Of the nodes that are about as good as the best one it is one with the fewest downloads, so that those who come
    /// together do not all go to the same.
    pub fn choose(
        &mut self,
        meeting: &MeetingId,
        version: Hash,
        asker: Asker,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<Choice> {
        let failed = if asker.goes { self.returned(&asker, version, now) } else { Vec::new() };
        let choice = self.best(meeting, version, &asker, &failed, now, rng)?;
        if asker.goes {
            self.returns.note(asker.client, version, &choice.id, now);
            if let Some(node) = self.nodes.get_mut(&choice.id) {
                node.hand(now);
            }
        }
        Some(choice)
    }

    /// The nodes that this client was sent to a moment ago; that it is back is counted against the last one.
    fn returned(&mut self, asker: &Asker, version: Hash, now: Instant) -> Vec<NodeId> {
        let back = self.returns.back(asker.client, version, now);
        if let Some(node) = back.from.and_then(|id| self.nodes.get_mut(&id)) {
            node.came_back(now);
        }
        back.nodes
    }

    fn best(
        &self,
        meeting: &MeetingId,
        version: Hash,
        asker: &Asker,
        failed: &[NodeId],
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<Choice> {
        let policy = &self.policy;
        let fit = self.nodes.values().filter(|node| policy.fits(node, meeting, version, now));
        let mut candidates: Vec<Candidate<'_>> = fit
            .map(|node| {
                let holds = node.version_of(meeting) == Some(version);
                let score = policy.score(node, holds, Some(asker.client), now) + rng.random_range(0.0..1.0);
                Candidate { node, score, holds }
            })
            .collect();
        // Another node if there is one, else the hub if it can, else the same ones once more.
        let is_other = |candidate: &Candidate<'_>| !failed.contains(&candidate.node.id);
        match candidates.iter().filter(|candidate| is_other(candidate)).count() {
            0 if asker.has_fallback => return None,
            0 => {}
            _ => candidates.retain(is_other),
        }
        let best = candidates.iter().map(|candidate| candidate.score).reduce(f64::max)?;
        let band: Vec<&Node> =
            candidates.iter().filter(|it| it.score >= best - BAND).map(|it| it.node).collect();
        let chosen = if policy.affinity {
            policy.accustomed(&band, asker.client)
        } else {
            policy.least_burdened(&band, rng)
        }?;
        candidates.sort_unstable_by(|one, other| other.score.total_cmp(&one.score));
        let others = candidates.iter().filter(|it| it.holds && it.node.id != chosen.id);
        Some(Choice {
            id: chosen.id.clone(),
            address: chosen.address.clone(),
            others: others.take(MAX_OTHERS).map(|it| it.node.address.clone()).collect(),
        })
    }
}

impl Policy {
    fn least_burdened<'a>(&self, nodes: &[&'a Node], rng: &mut impl Rng) -> Option<&'a Node> {
        let least = nodes.iter().map(|node| self.burden(node)).reduce(f64::min)?;
        let equals: Vec<&Node> = nodes.iter().copied().filter(|node| self.burden(node) <= least).collect();
        equals.get(rng.random_range(0..equals.len().max(1))).copied()
    }

    /// The node that this client always comes to, unless it has twice as much to do as another: each client has an order
    /// of its own in which it prefers nodes.
    fn accustomed<'a>(&self, nodes: &[&'a Node], client: IpAddr) -> Option<&'a Node> {
        let least = nodes.iter().map(|node| self.burden(node)).reduce(f64::min)?;
        let preference = |node: &&&Node| {
            let mut hasher = DefaultHasher::new();
            (client, node.id.as_str()).hash(&mut hasher);
            hasher.finish()
        };
        nodes.iter().filter(|node| self.burden(node) <= 2.0 * least + 1.0).max_by_key(preference).copied()
    }
}
