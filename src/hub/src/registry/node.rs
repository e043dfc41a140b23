//! One node.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::{Duration, Instant};

use blake3::Hash;
use tnv_package::MeetingId;

use super::rival::Rival;

/// In this time, half of what is counted against a node is forgotten.
const HALF_LIFE: Duration = Duration::from_secs(60);
/// So many probes have to fail in a row before a node counts as dead: one packet may get lost.
const DEAD_AFTER: u32 = 2;
/// Packages that are kept of one node's word, at most.
const MAX_PACKAGES: usize = 100_000;

/// The weights that a node may have.
pub const WEIGHTS: RangeInclusive<f64> = 0.001..=1000.0;

/// A node's id: 1 to 128 characters, none of them a control character, for ever the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Box<str>);

/// A text that is no node's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a node's id is 1 to 128 characters, none of them a control character")]
pub struct BadNodeId;

impl NodeId {
    /// Checks and wraps a text.
    ///
    /// # Errors
    /// [`BadNodeId`].
    pub fn new(text: &str) -> Result<NodeId, BadNodeId> {
        let good = (1..=128).contains(&text.chars().count()) && !text.contains(char::is_control);
        if good { Ok(NodeId(text.into())) } else { Err(BadNodeId) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a node serves HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address, this without brackets.
    pub host: String,
    /// Not 0.
    pub port: u16,
}

/// A text that is no address of a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address of a node: write HOST:PORT with an address that clients can reach")]
pub struct BadAddress(String);

impl Address {
    /// An address of its two parts.
    ///
    /// # Errors
    /// [`BadAddress`] for what is no host, for one that stands for all addresses, and for port 0.
    pub fn new(host: &str, port: u16) -> Result<Address, BadAddress> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let good = match bare.parse::<IpAddr>() {
            Ok(address) => !address.is_unspecified() && !address.is_multicast(),
            Err(_) => is_name(bare) && bare == host,
        };
        if good && port > 0 {
            Ok(Address { host: bare.to_ascii_lowercase(), port })
        } else {
            Err(BadAddress(format!("{host}:{port}").chars().take(300).collect()))
        }
    }

    /// The IP address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// Whether a text can be a host's name.
fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    host.len() <= 253 && host.strip_suffix('.').unwrap_or(host).split('.').all(is_label)
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Address, BadAddress> {
        let bad = || BadAddress(text.chars().take(300).collect());
        let text = text.strip_prefix("http://").unwrap_or(text);
        let text = text.strip_suffix('/').unwrap_or(text);
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        // Without brackets nobody can tell where an address of IPv6 ends.
        let port: u16 = port.parse().ok().filter(|_| host.parse::<Ipv6Addr>().is_err()).ok_or_else(bad)?;
        Address::new(host, port)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// What a node says of itself when it comes.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    /// Who it is.
    pub id: NodeId,
    /// Where clients reach it.
    pub address: Address,
    /// Which status it has.
    pub status: String,
    /// Bytes that it has room for; 0 = it does not say.
    pub storage_capacity: u64,
    /// Bytes of those that are used.
    pub storage_used: u64,
}

/// What a node says of how it is. What it leaves out stays as it was.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Beat {
    /// Where clients reach it.
    pub address: Option<Address>,
    /// 0 to 1.
    pub health: Option<f64>,
    /// Which status it has.
    pub status: Option<String>,
    /// Bytes that it has room for.
    pub storage_capacity: Option<u64>,
    /// Bytes of those that are used.
    pub storage_used: Option<u64>,
    /// All packages that it holds whole.
    pub packages: Option<Vec<(MeetingId, Hash)>>,
    /// Downloads that it serves now.
    pub downloads: Option<u32>,
    /// Bytes a second that it sends now.
    pub rate: Option<u64>,
    /// How many times as many clients as others it wants; the hub's own word wins.
    pub weight: Option<f64>,
    /// Which region it is in; the hub's own word wins.
    pub region: Option<String>,
}

/// What the hub found where a node should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The node, after so long.
    Answered(Duration),
    /// Somebody else, who says this of itself.
    Impostor(String),
    /// Nobody, or no answer that makes sense.
    Failed(String),
}

