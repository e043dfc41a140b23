//! Nodes that were refused: each address is worth a line in the log once in a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How often that is.
const TELL_EVERY: Duration = Duration::from_secs(300);
/// Addresses that are remembered, at most. Others are not told of while there are so many.
const MAX_REMEMBERED: usize = 1024;

/// Who was told of lately.
#[derive(Debug, Default)]
pub(super) struct Refused {
    told: HashMap<IpAddr, Instant>,
}

impl Refused {
    /// Whether an address was not told of lately; then it is now.
    pub(super) fn is_news(&mut self, peer: IpAddr, now: Instant) -> bool {
        let is_recent = |told: Instant| now.saturating_duration_since(told) < TELL_EVERY;
        if self.told.get(&peer).copied().is_some_and(is_recent) {
            return false;
        }
        if self.told.len() >= MAX_REMEMBERED {
            self.told.retain(|_, told| is_recent(*told));
        }
        let has_room = self.told.len() < MAX_REMEMBERED;
        if has_room {
            self.told.insert(peer, now);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from(number).into()
    }

    #[test]
    fn each_address_is_news_once_in_a_while_and_no_more_than_there_is_room_for() {
        let (mut refused, start) = (Refused::default(), Instant::now());
        assert!(refused.is_news(peer(0), start) && !refused.is_news(peer(0), start));
        assert!(refused.is_news(peer(1), start));
        let told = (2..100_000).filter(|number| refused.is_news(peer(*number), start)).count();
        assert_eq!((told, refused.told.len()), (MAX_REMEMBERED - 2, MAX_REMEMBERED));
        let later = start + TELL_EVERY;
        assert!(refused.is_news(peer(0), later) && !refused.is_news(peer(0), later));
        assert!(refused.is_news(peer(99_999), later));
    }
}
