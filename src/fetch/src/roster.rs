//! The sources: who may be asked, when, and why no longer. Pure: time and chance are passed in.

use std::time::{Duration, Instant};

use crate::backoff;
use crate::failure::{Failure, FailureKind};
use crate::version::Version;

/// A source, by its place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SourceId(pub(crate) usize);

impl SourceId {
    /// Whoever gave what an earlier process has left.
    pub(crate) const EARLIER: SourceId = SourceId(usize::MAX);
}

/// What is known of one source.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) condition: Condition,
    /// The last thing that went wrong.
    pub(crate) failure: Option<Failure>,
    /// The version it gave when it was asked last.
    pub(crate) version: Option<Version>,
    /// Whether it has been found to give whole files only.
    pub(crate) whole_only: bool,
    /// Bytes that it gave and that were taken.
    pub(crate) bytes: u64,
    /// Bytes a second when it was last at work.
    pub(crate) rate: Option<f64>,
    failures: u32,
    ready_at: Instant,
    /// Its place in the random order.
    rank: (u32, u64),
}

/// What a source is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It may be asked.
    Waiting,
    /// It is at work.
    Active,
    /// It has another version.
    Aside,
    /// It is not asked again.
    Dropped,
}

/// All sources.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    standings: Vec<Standing>,
    held: Option<SourceId>,
}

/// How failures are put up with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) retries: u32,
    pub(crate) max_retry_after: Duration,
}

impl Roster {
    /// Adds a source. Those of a lower `priority` number are asked first, those of the same in the order of `chance`.
    pub(crate) fn add(&mut self, priority: u32, chance: u64, now: Instant) -> SourceId {
        self.standings.push(Standing {
            condition: Condition::Waiting,
            failure: None,
            version: None,
            whole_only: false,
            bytes: 0,
            rate: None,
            failures: 0,
            ready_at: now,
            rank: (priority, chance),
        });
        SourceId(self.standings.len() - 1)
    }

    pub(crate) fn get(&self, id: SourceId) -> Option<&Standing> {
        self.standings.get(id.0)
    }

    pub(crate) fn get_mut(&mut self, id: SourceId) -> Option<&mut Standing> {
        self.standings.get_mut(id.0)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (SourceId, &Standing)> {
        self.standings.iter().enumerate().map(|(index, standing)| (SourceId(index), standing))
    }

    /// Who is to be asked next: the one with the fewest failures in a row, of those one that has given something, and
    /// one without ranges only where there is no other.
    pub(crate) fn next(&self, now: Instant) -> Option<SourceId> {
        let ready = self.waiting().filter(|(_, standing)| standing.ready_at <= now);
        let others = self.iter().any(|(_, standing)| standing.is_usable() && !standing.whole_only);
        let held = self.held.filter(|held| self.get(*held).is_some_and(Standing::is_usable));
        if held.is_some() {
            return ready.map(|(id, _)| id).find(|id| Some(*id) == held);
        }
        ready
            .filter(|(_, standing)| !standing.whole_only || !others)
            .min_by_key(|(_, standing)| (standing.failures, standing.bytes == 0, standing.rank))
            .map(|(id, _)| id)
    }

    /// When the first of those that are left alone may be asked again; `None` if nobody is.
    pub(crate) fn next_ready(&self) -> Option<Instant> {
        self.waiting().map(|(_, standing)| standing.ready_at).min()
    }

    /// Asks nobody but this one as long as it may be asked at all.
    pub(crate) fn hold_to(&mut self, id: Option<SourceId>) {
        self.held = id;
    }

    /// Whether somebody else than `id` could be asked, now or soon.
    pub(crate) fn has_others(&self, id: SourceId) -> bool {
        self.waiting().any(|(other, standing)| other != id && standing.failures == 0)
    }

    /// It is at work.
    pub(crate) fn start(&mut self, id: SourceId) {
        self.set(id, Condition::Active);
    }

    /// It has done what it was asked for, or no longer need to.
    pub(crate) fn stop(&mut self, id: SourceId, rate: f64) {
        if let Some(standing) = self.get_mut(id).filter(|standing| standing.condition == Condition::Active) {
            standing.condition = Condition::Waiting;
            standing.rate = Some(rate);
        }
    }

    /// It has given so much that its next failure is the first again.
    pub(crate) fn progressed(&mut self, id: SourceId) {
        if let Some(standing) = self.get_mut(id) {
            standing.failures = 0;
        }
    }

    /// It failed: it is left alone for a while, put aside, or dropped.
    pub(crate) fn fail(
        &mut self,
        id: SourceId,
        failure: Failure,
        patience: Patience,
        jitter: f64,
        now: Instant,
    ) {
        let Some(standing) = self.get_mut(id) else { return };
        standing.failures = standing.failures.saturating_add(1);
        standing.whole_only |= failure.kind == FailureKind::WholeOnly;
        standing.condition = match failure.kind {
            FailureKind::Changed => Condition::Aside,
            kind if kind.may_pass() && standing.failures <= patience.retries => Condition::Waiting,
            _ => Condition::Dropped,
        };
        let own = backoff::pause(standing.failures, jitter);
        standing.ready_at = now + backoff::asked_pause(own, failure.retry_after, patience.max_retry_after);
        standing.failure = Some(failure);
    }

    /// It is left alone for so long, without a reproach.
    pub(crate) fn rest(&mut self, id: SourceId, until: Instant) {
        if let Some(standing) = self.get_mut(id) {
            standing.ready_at = standing.ready_at.max(until);
        }
    }

    /// Those put aside are as good as the others again: another version is to be fetched. Whether there are any.
    pub(crate) fn readmit(&mut self, now: Instant) -> bool {
        let mut any = false;
        for standing in &mut self.standings {
            if standing.condition == Condition::Aside {
                any = true;
                standing.condition = Condition::Waiting;
                // Who has begun and not ended is asked behind those who were not asked yet.
                standing.failures = u32::from(standing.bytes > 0);
                standing.ready_at = now;
            }
            standing.version = None;
        }
        any
    }

    fn waiting(&self) -> impl Iterator<Item = (SourceId, &Standing)> {
        self.iter().filter(|(_, standing)| standing.condition == Condition::Waiting)
    }

    fn set(&mut self, id: SourceId, condition: Condition) {
        if let Some(standing) = self.get_mut(id) {
            standing.condition = condition;
        }
    }
}

impl Standing {
    /// Whether it is left alone now.
    pub(crate) fn is_pausing(&self, now: Instant) -> bool {
        self.ready_at > now
    }