/// A node as the hub knows it.
#[derive(Debug, Clone)]
pub struct Node {
    /// Who it is.
    pub id: NodeId,
    /// Where clients reach it.
    pub address: Address,
    /// Where it came from when it registered.
    pub peer: IpAddr,
    /// Which status it says it has: `active` and `online` are the same.
    pub status: String,
    /// 0 to 1.
    pub health: f64,
    /// Bytes that it has room for; 0 = not known.
    pub storage_capacity: u64,
    /// Bytes of those that are used.
    pub storage_used: u64,
    /// Downloads that it served when it last said so.
    pub downloads: u32,
    /// Bytes a second that it sent when it last said so.
    pub rate: u64,
    /// Whether the hub's operator keeps clients away from it.
    pub is_draining: bool,
    /// How many times as many clients as others it wants.
    pub weight: f64,
    /// Which region it says it is in.
    pub region: Option<String>,
    pub(super) packages: HashMap<MeetingId, Hash>,
    /// Clients that were sent to it since it last said how many it has.
    pub(super) handed: u32,
    /// When it last said how it is.
    pub(super) heard: Instant,
    /// How it answered last, and how often it has not since.
    latency: Option<Duration>,
    failures: u32,
    /// Why it does not answer as itself.
    trouble: Option<String>,
    /// Who else says that it is this node.
    rival: Rival,
    /// Clients that were sent to it, and those of them that came back at once.
    sent: Fading,
    returned: Fading,
}

impl Node {
    pub(super) fn new(registration: Registration, peer: IpAddr, now: Instant) -> Node {
        let Registration { id, address, status, storage_capacity, storage_used } = registration;
        Node {
            id,
            address,
            peer,
            status,
            health: 1.0,
            storage_capacity,
            storage_used,
            downloads: 0,
            rate: 0,
            is_draining: false,
            weight: 1.0,
            region: None,
            packages: HashMap::new(),
            handed: 0,
            heard: now,
            latency: None,
            failures: 0,
            trouble: None,
            rival: Rival::default(),
            sent: Fading::new(now),
            returned: Fading::new(now),
        }
    }

    /// Takes what it says now; `true` if it has to be asked for at its address before anybody is sent there.
    pub(super) fn register_again(&mut self, registration: Registration, peer: IpAddr, now: Instant) -> bool {
        let Registration { address, status, storage_capacity, storage_used, .. } = registration;
        if address != self.address {
            self.rival.moved(&self.id, &self.address, &address, peer, now);
            (self.address, self.latency, self.failures, self.trouble) = (address, None, 0, None);
            (self.sent, self.returned) = (Fading::new(now), Fading::new(now));
        }
        (self.peer, self.status, self.heard) = (peer, status, now);
        if storage_capacity > 0 {
            (self.storage_capacity, self.storage_used) = (storage_capacity, storage_used);
        }
        self.latency.is_none() || self.failures > 0
    }

    /// Takes what it says of how it is; `false` if it is another one that says so, who has to register.
    pub(super) fn beat(&mut self, beat: Beat, now: Instant) -> bool {
        if let Some(address) = beat.address.filter(|address| *address != self.address) {
            self.rival.seen(&self.id, &address, &self.address, now);
            return false;
        }
        self.heard = now;
        if let Some(health) = beat.health.filter(|health| health.is_finite()) {
            self.health = health.clamp(0.0, 1.0);
        }
        if let Some(status) = beat.status {
            self.status = status;
        }
        self.storage_capacity = beat.storage_capacity.unwrap_or(self.storage_capacity);
        self.storage_used = beat.storage_used.unwrap_or(self.storage_used);
        if let Some(packages) = beat.packages {
            self.packages = packages.into_iter().take(MAX_PACKAGES).collect();
        }
        if let Some(downloads) = beat.downloads {
            (self.downloads, self.handed) = (downloads, 0);
        }
        self.rate = beat.rate.unwrap_or(self.rate);
        if let Some(weight) = beat.weight.filter(|weight| WEIGHTS.contains(weight)) {
            self.weight = weight;
        }
        if let Some(region) = beat.region {
            self.region = Some(region).filter(|region| !region.is_empty());
        }
        true
    }

