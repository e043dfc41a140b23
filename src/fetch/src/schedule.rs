//! Which source gives which bytes. Pure: the time is passed in.
//!
//! A *run* is a stretch of bytes that one source is giving. A source gets all that is missing up to what others are at;
//! where nothing is left, the longest run is divided; where that is too short to divide, a source that has come to a halt,
//! or would need much longer, loses its run to one that waits.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::map::PieceMap;
use crate::meter::Meter;
use crate::roster::{Roster, SourceId};

/// A source that has given nothing for so long may lose its run when the end is near.
const HALT: Duration = Duration::from_secs(3);

/// And so may one that needs so many times as long as another, and so much longer.
const LAG: f64 = 2.0;
const LAG_TIME: f64 = 1.0;

/// How long who has lost a run is left alone.
const REST: Duration = Duration::from_secs(10);

/// A failure is the first again after so many bytes, or after this part of the file if that is less.
const PROGRESS: u64 = 64 * 1024;
const PROGRESS_PART: u64 = 64;

/// A run, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RunId(u64);

/// A stretch of bytes that a source is giving.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) source: SourceId,
    pub(crate) start: u64,
    /// The next byte.
    pub(crate) at: u64,
    pub(crate) end: u64,
    pub(crate) meter: Meter,
}

/// A run to be started.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) run: RunId,
    pub(crate) source: SourceId,
    pub(crate) range: Range<u64>,
    /// The run that ends for it.
    pub(crate) instead_of: Option<RunId>,
    /// Whether everything that has come was given up for it.
    pub(crate) anew: bool,
}

/// The runs.
#[derive(Debug)]
pub(crate) struct Schedule {
    runs: BTreeMap<RunId, Run>,
    next: u64,
    parallel: usize,
    min_split: u64,
    skip_limit: u64,
}

impl Schedule {
    pub(crate) fn new(parallel: usize, min_split: u64, skip_limit: u64) -> Schedule {
        Schedule { runs: BTreeMap::new(), next: 0, parallel: parallel.max(1), min_split, skip_limit }
    }

    /// What is to be started now, if anything.
    pub(crate) fn order(&mut self, map: &mut PieceMap, roster: &mut Roster, now: Instant) -> Option<Order> {
        if self.runs.len() >= self.parallel {
            return None;
        }
        let source = roster.next(now)?;
        if let Some(gap) = self.free(map) {
            let anew =
                gap.start > self.skip_limit && roster.get(source).is_some_and(|known| known.whole_only);
            if anew {
                map.clear();
            }
            let range = if anew { 0..map.size() } else { map.begin(source, gap.start)..gap.end };
            return Some(self.start(source, range, None, anew, roster, now));
        }
        let whole_only = roster.get(source).is_some_and(|known| known.whole_only);
        if self.parallel == 1 || whole_only {
            return None;
        }
        if let Some(range) = self.divide(map) {
            return Some(self.start(source, range, None, false, roster, now));
        }
        let loser = self.take_over(source, roster, now)?;
        let run = self.end(loser, roster, now)?;
        roster.rest(run.source, now + REST);
        let range = map.begin(source, run.at)..run.end;
        Some(self.start(source, range, Some(loser), false, roster, now))
    }

    /// A run of unknown length, to learn what there is to fetch.
    pub(crate) fn scout(&mut self, from: u64, roster: &mut Roster, now: Instant) -> Option<Order> {
        if !self.runs.is_empty() {
            return None;
        }
        let source = roster.next(now)?;
        Some(self.start(source, from..u64::MAX, None, false, roster, now))
    }

    /// Shortens a run of unknown length.
    pub(crate) fn limit(&mut self, run: RunId, end: u64) {
        if let Some(run) = self.runs.get_mut(&run) {
            run.end = run.end.min(end.max(run.at));
        }
    }

