//! One request to one source, in a task of its own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::failure::{Failure, FailureKind};
use crate::schedule::RunId;
use crate::source::{Body, Hints, Opened, Source, Wanted};
use crate::version::Facts;

/// How long it is waited for the end of an answer whose bytes have all come.
const END: Duration = Duration::from_secs(2);

/// What comes of a request.
#[derive(Debug)]
pub(crate) enum Event {
    /// The source agreed.
    Opened(Box<Answer>),
    /// The next of the wanted bytes.
    Bytes(Bytes),
    /// Nothing more comes. Without a failure everything has come that was announced.
    Ended(Result<(), Failure>),
}

/// What a source says before its bytes.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) facts: Facts,
    pub(crate) hints: Hints,
    pub(crate) ahead: Hints,
}

/// How long it is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// For an answer to begin.
    pub(crate) answer: Duration,
    /// For the next byte.
    pub(crate) idle: Duration,
}

/// Asks `source` and passes on what it gives until the end or until nobody listens.
pub(crate) async fn run(
    source: Arc<dyn Source>,
    wanted: Wanted,
    limits: Limits,
    run: RunId,
    events: mpsc::Sender<(RunId, Event)>,
) {
    let outcome = transfer(&*source, &wanted, limits, run, &events).await;
    // Who does not listen any more knows why.
    let _ = events.send((run, Event::Ended(outcome))).await;
}

async fn transfer(
    source: &dyn Source,
    wanted: &Wanted,
    limits: Limits,
    run: RunId,
    events: &mpsc::Sender<(RunId, Event)>,
) -> Result<(), Failure> {
    let opened = within(limits.answer, source.open(wanted)).await?;
    let Opened { facts, skip, length, hints, ahead, at, mut body } = opened;
    let is_document = hints.metalink.is_some();
    let answer = Event::Opened(Box::new(Answer { facts, hints, ahead }));
    if events.send((run, answer)).await.is_err() || is_document {
        return Ok(());
    }
    let given = give(&mut *body, skip, length, limits.idle, run, events).await;
    given.map_err(|failure| Failure { at: at.or(failure.at), ..failure })
}

/// Passes on `left` bytes behind the first `skip` ones.
async fn give(
    body: &mut dyn Body,
    mut skip: u64,
    mut left: u64,
    idle: Duration,
    run: RunId,
    events: &mpsc::Sender<(RunId, Event)>,
) -> Result<(), Failure> {
    loop {
        let next = within(idle, body.chunk()).await?;
        let Some(mut chunk) = next else {
            return match skip + left {
                0 => Ok(()),
                missing => Err(Failure::new(FailureKind::Broken, format!("it ended {missing} bytes early"))),
            };
        };
        let skipped = skip.min(chunk.len() as u64);
        skip -= skipped;
        let chunk = chunk.split_off(usize::try_from(skipped).unwrap_or(usize::MAX));
        left = match left.checked_sub(chunk.len() as u64) {
            Some(left) => left,
            None => return Err(too_many()),
        };
        if left == 0 && skip == 0 {
            // The last bytes count only if none come behind them.
            check_end(body).await?;
        }
        if !chunk.is_empty() && events.send((run, Event::Bytes(chunk))).await.is_err() {
            return Ok(());
        }
        if left == 0 && skip == 0 {
            return Ok(());
        }
    }
}

/// Makes sure that nothing comes behind the announced bytes. An answer that stays open, or breaks off now, has given
/// them all the same.
async fn check_end(body: &mut dyn Body) -> Result<(), Failure> {
    loop {
        match timeout(END, body.chunk()).await {
            Ok(Ok(Some(chunk))) if chunk.is_empty() => {}
            Ok(Ok(Some(_))) => return Err(too_many()),
            Ok(Ok(None) | Err(_)) | Err(_) => return Ok(()),
        }
    }
}

fn too_many() -> Failure {
    Failure::invalid("it sends more bytes than it announced")
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let text = format!("nothing came for {} s", limit.as_secs_f64());
            Err(Failure::new(FailureKind::Silent, text))
        }
    }
}
