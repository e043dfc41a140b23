//! Reactors: threads that each run their own connections, from the first request to the last.
//!
//! A runtime that moves tasks between threads pays for every wake-up, with locks and often by waking another thread.
//! Here a connection stays where it was put, with its socket, its timer and its requests. New ones go where a server has
//! the fewest, so that a handful of them keeps all cores busy. Everything else, such as the accept loops and the
//! heartbeats, stays on the runtime that it was started on.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// Those of this process. Threads are the process's, and so is the choice how many there are.
static REACTORS: OnceLock<Vec<Handle>> = OnceLock::new();

/// However many cores there are, each reactor may have so many threads for blocking work.
const MIN_BLOCKING_THREADS: usize = 16;

/// The reactors of this process, running until this is dropped.
#[derive(Debug)]
pub struct Reactors {
    stop: CancellationToken,
    threads: Vec<JoinHandle<()>>,
}

impl Reactors {
    /// Starts one reactor for each core; all servers of the process that begin from now on use them.
    /// They share about `max_blocking_threads` threads for blocking work. Without reactors, or after a second call in
    /// the same process, connections run where they are accepted.
    ///
    /// # Errors
    /// A runtime or thread that cannot be had.
    pub fn start(max_blocking_threads: usize) -> io::Result<Reactors> {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let (reactors, handles) =
            Reactors::spawn(count, (max_blocking_threads / count).max(MIN_BLOCKING_THREADS))?;
        let _ = REACTORS.set(handles);
        Ok(reactors)
    }

    fn spawn(count: usize, max_blocking_threads: usize) -> io::Result<(Reactors, Vec<Handle>)> {
        let mut reactors = Reactors { stop: CancellationToken::new(), threads: Vec::new() };
        let mut handles = Vec::new();
        for number in 0..count {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(max_blocking_threads)
                .build()?;
            handles.push(runtime.handle().clone());
            let stop = reactors.stop.clone();
            let thread = std::thread::Builder::new().name(format!("reactor-{number}"));
            reactors.threads.push(thread.spawn(move || runtime.block_on(stop.cancelled()))?);
        }
        Ok((reactors, handles))
    }
}

impl Drop for Reactors {
    /// Waits for blocking work that is under way, as the end of any runtime does.
    fn drop(&mut self) {
        self.stop.cancel();
        for thread in self.threads.drain(..) {
            // It has said why it panicked.
            let _ = thread.join();
        }
    }
}

/// Deals out the connections of one server.
#[derive(Debug)]
pub struct Dealer {
    reactors: Vec<(Handle, Arc<AtomicUsize>)>,
    last: AtomicUsize,
}

/// One connection's place; free again when it is dropped.
#[derive(Debug)]
pub struct Place {
    /// Where the connection is to run: its socket, and everything that is only for it.
    pub reactor: Handle,
    connections: Arc<AtomicUsize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Dealer {
    /// Deals to the reactors of this process, or to the current runtime alone if there are none.
    ///
    /// # Panics
    /// Without reactors, outside of a runtime.
    #[expect(clippy::new_without_default, reason = "it depends on where it is called")]
    pub fn new() -> Dealer {
        let handles = REACTORS.get().cloned().unwrap_or_default();
        Dealer::to(if handles.is_empty() { vec![Handle::current()] } else { handles })
    }

    /// `handles` are one at least.
    fn to(handles: Vec<Handle>) -> Dealer {
        let reactors = handles.into_iter().map(|handle| (handle, Arc::default())).collect();
        Dealer { reactors, last: AtomicUsize::new(0) }
    }

    /// A place at the reactor with the fewest connections; of several, those are taken in turn.
    pub fn deal(&self) -> Place {
        let count = self.reactors.len();
        let last = self.last.load(Ordering::Relaxed);
        let mut best = (last + 1) % count;
        for number in (last + 2..=last + count).map(|number| number % count) {
            if self.connections(number) < self.connections(best) {
                best = number;
            }
        }
        self.last.store(best, Ordering::Relaxed);
        let (reactor, connections) = &self.reactors[best];
        connections.fetch_add(1, Ordering::Relaxed);
        Place { reactor: reactor.clone(), connections: connections.clone() }
    }

    fn connections(&self, number: usize) -> usize {
        self.reactors[number].1.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(dealer: &Dealer) -> Vec<usize> {
        (0..dealer.reactors.len()).map(|number| dealer.connections(number)).collect()
    }

    #[tokio::test]
    async fn connections_are_spread_evenly_and_gaps_are_filled() {
        let dealer = Dealer::to(vec![Handle::current(); 3]);
        let mut places: Vec<Place> = (0..6).map(|_| dealer.deal()).collect();
        assert_eq!(counts(&dealer), [2, 2, 2]);
        // All of one reactor go.
        let gone = &dealer.reactors[1].1;
        places.retain(|place| !Arc::ptr_eq(&place.connections, gone));
        assert_eq!(counts(&dealer), [2, 0, 2]);
        let _new = [dealer.deal(), dealer.deal()];
        assert_eq!(counts(&dealer), [2, 2, 2]);
    }

    #[tokio::test]
    async fn with_one_reactor_all_go_there() {
        let dealer = Dealer::new();
        let places = [dealer.deal(), dealer.deal()];
        assert_eq!(counts(&dealer), [2]);
        drop(places);
        assert_eq!(counts(&dealer), [0]);
    }

    #[test]
    fn every_reactor_runs_in_a_thread_of_its_own_until_it_is_stopped() {
        let (reactors, handles) = Reactors::spawn(3, 1).unwrap();
        for (number, handle) in handles.iter().enumerate() {
            let thread = handle.spawn(async { std::thread::current().name().map(str::to_owned) });
            assert_eq!(handle.block_on(thread).unwrap(), Some(format!("reactor-{number}")));
        }
        drop(reactors);
    }
}
