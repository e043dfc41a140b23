//! Operators who have shown the password. A restart forgets them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use blake3::Hash;

/// How long a session lasts.
pub(super) const LIFE: Duration = Duration::from_secs(12 * 3600);
/// Sessions at a time; the oldest has to go for one more.
const MAX_SESSIONS: usize = 1000;

/// Sessions by the hash of their token, so that how long a look-up takes tells nothing of any token.
#[derive(Debug, Default)]
pub(super) struct Sessions(HashMap<Hash, Instant>);

impl Sessions {
    /// A new session: its token.
    pub(super) fn begin(&mut self, now: Instant) -> String {
        self.0.retain(|_, since| now.saturating_duration_since(*since) < LIFE);
        if self.0.len() >= MAX_SESSIONS
            && let Some(oldest) = self.0.iter().min_by_key(|(_, since)| **since).map(|(token, _)| *token)
        {
            self.0.remove(&oldest);
        }
        let token = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
        self.0.insert(blake3::hash(token.as_bytes()), now);
        token
    }

    /// Whether a session has this token.
    pub(super) fn knows(&self, token: &str, now: Instant) -> bool {
        let since = self.0.get(&blake3::hash(token.as_bytes()));
        since.is_some_and(|since| now.saturating_duration_since(*since) < LIFE)
    }

    /// Ends the session with this token, if there is one.
    pub(super) fn end(&mut self, token: &str) {
        self.0.remove(&blake3::hash(token.as_bytes()));
    }
}