    fn is_usable(&self) -> bool {
        matches!(self.condition, Condition::Waiting | Condition::Active)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { retries: 2, max_retry_after: Duration::from_secs(60) };

    fn roster(now: Instant) -> Roster {
        let mut roster = Roster::default();
        for (priority, chance) in [(1, 5), (1, 3), (0, 9), (1, 4)] {
            roster.add(priority, chance, now);
        }
        roster
    }

    fn broken() -> Failure {
        Failure::new(FailureKind::Broken, "broken")
    }

    #[test]
    fn the_order_is_priority_then_chance_and_failures_go_last() {
        let now = Instant::now();
        let mut roster = roster(now);
        let mut order = Vec::new();
        while let Some(id) = roster.next(now) {
            order.push(id.0);
            roster.start(id);
            roster.fail(id, broken(), PATIENCE, 0.0, now);
        }
        assert_eq!(order, [2, 1, 3, 0]);
        let later = roster.next_ready().unwrap();
        assert_eq!(later, now + Duration::from_millis(250));
        assert_eq!(roster.next(later), Some(SourceId(2)));
    }

    #[test]
    fn a_source_is_dropped_in_the_end() {
        let mut now = Instant::now();
        let mut roster = Roster::default();
        let id = roster.add(0, 0, now);
        for _ in 0..2 {
            roster.fail(id, broken(), PATIENCE, 0.0, now);
            now = roster.next_ready().unwrap();
        }
        roster.progressed(id);
        for _ in 0..3 {
            assert!(roster.next_ready().is_some());
            roster.fail(id, broken(), PATIENCE, 0.0, now);
        }
        assert_eq!((roster.next(now + Duration::from_secs(99)), roster.next_ready()), (None, None));
    }

    #[test]
    fn some_failures_end_it_at_once() {
        let now = Instant::now();
        for kind in [FailureKind::NotFound, FailureKind::Refused, FailureKind::Invalid, FailureKind::Corrupt]
        {
            let mut roster = Roster::default();
            let id = roster.add(0, 0, now);
            roster.fail(id, Failure::new(kind, ""), PATIENCE, 0.0, now);
            assert_eq!(roster.next_ready(), None, "{kind:?}");
            assert!(!roster.readmit(now));
        }
    }

    #[test]
    fn those_aside_come_back_for_another_version() {
        let now = Instant::now();
        let mut roster = roster(now);
        roster.fail(SourceId(2), Failure::changed("other"), PATIENCE, 0.0, now);
        assert_eq!(roster.next(now), Some(SourceId(1)));
        assert!(roster.readmit(now));
        assert_eq!(roster.next(now), Some(SourceId(2)));
    }

    #[test]
    fn without_ranges_only_where_there_is_no_other() {
        let now = Instant::now();
        let mut roster = roster(now);
        roster.get_mut(SourceId(2)).unwrap().whole_only = true;
        assert_eq!(roster.next(now), Some(SourceId(1)));
        for id in [0, 1, 3] {
            roster.fail(SourceId(id), Failure::new(FailureKind::NotFound, ""), PATIENCE, 0.0, now);
        }
        assert_eq!(roster.next(now), Some(SourceId(2)));
    }

    #[test]
    fn a_server_says_how_long_it_wants_to_be_left_alone() {
        let now = Instant::now();
        let mut roster = Roster::default();
        let id = roster.add(0, 0, now);
        let failure =
            Failure { retry_after: Some(Duration::from_secs(9)), ..Failure::new(FailureKind::Busy, "") };
        roster.fail(id, failure, PATIENCE, 0.5, now);
        assert_eq!(roster.next_ready(), Some(now + Duration::from_secs(9)));
    }
}
