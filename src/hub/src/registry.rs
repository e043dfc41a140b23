//! The nodes: who they are, what they hold, how they fare. Pure: `now` is passed in, and no clock but that one counts,
//! so that nodes may think of the time what they like.

mod choice;
mod node;
mod returns;
mod rival;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use blake3::Hash;
use rand::Rng;
use rand::seq::IteratorRandom;
use tnv_package::MeetingId;

pub use choice::{Asker, Choice, Policy};
pub use node::{Address, BadAddress, BadNodeId, Beat, Finding, Node, NodeId, Registration, WEIGHTS};

use returns::Returns;

/// A node that nobody has heard of for so long is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

/// All nodes.
#[derive(Debug)]
pub struct Registry {
    nodes: BTreeMap<NodeId, Node>,
    /// Nodes that the operators keep clients away from, whether they are there or not.
    draining: BTreeSet<NodeId>,
    returns: Returns,
    policy: Policy,
    max_nodes: usize,
}

/// There are as many nodes as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are {0} nodes, which is as many as there may be; raise max_nodes in the hub's configuration")]
pub struct TooManyNodes(pub usize);

/// A node at an address, as the hub's own probe sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Who should answer there.
    pub id: NodeId,
    /// Where.
    pub address: Address,
}

impl Registry {
    /// Nobody yet.
    pub fn new(policy: Policy, max_nodes: usize) -> Registry {
        let returns = Returns::new(policy.return_window);
        Registry { nodes: BTreeMap::new(), draining: BTreeSet::new(), returns, policy, max_nodes }
    }

    /// Lets a node in, or notes what it says of itself now. Whether it is another node's address that it gives will show
    /// when the hub asks there: `true` if that is to be done before anybody is sent to it.
    ///
    /// # Errors
    /// [`TooManyNodes`].
    pub fn register(
        &mut self,
        registration: Registration,
        peer: IpAddr,
        now: Instant,
    ) -> Result<bool, TooManyNodes> {
        if let Some(node) = self.nodes.get_mut(&registration.id) {
            return Ok(node.register_again(registration, peer, now));
        }
        self.forget_silent(now);
        if self.nodes.len() >= self.max_nodes {
            return Err(TooManyNodes(self.max_nodes));
        }
        let mut node = Node::new(registration, peer, now);
        node.is_draining = self.draining.contains(&node.id);
        self.nodes.insert(node.id.clone(), node);
        Ok(true)
    }

    /// A node says how it is. `false`: there is none of this id, or it is registered at another address than it says; it
    /// has to register.
    pub fn beat(&mut self, id: &NodeId, beat: Beat, now: Instant) -> bool {
        self.nodes.get_mut(id).is_some_and(|node| node.beat(beat, now))
    }

    /// A node leaves. `false`: there was none of this id.
    pub fn unregister(&mut self, id: &NodeId) -> bool {
        self.nodes.remove(id).is_some()
    }

    /// Forgets a node and what was decided about it. `false`: there was nothing of this id.
    pub fn forget(&mut self, id: &NodeId) -> bool {
        let was_draining = self.draining.remove(id);
        self.unregister(id) || was_draining
    }

    /// Keeps clients away from a node, or no longer, also when it comes back after it was gone. `false`: there is none of
    /// this id.
    pub fn drain(&mut self, id: &NodeId, is_draining: bool) -> bool {
        let Some(node) = self.nodes.get_mut(id) else { return false };
        node.is_draining = is_draining;
        if is_draining {
            self.draining.insert(id.clone());
        } else {
            self.draining.remove(id);
        }
        true
    }

    /// What the hub found where a node should be. It counts only if the node is still there.
    pub fn probed(&mut self, target: &Target, finding: Finding, now: Instant) {
        if let Some(node) = self.nodes.get_mut(&target.id).filter(|node| node.address == target.address) {
            node.probed(finding, now);
        }
    }

    /// The nodes that are to be asked how they are: all that are heard of.
    pub fn targets(&self, now: Instant) -> Vec<Target> {
        let fresh = self.nodes.values().filter(|node| node.is_fresh(now, self.policy.heartbeat_timeout));
        fresh.map(|node| Target { id: node.id.clone(), address: node.address.clone() }).collect()
    }

    /// A node.
    pub fn node(&self, id: &NodeId) -> Option<&Node> {
        self.nodes.get(id)
    }

    /// All nodes, in the order of their ids.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// How nodes are chosen.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How many nodes could be given a client for this package.
    pub fn holders(&self, meeting: &MeetingId, version: Hash, now: Instant) -> usize {
        self.nodes.values().filter(|node| self.policy.fits(node, meeting, version, now)).count()
    }

    /// Where this version of a meeting's package is to be had: some of the nodes, if there are many.
    pub fn addresses(
        &self,
        meeting: &MeetingId,
        version: Hash,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Vec<Address> {
        let fit = self.nodes.values().filter(|node| self.policy.fits(node, meeting, version, now));
        let hold = fit.filter(|node| node.version_of(meeting) == Some(version));
        hold.map(|node| node.address.clone()).sample(rng, choice::MAX_OTHERS)
    }

    /// Forgets nodes that have been silent for very long.
    pub fn forget_silent(&mut self, now: Instant) {
        self.nodes.retain(|_, node| node.silence(now) < FORGET_AFTER);
        self.returns.sweep(now);
    }
}

#[cfg(test)]
mod tests;
