//! Two nodes that have one id: a configuration was copied, or somebody takes a name that is not his.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::{Address, NodeId};

/// So long after the last sign of the other node it is told that there are two.
const RECENT: Duration = Duration::from_secs(120);
/// How often the log says so of one id, at most.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Where else somebody is, or was, under a node's id.
#[derive(Debug, Clone, Default)]
pub(super) struct Rival {
    other: Option<Other>,
    /// When the log was told last, and whether it was that there are two.
    told: Option<(Instant, bool)>,
}

#[derive(Debug, Clone)]
struct Other {
    address: Address,
    seen: Instant,
    /// It has shown itself after the id was registered elsewhere: it is more than the place that a node has left.
    is_sure: bool,
}

impl Rival {
    /// A node is registered at `to` now, by `peer`, and was at `from`.
    pub(super) fn moved(&mut self, id: &NodeId, from: &Address, to: &Address, peer: IpAddr, now: Instant) {
        let is_sure = self.recent(now).is_some_and(|other| other.address == *to);
        self.other = Some(Other { address: from.clone(), seen: now, is_sure });
        let message = if is_sure { "two nodes have the same id" } else { "a node has moved" };
        if self.is_news(is_sure, now) {
            tracing::warn!(node = %id, %from, %to, %peer, "{message}");
        }
    }

    /// Somebody at `address` says that it is the node, which is registered at `known`.
    pub(super) fn seen(&mut self, id: &NodeId, address: &Address, known: &Address, now: Instant) {
        self.other = Some(Other { address: address.clone(), seen: now, is_sure: true });
        if self.is_news(true, now) {
            tracing::warn!(node = %id, at = %address, registered = %known, "two nodes have the same id");
        }
    }

    /// Where the other node is, if there is one.
    pub(super) fn address(&self, now: Instant) -> Option<&Address> {
        self.recent(now).filter(|other| other.is_sure).map(|other| &other.address)
    }

    fn recent(&self, now: Instant) -> Option<&Other> {
        self.other.as_ref().filter(|other| now.saturating_duration_since(other.seen) < RECENT)
    }

    /// Two that take turns would fill the log.
    fn is_news(&mut self, is_sure: bool, now: Instant) -> bool {
        let is_news = self.told.is_none_or(|(told, was_sure)| {
            (is_sure && !was_sure) || now.saturating_duration_since(told) >= TELL_EVERY
        });
        if is_news {
            self.told = Some((now, is_sure));
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nodes_that_take_turns_are_told_of_once_in_a_while() {
        let (mut rival, start) = (Rival::default(), Instant::now());
        assert!(rival.is_news(false, start), "a move");
        assert!(rival.is_news(true, start), "the other one is there still");
        let turns = (0..60).map(|turn| start + turn * Duration::from_secs(10));
        assert_eq!(turns.filter(|now| rival.is_news(true, *now)).count(), 9);
    }
}
