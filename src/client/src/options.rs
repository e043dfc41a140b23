//! Limits on time and connections.

use std::time::Duration;

/// How long a client waits and how many connections it keeps. All durations but `locate_ttl` must be above
/// zero.
#[derive(Debug, Clone)]
pub struct Options {
    /// Until a connection stands, name look-up included.
    pub connect_timeout: Duration,
    /// Until the first byte of a reply.
    pub reply_timeout: Duration,
    /// Until the first byte of the reply to an upload, counted from its last byte: the storage syncs first.
    pub upload_reply_timeout: Duration,
    /// How long a body may stand still while it is sent or received.
    pub progress_timeout: Duration,
    /// A pooled connection unused this long is closed.
    pub idle: Duration,
    /// A pooled connection older than this is closed instead of used again.
    pub life: Duration,
    /// How long it is relied on what a tracker said of where a user's files are; zero = not at all. Whenever a storage
    /// has not got a file, a tracker is asked again before that is believed.
    pub locate_ttl: Duration,
    /// Idle connections kept for each server, by all runtimes together. Each is used on the runtime that it was opened on.
    pub max_idle_per_server: usize,
    /// Connections to each server, idle ones included; requests over it wait up to `reply_timeout`.
    pub max_per_server: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            connect_timeout: Duration::from_secs(3),
            reply_timeout: Duration::from_secs(30),
            upload_reply_timeout: Duration::from_secs(120),
            progress_timeout: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            life: Duration::from_secs(600),
            locate_ttl: Duration::from_secs(2),
            max_idle_per_server: 16,
            max_per_server: 256,
        }
    }
}
