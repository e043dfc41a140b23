//! What is done when nobody is left to ask, or it ends otherwise.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::disk::{Done, Job, SAVE};
use crate::engine::Engine;
use crate::error::{FetchError, SourceFailure};
use crate::failure::FailureKind;
use crate::fetch::Known;
use crate::report::Note;
use crate::roster::Condition;

/// How long it is waited for a disk that is told to write down what has come.
const LAST_WORDS: Duration = Duration::from_secs(10);

impl Engine<'_> {
    /// Nobody is left to ask: begins anew with another version, if somebody has one.
    pub(super) fn conclude(&mut self) -> Result<(), FetchError> {
        let has_other = self.roster.iter().any(|(_, standing)| standing.condition == Condition::Aside);
        if has_other && self.changes < self.options.max_changes {
            self.begin_anew();
            return Ok(());
        }
        let sources = self.failures();
        let any = |kind| sources.iter().any(|one| one.failure.kind == kind);
        Err(if any(FailureKind::Corrupt) {
            FetchError::ChecksumMismatch { what: "nobody gives what it should be".to_owned(), sources }
        } else if any(FailureKind::Changed) {
            FetchError::Changed { what: "nobody gives the version that was begun with".to_owned(), sources }
        } else {
            FetchError::AllServersFailed(sources)
        })
    }

    fn begin_anew(&mut self) {
        self.changes += 1;
        self.watcher.note(&Note::Anew);
        self.roster.readmit(Instant::now());
        self.roster.hold_to(None);
        self.give_up_all();
        (self.version, self.map, self.saved) = (None, None, None);
        (self.learned, self.alone) = (Known::default(), false);
        (self.has_looked, self.has_looked_ahead, self.is_described) = (false, false, false);
        if let Some(size) = self.given.size {
            self.begin(size);
        }
    }

    pub(super) fn failures(&self) -> Vec<SourceFailure> {
        let failed = self.roster.iter().filter_map(|(id, standing)| {
            Some(SourceFailure { source: self.name(id), failure: standing.failure.clone()? })
        });
        failed.collect()
    }

    /// Writes down what has come for a later try, or leaves nothing.
    pub(crate) async fn leave(&mut self, error: &FetchError) {
        self.stop_all();
        let size = self.map.as_ref().map(|map| map.size());
        let job = match size {
            Some(size) if !error.spoils() && self.keeps() => Job::Save(Box::new(self.note(size))),
            _ => Job::Discard,
        };
        self.outbox.retain(|job| matches!(job, Job::Begin { .. }));
        self.outbox.push_back(job);
        let work = async {
            while let Some(job) = self.outbox.pop_front() {
                tokio::select! {
                    sent = self.jobs.send(job) => if sent.is_err() { return },
                    // An answer is taken, that the disk may go on.
                    () = async { while self.done.recv().await.is_some() {} } => return,
                }
            }
            while let Some(done) = self.done.recv().await {
                if matches!(done, Done::Saved | Done::Discarded | Done::Failed(SAVE, _)) {
                    return;
                }
            }
        };
        let _ = timeout(LAST_WORDS, work).await;
    }

    /// Whether anything has come that is worth going on with.
    fn keeps(&self) -> bool {
        self.map.as_ref().is_some_and(|map| map.written().total() > 0)
    }
}
