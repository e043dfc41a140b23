//! Places for requests under way. Every connection has one; HTTP/2 puts several requests on a connection, and each one
//! more takes the place of another connection. So there are never more requests than connections may be open, which is
//! what the pools towards the storages are made for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// The places that the requests of one connection can take.
#[derive(Debug, Clone)]
pub(crate) struct Seats {
    own: Arc<Semaphore>,
    /// Those of connections.
    shared: Arc<Semaphore>,
    taken: watch::Sender<usize>,
}

/// The place of one request.
#[derive(Debug)]
pub(crate) struct Seat {
    taken: watch::Sender<usize>,
    _permit: OwnedSemaphorePermit,
}

impl Seats {
    /// Those of a connection that has taken a permit of `connections` already.
    pub(crate) fn new(connections: Arc<Semaphore>) -> Seats {
        Seats { own: Arc::new(Semaphore::new(1)), shared: connections, taken: watch::Sender::default() }
    }

    /// A place, if there is one.
    pub(crate) fn take(&self) -> Option<Seat> {
        let own = self.own.clone().try_acquire_owned();
        let permit = own.or_else(|_| self.shared.clone().try_acquire_owned()).ok()?;
        self.taken.send_modify(|taken| *taken += 1);
        Some(Seat { taken: self.taken.clone(), _permit: permit })
    }

    /// Returns when none has been taken for this long.
    pub(crate) async fn idle(&self, patience: Duration) {
        let mut taken = self.taken.subscribe();
        loop {
            // The sender is here: neither wait can fail.
            let _ = taken.wait_for(|taken| *taken == 0).await;
            tokio::select! {
                () = tokio::time::sleep(patience) => return,
                _ = taken.wait_for(|taken| *taken > 0) => {}
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.taken.send_modify(|taken| *taken -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_has_one_and_more_only_while_others_have_none() {
        let connections = Arc::new(Semaphore::new(1));
        let (first, second) = (Seats::new(connections.clone()), Seats::new(connections.clone()));
        let (own, more) = (first.take(), first.take());
        assert!(own.is_some() && more.is_some() && first.take().is_none());
        let others = second.take();
        assert!(others.is_some() && second.take().is_none());
        drop(own);
        assert!(first.take().is_some());
        drop(more);
        assert!(second.take().is_some());
    }

    #[tokio::test]
    async fn a_connection_is_idle_when_no_request_is_under_way() {
        let seats = Seats::new(Arc::new(Semaphore::new(0)));
        let seat = seats.take();
        tokio::select! {
            biased;
            () = seats.idle(Duration::ZERO) => panic!("a request is under way"),
            () = tokio::task::yield_now() => drop(seat),
        }
        seats.idle(Duration::ZERO).await;
    }
}
