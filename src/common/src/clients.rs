//! Fairness between clients: how many connections one may have, and how many bytes a second all of them may move.
//!
//! A client is an IP address; of IPv6 the network of 64 bits, for whoever has one address there has them all. Bandwidth
//! is shaped by waiting: bytes are taken from the client's budget before they move, each taker has its turn, and no
//! other client waits.

mod budget;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

use budget::Budget;

/// Clients are forgotten when there are so many, and again whenever their number has doubled.
const FIRST_SWEEP: usize = 64;

/// The clients of one server.
#[derive(Debug, Clone)]
pub struct Clients(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max_connections: usize,
    rate: u64,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    clients: HashMap<IpAddr, Account>,
    sweep_at: usize,
}

/// What is known of one client.
#[derive(Debug)]
struct Account {
    connections: usize,
    budget: Option<Arc<Mutex<Budget>>>,
}

impl Clients {
    /// Clients with at most `max_connections` connections each and `rate` bytes a second for all of those; 0 means that
    /// there is no limit.
    pub fn new(max_connections: usize, rate: u64) -> Clients {
        let known = Mutex::new(Known { clients: HashMap::new(), sweep_at: FIRST_SWEEP });
        Clients(Arc::new(Shared { max_connections, rate, known }))
    }

    /// Counts a connection from this address until what it gets is dropped; `None` if it is one too many.
    pub fn admit(&self, peer: IpAddr) -> Option<Client> {
        let shared = &*self.0;
        if shared.max_connections == 0 && shared.rate == 0 {
            return Some(Client::unlimited());
        }
        let address = client_of(peer);
        let mut known = shared.lock();
        known.sweep();
        let account = known.clients.entry(address).or_insert_with(|| Account {
            connections: 0,
            budget: (shared.rate > 0).then(|| Arc::new(Mutex::new(Budget::new(shared.rate)))),
        });
        if shared.max_connections > 0 && account.connections >= shared.max_connections {
            return None;
        }
        account.connections += 1;
        let budget = account.budget.clone();
        drop(known);
        let place = Arc::new(Place { clients: self.0.clone(), address });
        Some(Client { _place: Some(place), budget, turn: None })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Forgets those who have gone, now and then. What one has yet to wait for stays known: it could come back at once.
    fn sweep(&mut self) {
        if self.clients.len() < self.sweep_at {
            return;
        }
        let now = Instant::now();
        self.clients.retain(|_, account| {
            let owes = |budget: &Arc<Mutex<Budget>>| !lock(budget).is_full(now);
            account.connections > 0 || account.budget.as_ref().is_some_and(owes)
        });
        self.sweep_at = FIRST_SWEEP.max(2 * self.clients.len());
    }
}

/// One client as one of its connections sees it. Clones are of the same connection; those who poll in turns, such as the
/// two directions of a stream, need one each.
#[derive(Debug)]
pub struct Client {
    _place: Option<Arc<Place>>,
    budget: Option<Arc<Mutex<Budget>>>,
    /// When what [`Client::poll_take`] was asked for may move.
    turn: Option<Pin<Box<Sleep>>>,
}

/// Counted until it is dropped.
#[derive(Debug)]
struct Place {
    clients: Arc<Shared>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut known = self.clients.lock();
        let Some(account) = known.clients.get_mut(&self.address) else { return };
        account.connections -= 1;
        if account.connections == 0 && account.budget.is_none() {
            known.clients.remove(&self.address);
        }
    }
}

impl Clone for Client {
    fn clone(&self) -> Self {
        Client { _place: self._place.clone(), budget: self.budget.clone(), turn: None }
    }
}

impl Client {
    /// One that is not counted.
    pub fn unlimited() -> Client {
        Client { _place: None, budget: None, turn: None }
    }

    /// Whether bytes are counted at all.
    pub fn is_limited(&self) -> bool {
        self.budget.is_some()
    }

    /// How many of `bytes` are best taken at a time: few enough that a slow client is served evenly, and all of them
    /// where there is no limit.
    pub fn share(&self, bytes: usize) -> usize {
        self.budget.as_ref().map_or(bytes, |budget| bytes.min(lock(budget).share()))
    }

    /// Takes bytes from the budget; returns when they may move, in either direction. Not to be counted as time that the
    /// client lets pass. Dropped, it leaves the bytes taken.
    pub async fn take(&self, bytes: usize) {
        let Some(turn) = self.reserve(bytes) else { return };
        sleep_until(turn).await;
    }

    /// The same for those who poll, to be called until it is ready: the number of the first call counts. With 0 it waits
    /// until all that was taken has moved.
    pub fn poll_take(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        if self.turn.is_none() {
            let Some(turn) = self.reserve(bytes) else { return Poll::Ready(()) };
            self.turn = Some(Box::pin(sleep_until(turn)));
        }
        if let Some(turn) = &mut self.turn {
            ready!(turn.as_mut().poll(cx));
        }
        self.turn = None;
        Poll::Ready(())
    }

    /// Takes bytes that have moved already: it is others, and the next ones, that wait.
    pub fn spend(&self, bytes: usize) {
        self.reserve(bytes);
    }

    /// Puts back bytes that were taken and did not move.
    pub fn give_back(&self, bytes: usize) {
        if let Some(budget) = self.budget.as_ref().filter(|_| bytes > 0) {
            lock(budget).give_back(bytes);
        }
    }

    /// When it is the turn of these bytes, if not now.
    fn reserve(&self, bytes: usize) -> Option<Instant> {
        let budget = self.budget.as_ref()?;
        let now = Instant::now();
        Some(lock(budget).take(bytes, now)).filter(|turn| *turn > now)
    }
}

fn lock(budget: &Mutex<Budget>) -> MutexGuard<'_, Budget> {
    budget.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The address that stands for all of one client.
fn client_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests;
