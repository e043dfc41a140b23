//! What is done as time passes: reports, notes on the disk, and sources that are too slow.

use std::time::{Duration, Instant};

use crate::disk::Job;
use crate::engine::Engine;
use crate::failure::{Failure, FailureKind};
use crate::map::PieceMap;
use crate::report::{Phase, Report, SourceReport, SourceState};
use crate::roster::{Condition, SourceId, Standing};

impl Engine<'_> {
    pub(super) fn look(&mut self) {
        let now = Instant::now();
        self.end_slow(now);
        self.save_if_due(now);
        self.tell();
    }

    /// Tells how far it has come.
    pub(super) fn tell(&mut self) {
        let now = Instant::now();
        let (total, come) =
            (self.map.as_ref().map(PieceMap::size), self.map.as_ref().map_or(0, PieceMap::come));
        let rate = self.meter.rate(now);
        let left = total.map(|total| total.saturating_sub(come)).filter(|_| rate >= 1.0);
        let report = Report {
            total,
            come,
            rate,
            left: left.and_then(|left| Duration::try_from_secs_f64(left as f64 / rate).ok()),
            phase: self.phase,
            sources: self.source_reports(),
        };
        self.watcher.report(&report);
    }

    pub(super) fn source_reports(&self) -> Vec<SourceReport> {
        let now = Instant::now();
        let report = |(id, standing): (SourceId, &Standing)| {
            let run = self.schedule.iter().find(|(_, run)| run.source == id).map(|(_, run)| run);
            SourceReport {
                name: self.name(id),
                state: match standing.condition {
                    Condition::Waiting if standing.is_pausing(now) => SourceState::Pausing,
                    Condition::Waiting => SourceState::Waiting,
                    Condition::Active => SourceState::Active,
                    Condition::Aside => SourceState::Aside,
                    Condition::Dropped => SourceState::Dropped,
                },
                bytes: standing.bytes,
                rate: run.map_or(0.0, |run| run.meter.rate(now)),
                failure: standing.failure.clone(),
            }
        };
        self.roster.iter().map(report).collect()
    }

    fn end_slow(&mut self, now: Instant) {
        // Who is held back here is not to blame.
        let share = self.options.limit_rate.map(|limit| limit / 4 / self.options.parallel.max(1) as u64);
        let min_rate = share.unwrap_or(u64::MAX).min(self.options.min_rate);
        if min_rate == 0 {
            return;
        }
        for run in self.schedule.slow(self.options.idle_timeout, min_rate, &self.roster, now) {
            let text = format!(
                "it gave less than {min_rate} bytes a second for {} s",
                self.options.idle_timeout.as_secs_f64()
            );
            self.fail(run, Failure::new(FailureKind::Slow, text));
        }
    }

    /// Not while the disk is behind: what it has not written cannot be written down.
    fn save_if_due(&mut self, now: Instant) {
        let Some(map) = &self.map else { return };
        if self.phase == Phase::Fetching && now >= self.save_at && self.outbox.is_empty() {
            let note = Box::new(self.note(map.size()));
            self.push(Job::Save(note));
            self.save_at = now + self.options.save_every;
        }
    }
}
