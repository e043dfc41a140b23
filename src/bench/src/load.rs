//! Load: connections that ask one thing after the other, and how long each answer took.

mod fleet;
mod latencies;
mod open;
mod timer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

pub(crate) use fleet::{Fleet, Work, drive};
pub(crate) use latencies::{latencies, quantile_ms, record};
pub(crate) use open::{open_loop, open_loop_beside};

/// What one connection does over and over.
pub(crate) trait Exchange: Send + 'static {
    /// Sends the next request and takes its whole answer.
    ///
    /// # Errors
    /// If the answer is not the one that was to come; that ends the run.
    fn exchange(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// How long a load runs.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Window {
    /// First, with nothing counted.
    pub(crate) warm_up: Duration,
    /// Then.
    pub(crate) measured: Duration,
}

/// The two ends of what is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    Begin,
    End,
}

/// What came of a load: the requests that were answered in the measured time.
#[derive(Debug)]
pub(crate) struct Load {
    /// The measured time, as it was.
    pub(crate) elapsed: Duration,
    /// Of each request from its first byte, or from when it was due, to the last of its answer, in nanoseconds.
    pub(crate) latencies: Histogram<u64>,
}

impl Load {
    pub(crate) fn requests(&self) -> u64 {
        self.latencies.len()
    }

    /// Requests per second.
    pub(crate) fn rate(&self) -> f64 {
        self.requests() as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that this share of the requests stays below, in milliseconds.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        quantile_ms(&self.latencies, share)
    }
}

/// A closed loop: each connection sends its next request when it has the answer to the last one. It finds out how much a
/// server can do with so many clients; latencies are those at that rate. `at` is called at both ends of the measured
/// time.
///
/// # Errors
/// The first of any connection.
pub(crate) async fn closed_loop<E: Exchange>(
    connections: Vec<E>,
    window: Window,
    at: impl FnMut(Edge),
) -> anyhow::Result<Load> {
    let phase = Arc::new(Phase::default());
    let one_by_one = |connection| ask_one_by_one(connection, phase.clone());
    let drivers = connections.into_iter().map(one_by_one).collect();
    watch(drivers, &phase, window, at).await
}

/// Sees connections through their phases, and adds up what they took.
async fn watch(
    mut drivers: JoinSet<anyhow::Result<Histogram<u64>>>,
    phase: &Phase,
    window: Window,
    at: impl FnMut(Edge),
) -> anyhow::Result<Load> {
    unless_one_ends(&mut drivers, sleep(window.warm_up)).await?;
    Ok(measure(drivers, phase, sleep(window.measured), at).await?.0)
}

/// The phases that count: until `pause` is over, and what it comes to.
async fn measure<T>(
    mut drivers: JoinSet<anyhow::Result<Histogram<u64>>>,
    phase: &Phase,
    pause: impl Future<Output = T>,
    mut at: impl FnMut(Edge),
) -> anyhow::Result<(Load, T)> {
    at(Edge::Begin);
    let begin = Instant::now();
    phase.set(Phase::MEASURED);
    let paused = unless_one_ends(&mut drivers, pause).await?;
    phase.set(Phase::OVER);
    let elapsed = begin.elapsed();
    at(Edge::End);
    let mut all = latencies();
    while let Some(driven) = drivers.join_next().await {
        all.add(driven??)?;
    }
    Ok((Load { elapsed, latencies: all }, paused))
}

/// What `pause` comes to; a connection that fails ends the run at once.
async fn unless_one_ends<T>(
    drivers: &mut JoinSet<anyhow::Result<Histogram<u64>>>,
    pause: impl Future<Output = T>,
) -> anyhow::Result<T> {
    tokio::select! {
        paused = pause => Ok(paused),
        Some(ended) = drivers.join_next() => ended?.and_then(|_| anyhow::bail!("a connection ended early")),
    }
}

async fn ask_one_by_one<E: Exchange>(mut connection: E, phase: Arc<Phase>) -> anyhow::Result<Histogram<u64>> {
    let mut taken = latencies();
    while !phase.is(Phase::OVER) {
        let start = Instant::now();
        connection.exchange().await?;
        if phase.is(Phase::MEASURED) {
            record(&mut taken, start.elapsed());
        }
    }
    Ok(taken)
}

#[derive(Default)]
struct Phase(AtomicU8);

impl Phase {
    const MEASURED: u8 = 1;
    const OVER: u8 = 2;

    fn set(&self, phase: u8) {
        self.0.store(phase, Ordering::Relaxed);
    }

    fn is(&self, phase: u8) -> bool {
        self.0.load(Ordering::Relaxed) == phase
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers after a millisecond, so many times.
    struct Slow {
        left: usize,
    }

    impl Exchange for Slow {
        async fn exchange(&mut self) -> anyhow::Result<()> {
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.left = self.left.checked_sub(1).ok_or_else(|| anyhow::anyhow!("no more"))?;
            Ok(())
        }
    }

    const WINDOW: Window = Window { warm_up: Duration::from_millis(5), measured: Duration::from_millis(50) };

    #[tokio::test(start_paused = true)]
    async fn only_the_measured_time_counts() {
        let mut edges = Vec::new();
        let slow = (0..4).map(|_| Slow { left: usize::MAX }).collect();
        let load = closed_loop(slow, WINDOW, |edge| edges.push(edge)).await.unwrap();
        assert_eq!(edges, [Edge::Begin, Edge::End]);
        assert_eq!(load.elapsed, WINDOW.measured);
        // Those that are answered just when it ends may count or not.
        assert!((4 * 49..=4 * 50).contains(&load.requests()), "{}", load.requests());
        assert!((1.0..1.1).contains(&load.quantile_ms(0.5)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_answer_ends_the_run() {
        let error = closed_loop(vec![Slow { left: 3 }], WINDOW, |_| ()).await.unwrap_err();
        assert_eq!(error.to_string(), "no more");
    }
}
