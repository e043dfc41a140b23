//! Who may do what: nodes show the API key, operators the password, and without either only this machine is served.

mod cidr;
mod refused;
mod secret;
mod sessions;

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hyper::HeaderMap;
use hyper::header::COOKIE;
use tnv_web::credentials::{self, Attempts};

pub use cidr::{BadCidr, Cidr};
pub use secret::Secret;

use refused::Refused;
use sessions::Sessions;

/// The cookie of an operator who has shown the password.
const COOKIE_NAME: &str = "tnv_hub_session";

/// Why somebody may not do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The API key is missing.
    NoKey,
    /// It is another one.
    WrongKey,
    /// There is no API key, and this comes from elsewhere.
    KeyNotSet,
    /// This address is none of a node.
    NotAllowed,
    /// The password is missing.
    NoPassword,
    /// It is another one.
    WrongPassword,
    /// There is no password, and this comes from elsewhere.
    PasswordNotSet,
    /// Too many wrong ones came from there.
    TooManyTries,
}

/// The doors of the hub.
#[derive(Debug)]
pub(crate) struct Access {
    api_key: Option<Secret>,
    password: Option<Secret>,
    allowed_nodes: Vec<Cidr>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    attempts: Attempts,
    sessions: Sessions,
    refused: Refused,
}

impl Access {
    pub(crate) fn new(api_key: Option<Secret>, password: Option<Secret>, allowed_nodes: Vec<Cidr>) -> Access {
        Access { api_key, password, allowed_nodes, state: Mutex::default() }
    }

    /// Whether this may be a node: it has the API key, which may stand in the query, and comes from where nodes are.
    pub(crate) fn node(
        &self,
        headers: &HeaderMap,
        in_query: Option<&str>,
        peer: IpAddr,
    ) -> Result<(), Denied> {
        let peer = peer.to_canonical();
        if !self.allows_node(peer) {
            return Err(Denied::NotAllowed);
        }
        let Some(key) = &self.api_key else {
            // Whoever says where nodes are has said enough; else there is only this machine.
            let known = !self.allowed_nodes.is_empty() || credentials::is_local(headers, peer);
            return if known { Ok(()) } else { Err(Denied::KeyNotSet) };
        };
        match credentials::bearer(headers).or(in_query) {
            None => Err(Denied::NoKey),
            Some(shown) if key.is(shown) => Ok(()),
            Some(_) => Err(Denied::WrongKey),
        }
    }

    /// Logs that somebody may not do what nodes do, unless that was logged of this address a moment ago.
    pub(crate) fn note_refused(&self, reason: &str, peer: IpAddr, path: &str, now: Instant) {
        let peer = peer.to_canonical();
        if self.lock().refused.is_news(peer, now) {
            tracing::warn!(%peer, path, reason, "a node is refused");
        }
    }

    /// Whether a node may be at this address.
    pub(crate) fn allows_node(&self, address: IpAddr) -> bool {
        let networks = &self.allowed_nodes;
        networks.is_empty() || networks.iter().any(|network| network.contains(address.to_canonical()))
    }

    /// Whether this may be an operator: with the password or the cookie of a session; without a password, whoever is on
    /// this machine.
    pub(crate) fn operator(&self, headers: &HeaderMap, peer: IpAddr, now: Instant) -> Result<(), Denied> {
        let peer = peer.to_canonical();
        let Some(password) = &self.password else {
            return if credentials::is_local(headers, peer) { Ok(()) } else { Err(Denied::PasswordNotSet) };
        };
        if let Some(token) = cookie(headers)
            && self.lock().sessions.knows(token, now)
        {
            return Ok(());
        }
        match credentials::password(headers) {
            None => Err(Denied::NoPassword),
            Some(shown) => self.check(password, &shown, peer, now),
        }
    }

    /// Begins a session for who shows the password: the value of its cookie.
    pub(crate) fn log_in(&self, shown: &str, peer: IpAddr, now: Instant) -> Result<String, Denied> {
        let Some(password) = &self.password else { return Err(Denied::PasswordNotSet) };
        self.check(password, shown, peer.to_canonical(), now)?;
        let token = self.lock().sessions.begin(now);
        Ok(set_cookie(&token, sessions::LIFE.as_secs()))
    }

    /// Ends a session: the value that takes its cookie away.
    pub(crate) fn log_out(&self, headers: &HeaderMap) -> String {
        if let Some(token) = cookie(headers) {
            self.lock().sessions.end(token);
        }
        set_cookie("", 0)
    }

    /// Whether operators have a password.
    pub(crate) fn has_password(&self) -> bool {
        self.password.is_some()
    }

    fn check(&self, password: &Secret, shown: &str, peer: IpAddr, now: Instant) -> Result<(), Denied> {
        let mut state = self.lock();
        if !state.attempts.may_try(peer, now) {
            return Err(Denied::TooManyTries);
        }
        if password.is(shown) {
            return Ok(());
        }
        state.attempts.failed(peer, now);
        tracing::warn!(%peer, "a wrong password");
        Err(Denied::WrongPassword)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE_NAME).map(|(_, value)| value)
}

fn set_cookie(token: &str, seconds: u64) -> String {
    format!("{COOKIE_NAME}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict")
}

#[cfg(test)]
mod tests;
