//! A circuit breaker in front of a server that may be away.
//!
//! The first command that fails, or gets no answer in time, opens it: all commands in flight end at once, and while it
//! is open none is sent and none waits. One task in the background, never a request, looks for the server again, first
//! after a quarter of a second and then ever more rarely. A new connection is closed to reads until it was prepared;
//! removals go through it from its first moment, so that those which were lost all lie before the preparation, which
//! makes them good.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Before the first look for a server that went away.
const FIRST_DELAY: Duration = Duration::from_millis(250);
/// Between two looks, at most.
const LAST_DELAY: Duration = Duration::from_secs(10);

/// Why a server is of no use, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// What is wrong, and what to do if somebody must do something. Without any password.
    pub(super) reason: String,
    /// Whether somebody must do something.
    pub(super) calls_for_action: bool,
}

impl Fault {
    /// One that may pass by itself.
    pub(super) fn passing(reason: impl Into<String>) -> Fault {
        Fault { reason: reason.into(), calls_for_action: false }
    }

    /// One that somebody must see to.
    pub(super) fn lasting(reason: impl Into<String>) -> Fault {
        Fault { reason: reason.into(), calls_for_action: true }
    }

    pub(super) fn silence(patience: Duration) -> Fault {
        Fault::passing(format!("no answer within {patience:?}"))
    }
}

/// How a server is reached.
pub(super) trait Dial: Send + Sync + 'static {
    /// A connection.
    type Link: Clone + Send + Sync + 'static;

    /// The server's name for the log, without any password.
    fn server(&self) -> String;

    /// Connects, and makes sure that the server does what will be asked of it. Ends within a time of its own.
    fn dial(&self) -> impl Future<Output = Result<Self::Link, Fault>> + Send;

    /// What must be done on a new connection before anything is read from it.
    fn prepare(&self, link: Self::Link) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// What a command needs of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// That it was prepared.
    Prepared,
    /// That it is there.
    Connected,
}

/// The server behind its breaker. Dropped, it is no longer looked for.
pub(super) struct Breaker<D: Dial> {
    circuit: Arc<Circuit<D>>,
    _keeper: AbortOnDropHandle<()>,
}

impl<D: Dial> Breaker<D> {
    /// Open at first; the server is looked for at once. A command gets its answer within `patience`.
    pub(super) fn new(dial: D, patience: Duration) -> Breaker<D> {
        let circuit =
            Arc::new(Circuit { dial, patience, state: Mutex::new(State { line: None, fault: None }) });
        let keeper = AbortOnDropHandle::new(tokio::spawn(keep(circuit.clone())));
        Breaker { circuit, _keeper: keeper }
    }

    /// Whether commands are sent.
    pub(super) fn is_closed(&self) -> bool {
        self.circuit.line(Gate::Prepared).is_some()
    }

    /// Runs a command. `None` if the server is away, or goes away meanwhile.
    pub(super) async fn run<T, F>(&self, gate: Gate, command: impl FnOnce(D::Link) -> F) -> Option<T>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let line = self.circuit.line(gate)?;
        let outcome = tokio::select! {
            biased;
            outcome = timeout(self.circuit.patience, command(line.link)) => outcome,
            () = line.down.cancelled() => return None,
        };
        match outcome.unwrap_or_else(|_| Err(Fault::silence(self.circuit.patience))) {
            Ok(answer) => Some(answer),
            Err(fault) => {
                self.circuit.open(&line.down, fault);
                None
            }
        }
    }
}

struct Circuit<D: Dial> {
    dial: D,
    patience: Duration,
    state: Mutex<State<D::Link>>,
}

struct State<L> {
    line: Option<Line<L>>,
    /// Why the last line went down.
    fault: Option<Fault>,
}

#[derive(Clone)]
struct Line<L> {
    link: L,
    is_prepared: bool,
    /// Ends the commands in flight.
    down: CancellationToken,
}

impl<D: Dial> Circuit<D> {
    /// Held for memory operations only.
    fn state(&self) -> MutexGuard<'_, State<D::Link>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, gate: Gate) -> Option<Line<D::Link>> {
        let state = self.state();
        state.line.as_ref().filter(|line| line.is_prepared || gate == Gate::Connected).cloned()
    }

    /// Takes the line of `down` out of use. The first fault is the one that is told.
    fn open(&self, down: &CancellationToken, fault: Fault) {
        let mut state = self.state();
        if down.is_cancelled() {
            return;
        }
        state.line = None;
        state.fault = Some(fault);
        down.cancel();
    }

    /// Looks for the server and closes the breaker. The token says when it opened again.
    async fn close(&self) -> Result<CancellationToken, Fault> {
        let link = self.dial.dial().await?;
        let down = CancellationToken::new();
        self.state().line = Some(Line { link: link.clone(), is_prepared: false, down: down.clone() });
        let prepared = tokio::select! {
            prepared = timeout(self.patience, self.dial.prepare(link)) => prepared,
            () = down.cancelled() => Ok(Ok(())),
        };
        if let Err(fault) = prepared.unwrap_or_else(|_| Err(Fault::silence(self.patience))) {
            self.open(&down, fault);
        }
        // Only this task puts a line there.
        if let Some(line) = &mut self.state().line {
            line.is_prepared = true;
            return Ok(down);
        }
        Err(self.fault())
    }

    fn fault(&self) -> Fault {
        self.state().fault.clone().unwrap_or_else(|| Fault::passing("the connection is gone"))
    }
}

/// Looks for the server whenever it is away, and tells the log.
async fn keep<D: Dial>(circuit: Arc<Circuit<D>>) {
    let server = circuit.dial.server();
    let (mut delay, mut told) = (FIRST_DELAY, None);
    loop {
        let fault = match circuit.close().await {
            Ok(down) => {
                tracing::info!(server, "the cache answers");
                told = None;
                let since = Instant::now();
                down.cancelled().await;
                // One that goes away again and again is not worth more attention each time.
                if since.elapsed() >= LAST_DELAY {
                    delay = FIRST_DELAY;
                }
                circuit.fault()
            }
            Err(fault) => fault,
        };
        tell(&server, fault, &mut told);
        sleep(delay.mul_f64(rand::random_range(0.5..=1.0))).await;
        delay = LAST_DELAY.min(delay * 2);
    }
}

/// One warning for an outage, and one more if it turns out that somebody must do something.
fn tell(server: &str, fault: Fault, told: &mut Option<Fault>) {
    let reason = &fault.reason;
    if told.as_ref().is_none_or(|told| fault.calls_for_action && *told != fault) {
        tracing::warn!(server, reason, "the cache is away; everything goes on without it, only slower");
        *told = Some(fault);
    } else {
        tracing::debug!(server, reason, "the cache is still away");
    }
}

#[cfg(test)]
mod tests;
