//! Who may change something, and who may see the page: whoever knows the password; without one, whoever is on this
//! machine.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hyper::HeaderMap;
use tnv_web::credentials::{self, Attempts};
use tokio::sync::Semaphore;

use crate::password;
use crate::route::Door;

/// Why somebody may not do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The password is missing.
    NoPassword,
    /// It is another one.
    WrongPassword,
    /// There is none, and this comes from elsewhere.
    Elsewhere,
    /// Too many wrong ones came from there.
    TooManyTries,
}

/// The doors of the node.
#[derive(Debug)]
pub(crate) struct Access {
    state: Mutex<State>,
    /// To compare a password is slow on purpose: one at a time, so that it cannot take all processors.
    turn: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    /// The hash that is kept and the password that was found to fit it.
    known: Option<(String, blake3::Hash)>,
    attempts: Attempts,
}

impl Access {
    pub(crate) fn new() -> Access {
        Access { state: Mutex::default(), turn: Semaphore::new(1) }
    }

    /// Whether this request may pass a door. `kept` is the password as it is kept, or its hash.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn check(
        &self,
        door: Door,
        kept: Option<&str>,
        headers: &HeaderMap,
        peer: IpAddr,
    ) -> Result<(), Denied> {
        if door == Door::Open {
            return Ok(());
        }
        let peer = peer.to_canonical();
        let Some(kept) = kept else {
            return if door == Door::Page || credentials::is_local(headers, peer) {
                Ok(())
            } else {
                Err(Denied::Elsewhere)
            };
        };
        let shown = credentials::password(headers).ok_or(Denied::NoPassword)?;
        if self.is_known(kept, &shown) {
            return Ok(());
        }
        let _turn = self.turn.acquire().await;
        if !self.lock().attempts.may_try(peer, Instant::now()) {
            return Err(Denied::TooManyTries);
        }
        let (hash, tried) = (kept.to_owned(), shown.clone());
        let fits =
            tokio::task::spawn_blocking(move || password::matches(&hash, &tried)).await.unwrap_or(false);
        let mut state = self.lock();
        if fits {
            state.known = Some((kept.to_owned(), blake3::hash(shown.as_bytes())));
            return Ok(());
        }
        state.attempts.failed(peer, Instant::now());
        drop(state);
        tracing::warn!(%peer, "管理密码错误");
        Err(Denied::WrongPassword)
    }

    fn is_known(&self, kept: &str, shown: &str) -> bool {
        let state = self.lock();
        let Some((hash, known)) = &state.known else { return false };
        // Two hashes are compared, in constant time.
        hash == kept && *known == blake3::hash(shown.as_bytes())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn elsewhere() -> IpAddr {
        IpAddr::from([10, 0, 0, 1])
    }

    fn with_password(password: &str) -> HeaderMap {
        let value = format!("Basic {}", BASE64_STANDARD.encode(format!("admin:{password}")));
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(&value).unwrap())])
    }

    #[tokio::test]
    async fn without_a_password_changes_come_from_here_and_the_page_is_open() {
        let access = Access::new();
        let none = HeaderMap::new();
        let proxied = HeaderMap::from_iter([(
            HeaderName::from_static("x-forwarded-for"),
            HeaderValue::from_static("127.0.0.1"),
        )]);
        for (door, headers, peer, outcome) in [
            (Door::Change, &none, HERE, Ok(())),
            (Door::Change, &none, "::ffff:127.0.0.1".parse().unwrap(), Ok(())),
            (Door::Change, &none, elsewhere(), Err(Denied::Elsewhere)),
            (Door::Change, &proxied, HERE, Err(Denied::Elsewhere)),
            (Door::Page, &none, elsewhere(), Ok(())),
            (Door::Open, &none, elsewhere(), Ok(())),
        ] {
            assert_eq!(access.check(door, None, headers, peer).await, outcome, "{door:?} {peer}");
        }
    }

    #[tokio::test]
    async fn with_a_password_everybody_has_to_know_it() {
        let access = Access::new();
        let kept = password::hash("pa:ss");
        let check =
            async |door, headers: HeaderMap, peer| access.check(door, Some(&kept), &headers, peer).await;
        for door in [Door::Page, Door::Change] {
            assert_eq!(check(door, HeaderMap::new(), HERE).await, Err(Denied::NoPassword));
            assert_eq!(check(door, with_password("pa"), HERE).await, Err(Denied::WrongPassword));
            assert_eq!(check(door, with_password("pa:ss"), elsewhere()).await, Ok(()));
        }
        assert_eq!(check(Door::Open, HeaderMap::new(), elsewhere()).await, Ok(()));
        let other = password::hash("other");
        let changed = access.check(Door::Page, Some(&other), &with_password("pa:ss"), HERE).await;
        assert_eq!(changed, Err(Denied::WrongPassword), "the password was changed");
    }

    #[tokio::test]
    async fn guessing_is_stopped_where_it_comes_from() {
        let access = Access::new();
        let check = async |password: &str, peer| {
            access.check(Door::Change, Some("right"), &with_password(password), peer).await
        };
        for _ in 0..10 {
            assert_eq!(check("wrong", elsewhere()).await, Err(Denied::WrongPassword));
        }
        assert_eq!(check("right", elsewhere()).await, Err(Denied::TooManyTries));
        assert_eq!(check("right", HERE).await, Ok(()));
        assert_eq!(check("right", elsewhere()).await, Ok(()), "it is known now");
    }
}