    pub(crate) fn get(&self, run: RunId) -> Option<&Run> {
        self.runs.get(&run)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (RunId, &Run)> {
        self.runs.iter().map(|(id, run)| (*id, run))
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.runs.is_empty()
    }

    /// Takes up to `len` bytes that a run brings next: which they are. `None` of a run that has ended.
    pub(crate) fn advance(
        &mut self,
        run: RunId,
        len: u64,
        size: u64,
        roster: &mut Roster,
        now: Instant,
    ) -> Option<Range<u64>> {
        let run = self.runs.get_mut(&run)?;
        let range = run.at..run.end.min(run.at.saturating_add(len));
        run.at = range.end;
        run.meter.add(range.end - range.start, now);
        if let Some(standing) = roster.get_mut(run.source) {
            standing.bytes += range.end - range.start;
        }
        if run.at - run.start >= PROGRESS.min((size / PROGRESS_PART).max(1)) {
            roster.progressed(run.source);
        }
        Some(range)
    }

    /// Ends a run; what it has not brought is free for others.
    pub(crate) fn end(&mut self, run: RunId, roster: &mut Roster, now: Instant) -> Option<Run> {
        let run = self.runs.remove(&run)?;
        roster.stop(run.source, run.meter.average(now));
        Some(run)
    }

    /// The runs of sources that give too little while others wait.
    pub(crate) fn slow(
        &mut self,
        over: Duration,
        min_rate: u64,
        roster: &Roster,
        now: Instant,
    ) -> Vec<RunId> {
        let mut slow = Vec::new();
        for (id, run) in &mut self.runs {
            if run.meter.is_slow(over, min_rate, now) && roster.has_others(run.source) {
                slow.push(*id);
            }
        }
        slow
    }

    fn start(
        &mut self,
        source: SourceId,
        range: Range<u64>,
        instead_of: Option<RunId>,
        anew: bool,
        roster: &mut Roster,
        now: Instant,
    ) -> Order {
        let run = RunId(self.next);
        self.next += 1;
        roster.start(source);
        let (start, end) = (range.start, range.end);
        self.runs.insert(run, Run { source, start, at: start, end, meter: Meter::new(now) });
        Order { run, source, range, instead_of, anew }
    }

    /// The first bytes that have not come and that nobody is at.
    fn free(&self, map: &PieceMap) -> Option<Range<u64>> {
        let mut from = 0;
        loop {
            let gap = map.gap(from)?;
            let at_it = self.runs.values().filter(|run| run.at < gap.end && run.end > gap.start);
            match at_it.min_by_key(|run| run.at) {
                None => return Some(gap),
                Some(run) if run.at > gap.start => return Some(gap.start..run.at),
                Some(run) => from = run.end,
            }
        }
    }

    /// The second half of the longest run.
    fn divide(&mut self, map: &PieceMap) -> Option<Range<u64>> {
        let least = self.min_split.max(map.length()).saturating_mul(2);
        let run = self.runs.values_mut().max_by_key(|run| run.end - run.at)?;
        if run.end - run.at < least {
            return None;
        }
        let middle = map.boundary(run.at + (run.end - run.at) / 2);
        if middle <= run.at || middle >= run.end {
            return None;
        }
        let end = std::mem::replace(&mut run.end, middle);
        Some(middle..end)
    }

    /// The run that is worst off without `source`.
    fn take_over(&self, source: SourceId, roster: &Roster, now: Instant) -> Option<RunId> {
        let own = roster.get(source).and_then(|known| known.rate).filter(|rate| *rate > 0.0);
        let lost = |run: &Run| {
            let left = (run.end - run.at) as f64;
            let halted = run.meter.silent(now) >= HALT;
            let time = left / run.meter.rate(now).max(1.0);
            let lags = own.is_some_and(|own| time > LAG * left / own + LAG_TIME);
            (halted || lags).then_some(time)
        };
        let candidates = self.runs.iter().filter_map(|(id, run)| Some((*id, lost(run)?)));
        candidates.max_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(id, _)| id)
    }
}

#[cfg(test)]
mod tests;
