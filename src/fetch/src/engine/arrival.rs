//! What comes of sources.

use std::time::Instant;

use bytes::Bytes;
use tnv_metalink::Hash;

use crate::connection::{Answer, Event};
use crate::disk::Job;
use crate::engine::Engine;
use crate::failure::{Failure, FailureKind};
use crate::map::PieceMap;
use crate::report::{Note, SourceState};
use crate::roster::{Condition, SourceId};
use crate::schedule::RunId;
use crate::version::{Facts, Relation};

impl Engine<'_> {
    pub(super) async fn take(&mut self, run: RunId, event: Event) {
        match event {
            Event::Opened(answer) => self.opened(run, *answer).await,
            Event::Bytes(bytes) => self.bytes(run, bytes),
            Event::Ended(outcome) => {
                if let Err(Failure { ahead: Some(ahead), .. }) = &outcome {
                    self.look_past(ahead).await;
                }
                self.ended(run, outcome);
            }
        }
    }

    async fn opened(&mut self, run: RunId, answer: Answer) {
        let Answer { facts, hints, ahead } = answer;
        let Some(source) = self.schedule.get(run).map(|run| run.source) else { return };
        if let Some(url) = &hints.metalink {
            self.stop(run);
            return self.read_metalink(source, url).await;
        }
        self.look_ahead(&ahead).await;
        let from = self.schedule.get(run).map_or(0, |run| run.at);
        if let Err(failure) = self.admit(source, &facts) {
            return self.fail(run, failure);
        }
        match &hints.name {
            Some(told) => self.call(told),
            // The first answer decides.
            None => self.naming = None,
        }
        if self.map.is_none() {
            self.learn_hashes(&facts);
            self.look_further(&hints, &facts).await;
            if let Some(size) = facts.size.or(self.learned.size) {
                self.begin(size);
            }
        } else if !self.has_looked {
            self.look_further(&hints, &facts).await;
        }
        let whole_only = facts.ranges == Some(false);
        if let Some(standing) = self.roster.get_mut(source) {
            standing.whole_only |= whole_only;
        }
        // Of an answer that began before anything was known only what is missing there is of use.
        let gap = self.map.as_ref().and_then(|map| map.gap(from)).filter(|gap| gap.start == from);
        self.schedule.limit(run, gap.map_or(from, |gap| gap.end));
        self.finish_if_done(run);
    }

    /// Whether what a source gives is of the version that is fetched; the first one decides which that is.
    fn admit(&mut self, source: SourceId, facts: &Facts) -> Result<(), Failure> {
        let expected = self.given.size.or(self.learned.size);
        let Some(version) = facts.version(expected) else {
            return Err(Failure::invalid("it does not tell how long the file is"));
        };
        let contradicts = |hash: &&Hash| {
            self.given.hashes.iter().any(|given| given.algorithm() == hash.algorithm() && given != *hash)
        };
        if let Some(hash) = facts.hashes.iter().find(contradicts) {
            let text = format!("it gives a file with another hash: {hash}");
            return Err(Failure::new(FailureKind::Corrupt, text));
        }
        let relation = match &self.version {
            Some(chosen) => facts.relation(chosen, &self.hashes()),
            None => facts.relation(&version, &self.hashes()),
        };
        let is_proved = !self.hashes().is_empty() || self.map.as_ref().is_some_and(PieceMap::has_hashes);
        let is_first = self.version.is_none();
        let refused = match relation {
            Relation::Same => None,
            Relation::Unproven(_) if is_proved || is_first => None,
            Relation::Unproven(why) | Relation::Different(why) => Some(why),
        };
        // What can be no version of what the caller means is not waited for.
        if expected.is_some_and(|expected| expected != version.size) {
            self.drop_source(source);
            let text = format!(
                "it has {} bytes there, it should have {}",
                version.size,
                expected.unwrap_or_default()
            );
            return Err(Failure::changed(text));
        }
        if let Some(why) = refused {
            return Err(Failure::changed(why));
        }
        if let Some(standing) = self.roster.get_mut(source) {
            standing.version = Some(version.clone());
        }
        self.version.get_or_insert(version);
        Ok(())
    }

    fn bytes(&mut self, run: RunId, mut bytes: Bytes) {
        let now = Instant::now();
        let Some(map) = &mut self.map else { return };
        let Some(source) = self.schedule.get(run).map(|run| run.source) else { return };
        let taken = self.schedule.advance(run, bytes.len() as u64, map.size(), &mut self.roster, now);
        let Some(range) = taken.filter(|range| !range.is_empty()) else { return };
        let len = range.end - range.start;
        bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        let checks = map.receive(source, range.clone());
        let settles = !map.has_hashes();
        self.givers.insert(source);
        self.push(Job::Write { epoch: self.epoch, at: range.start, bytes, settles, checks });
        self.meter.add(len, now);
        if let Some(throttle) = &mut self.throttle {
            self.pass_at = throttle.pass(len, now);
        }
        self.finish_if_done(run);
    }

    fn ended(&mut self, run: RunId, outcome: Result<(), Failure>) {
        let Some(state) = self.schedule.get(run) else { return };
        let (start, at) = (state.start, state.at);
        match outcome {
            // It has given a part of what was wanted, as servers may.
            Ok(()) if at > start => self.stop(run),
            Ok(()) => self.fail(run, Failure::new(FailureKind::Broken, "it gave nothing")),
            Err(failure) => {
                // Who contradicts himself is not believed in the rest either.
                if failure.kind == FailureKind::Invalid
                    && at > start
                    && let Some(map) = &mut self.map
                {
                    map.withdraw(start..at);
                    self.push(Job::Forget(start..at));
                }
                self.fail(run, failure);
            }
        }
    }

    fn finish_if_done(&mut self, run: RunId) {
        if self.schedule.get(run).is_some_and(|run| run.at == run.end) {
            self.stop(run);
        }
    }

    /// Ends a run whose source has failed.
    pub(super) fn fail(&mut self, run: RunId, failure: Failure) {
        self.tasks.remove(&run);
        if let Some(run) = self.schedule.end(run, &mut self.roster, Instant::now()) {
            self.blame(run.source, failure);
        }
    }

    /// Notes the failure of a source and tells of it.
    pub(super) fn blame(&mut self, id: SourceId, failure: Failure) {
        let was_dropped = self.roster.get(id).is_some_and(|known| known.condition == Condition::Dropped);
        let (patience, jitter) = (self.patience(), rand::random());
        self.roster.fail(id, failure.clone(), patience, jitter, Instant::now());
        if was_dropped {
            self.drop_source(id);
        }
        let state = match self.roster.get(id).map(|known| known.condition) {
            Some(Condition::Aside) => SourceState::Aside,
            Some(Condition::Dropped) => SourceState::Dropped,
            _ => SourceState::Pausing,
        };
        let note = Note::Failed { source: self.name(id), failure, state };
        self.watcher.note(&note);
    }
}
