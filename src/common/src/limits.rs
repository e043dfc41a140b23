//! How much one server, and one client of it, may take.

use std::time::Duration;

use crate::config::Settings;

/// The lowest rate limit, in bytes per second.
const MIN_RATE: u64 = 16 * 1024;

/// Limits that every binary-protocol server has. The http gateway has the same keys where they make sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once; one more is told 503. 1 to 1,000,000.
    pub max_connections: usize,
    /// And from one client, which is told 503 as well; 0 = no limit of its own.
    pub max_connections_per_client: usize,
    /// Bytes of bodies a second that all connections of one client may move, in both directions together; 0 = no limit.
    pub rate_limit: u64,
    /// From a request's first byte until its header and fixed part are there.
    pub header_timeout: Duration,
    /// How long a connection may wait between two requests.
    pub idle_timeout: Duration,
    /// Within this time a body must move by `min_progress` bytes, in either direction.
    pub progress_timeout: Duration,
    /// See `progress_timeout`. A body's rest may be shorter.
    pub min_progress: u64,
    /// After SIGTERM, how long running transfers may go on.
    pub drain_timeout: Duration,
    /// The body of a refused request is read and dropped up to this many bytes, for the connection's sake.
    pub drain_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits::read(&mut Settings::built_in("limits"))
    }
}

impl Limits {
    /// Reads the keys, each with its default.
    pub fn read(settings: &mut Settings) -> Limits {
        let seconds = Duration::from_secs;
        let timeouts = Duration::from_millis(10)..=seconds(7 * 24 * 3600);
        Limits {
            max_connections: settings.number("max_connections", 4096, 1..=1_000_000),
            max_connections_per_client: settings.number("max_connections_per_client", 0, 0..=1_000_000),
            rate_limit: read_rate_limit(settings),
            header_timeout: settings.duration("header_timeout", seconds(30), timeouts.clone()),
            idle_timeout: settings.duration("idle_timeout", seconds(600), timeouts.clone()),
            progress_timeout: settings.duration("progress_timeout", seconds(60), timeouts.clone()),
            min_progress: settings.size("min_progress", 16 * 1024, 1..=1024 * 1024),
            drain_timeout: settings.duration(
                "drain_timeout",
                seconds(30),
                Duration::ZERO..=seconds(24 * 3600),
            ),
            drain_bytes: settings.size("drain_bytes", 64 * 1024 * 1024, 0..=u64::MAX / 2),
        }
    }
}

/// The key `rate_limit`, for a server of any kind. Below its least rate other programs would take the server for dead.
pub fn read_rate_limit(settings: &mut Settings) -> u64 {
    let rate = settings.size("rate_limit", 0, 0..=u64::MAX);
    if rate > 0 && rate < MIN_RATE {
        settings.problem("rate_limit", format!("at least {MIN_RATE} bytes a second, or 0 for no limit"));
        return 0;
    }
    rate
}
