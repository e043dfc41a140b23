//! An open loop: requests come at a fixed rate, whether the server keeps up or not, as those of many independent
//! clients would.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::timer::{PreciseTimer, Timer};
use super::{Edge, Exchange, Load, Phase, Window, latencies, measure, record, watch};

/// Sends `per_second` requests over the connections, each when it is due or, if all connections are busy then, as soon
/// as one is free. A latency is counted from the moment a request was due: one that had to wait for the answers to
/// others took that much longer, as it would for a client ("coordinated omission" is what leaves that out). `at` is
/// called at both ends of the measured time.
///
/// # Errors
/// The first of any connection; if the rate is not above 0.
pub(crate) async fn open_loop<E: Exchange>(
    connections: Vec<E>,
    per_second: f64,
    window: Window,
    at: impl FnMut(Edge),
) -> anyhow::Result<Load> {
    open_loop_with(with_timers(connections)?, per_second, window, at).await
}

/// The same for as long as other work lasts, all of it measured, and what the work comes to.
///
/// # Errors
/// As [`open_loop`], and the work's.
pub(crate) async fn open_loop_beside<E: Exchange, R>(
    connections: Vec<E>,
    per_second: f64,
    work: impl Future<Output = anyhow::Result<R>>,
) -> anyhow::Result<(Load, R)> {
    beside_with(with_timers(connections)?, per_second, work).await
}

async fn beside_with<E: Exchange, T: Timer, R>(
    connections: Vec<(E, T)>,
    per_second: f64,
    work: impl Future<Output = anyhow::Result<R>>,
) -> anyhow::Result<(Load, R)> {
    let (drivers, phase) = begin(connections, per_second)?;
    let (load, done) = measure(drivers, &phase, work, |_| {}).await?;
    Ok((load, done?))
}

fn with_timers<E>(connections: Vec<E>) -> anyhow::Result<Vec<(E, PreciseTimer)>> {
    connections.into_iter().map(|connection| Ok((connection, PreciseTimer::new()?))).collect()
}

async fn open_loop_with<E: Exchange, T: Timer>(
    connections: Vec<(E, T)>,
    per_second: f64,
    window: Window,
    at: impl FnMut(Edge),
) -> anyhow::Result<Load> {
    let (drivers, phase) = begin(connections, per_second)?;
    watch(drivers, &phase, window, at).await
}

type Drivers = JoinSet<anyhow::Result<Histogram<u64>>>;

fn begin<E: Exchange, T: Timer>(
    connections: Vec<(E, T)>,
    per_second: f64,
) -> anyhow::Result<(Drivers, Arc<Phase>)> {
    let phase = Arc::new(Phase::default());
    let schedule = Arc::new(Schedule::new(Instant::now(), per_second)?);
    let when_due = |(connection, timer)| ask_when_due(connection, timer, schedule.clone(), phase.clone());
    Ok((connections.into_iter().map(when_due).collect(), phase))
}

async fn ask_when_due<E: Exchange, T: Timer>(
    mut connection: E,
    mut timer: T,
    schedule: Arc<Schedule>,
    phase: Arc<Phase>,
) -> anyhow::Result<Histogram<u64>> {
    let mut taken = latencies();
    while !phase.is(Phase::OVER) {
        let due = schedule.next();
        timer.until(due).await?;
        connection.exchange().await?;
        if phase.is(Phase::MEASURED) {
            record(&mut taken, due.elapsed());
        }
    }
    Ok(taken)
}

/// When requests are due.
struct Schedule {
    begin: Instant,
    between: f64,
    next: AtomicU64,
}

impl Schedule {
    fn new(begin: Instant, per_second: f64) -> anyhow::Result<Schedule> {
        anyhow::ensure!(per_second > 0.0 && per_second.is_finite(), "a rate of {per_second} per second");
        Ok(Schedule { begin, between: 1.0 / per_second, next: AtomicU64::new(0) })
    }

    /// When the next request is due that nobody has yet taken.
    fn next(&self) -> Instant {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.begin + Duration::from_secs_f64(number as f64 * self.between)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The runtime's, which follows its paused clock.
    struct Paused;

    impl Timer for Paused {
        async fn until(&mut self, moment: Instant) -> anyhow::Result<()> {
            tokio::time::sleep_until(moment).await;
            Ok(())
        }
    }

    /// A server that answers in 2 ms, but hangs once.
    struct Server {
        requests: u64,
        hangs: bool,
    }

    impl Exchange for Server {
        async fn exchange(&mut self) -> anyhow::Result<()> {
            self.requests += 1;
            let hang = self.hangs && self.requests == 50;
            tokio::time::sleep(Duration::from_millis(if hang { 102 } else { 2 })).await;
            Ok(())
        }
    }

    const WINDOW: Window = Window { warm_up: Duration::from_millis(100), measured: Duration::from_secs(1) };

    async fn load(connections: usize, hangs: bool) -> Load {
        let one = |_| (Server { requests: 0, hangs }, Paused);
        open_loop_with((0..connections).map(one).collect(), 200.0, WINDOW, |_| ()).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_what_was_asked_for() {
        let load = load(3, false).await;
        // Those at the edges may count or not.
        assert!((199..=201).contains(&load.requests()), "{}", load.requests());
        assert!(load.quantile_ms(1.0) < 2.1, "{}", load.quantile_ms(1.0));
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_wait_while_a_server_hangs_count_from_when_they_were_due() {
        let load = load(1, true).await;
        // One request takes 102 ms; behind it 20 were due every 5 ms, and the queue shrinks by 3 ms with each.
        assert!(load.quantile_ms(1.0) > 100.0);
        let late = load.latencies.count_between(3_000_000, 120_000_000_000);
        assert!((30..=36).contains(&late), "{late}");
        assert!((199..=201).contains(&load.requests()), "nothing is left out: {}", load.requests());
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_that_is_none_is_refused() {
        assert!(Schedule::new(Instant::now(), 0.0).is_err());
        assert!(Schedule::new(Instant::now(), f64::NAN).is_err());
    }
}
