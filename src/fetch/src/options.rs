//! Limits on time, tries and traffic.

use std::time::Duration;

/// How a file is fetched. Durations are above zero.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many sources are asked at once, 1 or more.
    pub parallel: usize,
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// How long a source may give nothing, before its answer and within it.
    pub idle_timeout: Duration,
    /// How long all of it may take.
    pub timeout: Option<Duration>,
    /// Failures in a row of one source that are put up with; one more, and it is not asked again.
    pub retries: u32,
    /// The longest pause that a server may ask for.
    pub max_retry_after: Duration,
    /// Bytes a second that a source must give, on average over `idle_timeout`, while there are others to ask; 0: any.
    pub min_rate: u64,
    /// Bytes a second for all sources together.
    pub limit_rate: Option<u64>,
    /// How many bytes that are there already a source without ranges may send again.
    pub skip_limit: u64,
    /// How often a file may change while it is fetched.
    pub max_changes: u32,
    /// Below twice so many bytes, a source's work is not divided with others. In bytes.
    pub min_split: u64,
    /// Whether to go on with what an earlier process has left.
    pub resume: bool,
    /// Redirections that are followed for one request.
    pub max_redirects: usize,
    /// How often it is written down what has come.
    pub save_every: Duration,
    /// Certificates (PEM) of authorities that are trusted with https beside those of the system.
    pub authorities: Vec<u8>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            parallel: 1,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            timeout: None,
            retries: 5,
            max_retry_after: Duration::from_secs(60),
            min_rate: 1024,
            limit_rate: None,
            skip_limit: 64 * 1024 * 1024,
            max_changes: 3,
            min_split: 1024 * 1024,
            resume: true,
            max_redirects: 10,
            save_every: Duration::from_secs(2),
            authorities: Vec::new(),
        }
    }
}
