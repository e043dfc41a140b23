//! Wrong passwords, counted by where they come from.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// So many wrong ones within [`WINDOW`], and an address has to wait.
const MAX_WRONG: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered. If there are more, all that are not known wait.
const MAX_REMEMBERED: usize = 10_000;

/// Those of a minute.
#[derive(Debug, Default)]
pub struct Attempts(HashMap<IpAddr, Wrong>);

#[derive(Debug)]
struct Wrong {
    count: u32,
    since: Instant,
}

impl Attempts {
    /// Whether this address may try a password.
    pub fn may_try(&mut self, peer: IpAddr, now: Instant) -> bool {
        if self.0.len() >= MAX_REMEMBERED {
            self.0.retain(|_, wrong| now.saturating_duration_since(wrong.since) < WINDOW);
        }
        match self.0.get(&peer) {
            Some(wrong) => wrong.count < MAX_WRONG || now.saturating_duration_since(wrong.since) >= WINDOW,
            None => self.0.len() < MAX_REMEMBERED,
        }
    }

    /// It was a wrong one.
    pub fn failed(&mut self, peer: IpAddr, now: Instant) {
        let wrong = self.0.entry(peer).or_insert(Wrong { count: 0, since: now });
        if now.saturating_duration_since(wrong.since) >= WINDOW {
            *wrong = Wrong { count: 0, since: now };
        }
        wrong.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_too_many_wrong_passwords_waits_and_others_do_not() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        for _ in 0..MAX_WRONG {
            assert!(attempts.may_try(one, now));
            attempts.failed(one, now);
        }
        assert!(!attempts.may_try(one, now) && attempts.may_try(other, now));
        assert!(attempts.may_try(one, now + WINDOW));
        attempts.failed(one, now + WINDOW);
        assert!(attempts.may_try(one, now + WINDOW));
    }
}
