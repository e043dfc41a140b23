//! Who got what: a line in the log for each sync and each download, the last of them for the page, and counts.

use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use serde::Serialize;
use tnv_common::metrics::Metrics;
use tnv_package::MeetingId;

/// Lines that are kept for the page.
const MAX_LINES: usize = 500;
/// Meetings and nodes that are counted each by itself. What comes beyond is counted together.
const MAX_NAMED: usize = 1000;
/// The name of what is counted together, and of what has none.
const OTHERS: &str = "others";
const NOBODY: &str = "";

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// A node took a manifest.
    Sync,
    /// The hub sent a client to a node.
    Redirect,
    /// The hub sent a package itself.
    Package,
    /// The hub sent a package to a node.
    NodePackage,
    /// The hub sent one file.
    File,
}

impl Action {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Action::Sync => "sync",
            Action::Redirect => "redirect",
            Action::Package => "package",
            Action::NodePackage => "node-package",
            Action::File => "file",
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome<'a> {
    Done,
    /// The other side did not want all of it.
    Given(&'a str),
    Failed(&'a str),
}

impl Outcome<'_> {
    fn name(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Given(_) => "broken off",
            Outcome::Failed(_) => "failed",
        }
    }

    fn reason(&self) -> &str {
        match self {
            Outcome::Done => "",
            Outcome::Given(why) | Outcome::Failed(why) => why,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    action: &'static str,
    meeting: String,
    node: String,
    result: &'static str,
}

#[derive(Debug)]
struct Counters {
    events: Family<Labels, Counter>,
    bytes: Family<Labels, Counter>,
    named: Mutex<[HashSet<String>; 2]>,
}

impl Counters {
    fn global() -> &'static Counters {
        static COUNTERS: LazyLock<Counters> = LazyLock::new(|| {
            let counters =
                Counters { events: Family::default(), bytes: Family::default(), named: Mutex::default() };
            let all = Metrics::global();
            all.register(
                "tnv_hub_events",
                "Syncs, redirects and downloads by meeting, node and result",
                counters.events.clone(),
            );
            all.register("tnv_hub_bytes", "Bytes of them that the hub sent", counters.bytes.clone());
            counters
        });
        &COUNTERS
    }

    /// The texts as they may be labels: only so many different ones.
    fn bounded(&self, meeting: &str, node: &str) -> (String, String) {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let [meetings, nodes] = &mut *named;
        (bounded(meetings, meeting), bounded(nodes, node))
    }
}

fn bounded(known: &mut HashSet<String>, name: &str) -> String {
    if !known.contains(name) {
        if known.len() >= MAX_NAMED {
            return OTHERS.to_owned();
        }
        known.insert(name.to_owned());
    }
    name.to_owned()
}

/// A line as the page shows it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    /// Milliseconds since 1970.
    at_ms: u64,
    action: &'static str,
    meeting: String,
    peer: IpAddr,
    node: String,
    bytes: u64,
    result: &'static str,
    reason: String,
}

/// The book in which all of that is written. Cheap to clone; clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Audit(Arc<Mutex<VecDeque<Line>>>);

impl Audit {
    /// Writes a line.
    pub(crate) fn note(
        &self,
        action: Action,
        meeting: &MeetingId,
        peer: IpAddr,
        node: Option<&str>,
        bytes: u64,
        outcome: Outcome<'_>,
    ) {
        let node = node.unwrap_or(NOBODY);
        let (result, reason) = (outcome.name(), outcome.reason());
        tracing::info!(
            target: "tnv_hub::audit",
            action = action.name(), %meeting, %peer, node, bytes, result, reason, "audit"
        );
        let counters = Counters::global();
        let (named_meeting, named_node) = counters.bounded(meeting.as_str(), node);
        let labels = Labels { action: action.name(), meeting: named_meeting, node: named_node, result };
        counters.events.get_or_create(&labels).inc();
        counters.bytes.get_or_create(&labels).inc_by(bytes);
        // Nodes ask every other minute whether anything has changed; what they took then is worth a line on the page.
        if action == Action::Sync && bytes == 0 {
            return;
        }
        let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let line = Line {
            at_ms: u64::try_from(at_ms).unwrap_or(u64::MAX),
            action: action.name(),
            meeting: meeting.to_string(),
            peer,
            node: node.to_owned(),
            bytes,
            result,
            reason: reason.chars().take(200).collect(),
        };
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= MAX_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// The last lines, the newest first.
    pub(crate) fn last(&self) -> Vec<Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_much_is_kept_and_named() {
        let (audit, peer) = (Audit::default(), IpAddr::from([127, 0, 0, 1]));
        for n in 0..MAX_LINES + 1 {
            let meeting = MeetingId::new(&format!("m{n}")).unwrap();
            audit.note(Action::Sync, &meeting, peer, Some("node-1"), n as u64 + 1, Outcome::Done);
        }
        let lines = audit.last();
        assert_eq!((lines.len(), lines[0].bytes, lines[MAX_LINES - 1].bytes), (MAX_LINES, 501, 2));
        audit.note(Action::Sync, &MeetingId::new("m1").unwrap(), peer, Some("node-1"), 0, Outcome::Done);
        assert_eq!(audit.last()[0].bytes, 501, "nothing was new");
        let mut known = HashSet::new();
        for n in 0..MAX_NAMED {
            assert_eq!(bounded(&mut known, &n.to_string()), n.to_string());
        }
        assert_eq!((bounded(&mut known, "x"), bounded(&mut known, "7")), (OTHERS.to_owned(), "7".to_owned()));
    }
}