    pub(super) fn probed(&mut self, finding: Finding, now: Instant) {
        match finding {
            Finding::Answered(latency) => {
                if self.failures >= DEAD_AFTER {
                    tracing::info!(node = %self.id, address = %self.address, "a node answers again");
                }
                (self.latency, self.failures, self.trouble) = (Some(latency), 0, None);
            }
            Finding::Impostor(who) => {
                let trouble = format!("another node answers at {}: {who}", self.address);
                if self.trouble.as_ref() != Some(&trouble) {
                    tracing::warn!(node = %self.id, trouble, "a node is not where it says that it is");
                }
                (self.latency, self.failures, self.trouble) = (None, DEAD_AFTER, Some(trouble));
            }
            Finding::Failed(reason) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures == DEAD_AFTER {
                    let silence = self.silence(now).as_secs();
                    tracing::warn!(node = %self.id, address = %self.address, reason, silence, "a node does not answer");
                }
                self.trouble = Some(reason);
            }
        }
    }

    /// Since when nothing was heard of it.
    pub fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.heard)
    }

    /// Whether it was heard of within `timeout`.
    pub fn is_fresh(&self, now: Instant, timeout: Duration) -> bool {
        self.silence(now) < timeout
    }

    /// Whether it says that it serves.
    pub fn is_active(&self) -> bool {
        matches!(self.status.as_str(), "active" | "online")
    }

    /// Whether the hub has found it at its address, and has not lost it since.
    pub fn is_found(&self) -> bool {
        self.latency.is_some() && self.failures < DEAD_AFTER
    }

    /// How long it took to answer the hub.
    pub fn latency(&self) -> Option<Duration> {
        self.latency
    }

    /// Who else has its id, or why it does not answer the hub as itself.
    pub fn trouble(&self, now: Instant) -> Option<String> {
        let rival = self.rival.address(now).map(|other| {
            format!("another node, at {other}, has the id {} as well: give each one of its own", self.id)
        });
        rival.or_else(|| self.trouble.clone())
    }

    /// How many probes have failed since it last answered.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The version of a package that it holds.
    pub fn version_of(&self, meeting: &MeetingId) -> Option<Hash> {
        self.packages.get(meeting).copied()
    }

    /// All packages that it holds, in no order.
    pub fn packages(&self) -> impl Iterator<Item = (&MeetingId, &Hash)> {
        self.packages.iter()
    }

    /// Downloads that it has or is about to have.
    pub fn load(&self) -> u32 {
        self.downloads.saturating_add(self.handed)
    }

    /// Which part of the clients that were sent to it came back at once, 0 to 1.
    pub fn return_rate(&self, now: Instant) -> f64 {
        let sent = self.sent.at(now);
        if sent < 1.0 { 0.0 } else { (self.returned.at(now) / sent).min(1.0) }
    }

    /// A client is sent to it.
    pub(super) fn hand(&mut self, now: Instant) {
        self.handed = self.handed.saturating_add(1);
        self.sent.add(now);
    }

    /// A client that was sent to it came back.
    pub(super) fn came_back(&mut self, now: Instant) {
        self.returned.add(now);
    }
}

/// A number of events of which half are forgotten after [`HALF_LIFE`].
#[derive(Debug, Clone, Copy)]
struct Fading {
    count: f64,
    at: Instant,
}

impl Fading {
    fn new(now: Instant) -> Fading {
        Fading { count: 0.0, at: now }
    }

    fn at(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.at).as_secs_f64();
        self.count * (-age / HALF_LIFE.as_secs_f64()).exp2()
    }

    fn add(&mut self, now: Instant) {
        *self = Fading { count: self.at(now) + 1.0, at: now.max(self.at) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_with_ports() {
        for (text, shown) in [
            ("10.0.0.1:8001", "10.0.0.1:8001"),
            ("http://Node-1.example.org:80/", "node-1.example.org:80"),
            ("[2001:DB8::1]:8001", "[2001:db8::1]:8001"),
            ("node:65535", "node:65535"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "10.0.0.1",
            "10.0.0.1:0",
            "10.0.0.1:65536",
            "0.0.0.0:8001",
            "[::]:8001",
            "224.0.0.1:80",
            "2001:db8::1:8001",
            "a b:80",
            "user@node:80",
            "node/x:80",
            "https://node:80",
            ":80",
            "会议:80",
            "node:80/path",
            "a\r\nb:80",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn ids_are_bounded() {
        for good in ["n", "node-12345678", "节点 1", &"x".repeat(128)] {
            assert_eq!(NodeId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a\nb", &"x".repeat(129)] {
            assert_eq!(NodeId::new(bad), Err(BadNodeId));
        }
    }

    #[test]
    fn what_is_long_ago_counts_less() {
        let start = Instant::now();
        let mut events = Fading::new(start);
        for _ in 0..8 {
            events.add(start);
        }
        assert!((events.at(start + HALF_LIFE) - 4.0).abs() < 1e-9);
        events.add(start + 3 * HALF_LIFE);
        assert!((events.at(start + 3 * HALF_LIFE) - 2.0).abs() < 1e-9);
        // A clock that seems to go back changes nothing.
        assert!((events.at(start) - 2.0).abs() < 1e-9);
    }
}
