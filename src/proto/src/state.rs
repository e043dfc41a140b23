//! The cluster's state as JSON (STATE), and what a storage reports of itself (REPORT). Readers ignore fields they do
//! not know and take defaults for those that are missing, so that versions can differ within a cluster.

use serde::{Deserialize, Serialize};

/// What a storage tells its trackers beyond JOIN and BEAT.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StorageReport {
    /// The storage's identity, a UUID kept in its store paths.
    pub id: String,
    /// The full version of its program.
    pub version: String,
    /// The `host:port` that clients should use; empty = the address it is seen from.
    pub advertise: String,
    /// What it is doing in a group of copies: `filling`, `draining` or `removed`; absent = it takes part in everything.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub membership: String,
    /// Space and load.
    #[serde(flatten)]
    pub load: Load,
}

/// A storage's space and load. Counters start at 0 with the process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Load {
    /// Bytes of all its store paths.
    pub total_bytes: u64,
    /// Bytes that new files may still take, `reserved_space` already left out.
    pub free_bytes: u64,
    /// Connections open now.
    pub connections: u64,
    /// Uploads that succeeded.
    pub uploads: u64,
    /// Downloads that were sent to their end.
    pub downloads: u64,
    /// Files deleted.
    pub deletes: u64,
    /// Bytes of files received.
    pub bytes_in: u64,
    /// Bytes of files sent.
    pub bytes_out: u64,
    /// Files that it still has to fetch from other storages of its group; absent, as are the next two, where there are none.
    #[serde(skip_serializing_if = "is_zero")]
    pub backlog_files: u64,
    /// Their bytes.
    #[serde(skip_serializing_if = "is_zero")]
    pub backlog_bytes: u64,
    /// Since when the oldest of them is waited for, in unix seconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub backlog_oldest: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How far a storage has come with reading all its files again (SCRUB).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScrubState {
    /// Whether it is at it.
    pub running: bool,
    /// The pass that is under way, or the last one.
    pub pass: ScrubPass,
    /// The last pass that came to its end.
    pub last: ScrubPass,
}

/// One pass through all files of a storage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScrubPass {
    /// When it began, in unix seconds; 0 = never.
    pub started: i64,
    /// When it came to its end, in unix seconds; 0 = not yet.
    pub ended: i64,
    /// Files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that were not what was stored: other bytes, too few, or an error of the disk.
    pub damaged: u64,
    /// Those that were not there.
    pub missing: u64,
    /// Those that could not be looked at.
    pub unread: u64,
    /// Files that no row stood for, older than a day. They are left where they are.
    pub orphans: u64,
}

/// Everything a tracker knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterState {
    /// The tracker's version.
    pub version: String,
    /// The tracker's host name.
    pub host: String,
    /// When this was said, in unix seconds.
    pub now: i64,
    /// All groups, by name.
    pub groups: Vec<GroupState>,
}

/// One group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupState {
    /// Its name.
    pub name: String,
    /// Bytes of the store paths of all its storages; those that several storages share are counted once.
    pub total_bytes: u64,
    /// Bytes that new files may still take there.
    pub free_bytes: u64,
    /// Its storages, by address.
    pub storages: Vec<StorageState>,
}

/// One storage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StorageState {
    /// Its identity; empty where it reported none.
    pub id: String,
    /// Its host name.
    pub host: String,
    /// The `host:port` that clients use.
    pub address: String,
    /// Its version.
    pub version: String,
    /// `OFFLINE`, `ONLINE` or `ACTIVE`.
    pub status: String,
    /// What it is doing in a group of copies: `filling`, `draining` or `removed`; absent = it takes part in everything.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub membership: String,
    /// When it was started, in unix seconds.
    pub started: i64,
    /// When it joined, in unix seconds.
    pub joined: i64,
    /// When it last beat, in unix seconds; 0 = never.
    pub last_beat: i64,
    /// Its space and load; absent where it reported none.
    pub load: Option<Load>,
}
