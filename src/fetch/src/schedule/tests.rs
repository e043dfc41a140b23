use proptest::prelude::*;
use tnv_metalink::{Algorithm, Hash, Pieces};

use super::*;
use crate::failure::{Failure, FailureKind};
use crate::roster::Patience;

const MIB: u64 = 1024 * 1024;
const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Patience = Patience { retries: 3, max_retry_after: SECOND };

struct Plan {
    map: PieceMap,
    roster: Roster,
    schedule: Schedule,
    now: Instant,
}

impl Plan {
    fn new(size: u64, sources: usize, parallel: usize) -> Plan {
        let (now, mut roster) = (Instant::now(), Roster::default());
        for chance in 0..sources {
            roster.add(0, chance as u64, now);
        }
        Plan { map: PieceMap::new(size, None), roster, schedule: Schedule::new(parallel, MIB, 64 * MIB), now }
    }

    fn order(&mut self) -> Option<Order> {
        self.schedule.order(&mut self.map, &mut self.roster, self.now)
    }

    fn give(&mut self, run: RunId, bytes: u64) -> Range<u64> {
        let size = self.map.size();
        let source = self.schedule.get(run).unwrap().source;
        let range = self.schedule.advance(run, bytes, size, &mut self.roster, self.now).unwrap();
        self.map.receive(source, range.clone());
        self.map.write(range.clone());
        range
    }

    fn fail(&mut self, run: RunId) {
        let run = self.schedule.end(run, &mut self.roster, self.now).unwrap();
        let broken = Failure::new(FailureKind::Broken, "broken");
        self.roster.fail(run.source, broken, PATIENCE, 0.0, self.now);
    }
}

#[test]
fn one_at_a_time_and_the_next_goes_on_where_it_stopped() {
    let mut plan = Plan::new(10 * MIB, 3, 1);
    let first = plan.order().unwrap();
    assert_eq!((first.source, first.range), (SourceId(0), 0..10 * MIB));
    assert_eq!(plan.order(), None);
    plan.give(first.run, 12_345);
    plan.fail(first.run);
    let second = plan.order().unwrap();
    assert_eq!((second.source, second.range), (SourceId(1), 12_345..10 * MIB));
}

#[test]
fn several_divide_the_work_at_pieces() {
    let mut plan = Plan::new(8 * MIB, 3, 3);
    let ranges: Vec<_> = std::iter::from_fn(|| plan.order()).map(|order| order.range).collect();
    assert_eq!(ranges, [0..8 * MIB, 4 * MIB..8 * MIB, 6 * MIB..8 * MIB]);
    let ends: Vec<_> = plan.schedule.iter().map(|(_, run)| run.at..run.end).collect();
    assert_eq!(ends, [0..4 * MIB, 4 * MIB..6 * MIB, 6 * MIB..8 * MIB]);
}

#[test]
fn a_halted_source_does_not_hold_up_the_end() {
    let mut plan = Plan::new(MIB + 100, 2, 2);
    let slow = plan.order().unwrap();
    plan.give(slow.run, 10);
    plan.now += SECOND * 2;
    assert_eq!(plan.order(), None);
    plan.now += SECOND * 2;
    let order = plan.order().unwrap();
    assert_eq!((order.source, order.range), (SourceId(1), 10..MIB + 100));
    assert_eq!(order.instead_of, Some(slow.run));
    // Who has lost it does not take it back at once.
    plan.now += SECOND * 4;
    assert_eq!(plan.order(), None);
}

#[test]
fn a_much_slower_source_loses_its_end() {
    let mut plan = Plan::new(2 * MIB, 2, 2);
    let (one, two) = (plan.order().unwrap(), plan.order().unwrap());
    assert_eq!(two.range, MIB..2 * MIB);
    plan.now += SECOND;
    plan.give(one.run, 1000);
    plan.give(two.run, MIB);
    plan.schedule.end(two.run, &mut plan.roster, plan.now);
    plan.now += SECOND / 2;
    plan.give(one.run, 1000);
    assert_eq!(plan.order().unwrap().instead_of, Some(one.run));
}

#[test]
fn without_ranges_far_behind_it_begins_anew_at_last() {
    let mut plan = Plan::new(200 * MIB, 2, 4);
    let first = plan.order().unwrap();
    plan.schedule.end(first.run, &mut plan.roster, plan.now);
    plan.map.receive(SourceId(0), 0..100 * MIB);
    plan.roster.get_mut(SourceId(0)).unwrap().whole_only = true;
    assert_eq!(plan.order().unwrap().source, SourceId(1));
    assert_eq!(plan.order(), None);
    let run = plan.schedule.iter().next().unwrap().0;
    for _ in 0..4 {
        let ended = plan.schedule.end(run, &mut plan.roster, plan.now);
        let source = ended.map_or(SourceId(1), |run| run.source);
        plan.roster.fail(source, Failure::new(FailureKind::Broken, ""), PATIENCE, 0.0, plan.now);
    }
    let order = plan.order().unwrap();
    assert_eq!((order.source, order.range, order.anew), (SourceId(0), 0..200 * MIB, true));
}

#[test]
fn slow_only_where_others_wait() {
    let mut plan = Plan::new(MIB, 2, 1);
    let run = plan.order().unwrap().run;
    plan.give(run, 100);
    plan.now += SECOND * 30;
    assert_eq!(plan.schedule.slow(SECOND * 30, 1024, &plan.roster, plan.now), [run]);
    let mut alone = Plan::new(MIB, 1, 1);
    alone.order().unwrap();
    alone.now += SECOND * 30;
    assert!(alone.schedule.slow(SECOND * 30, 1024, &alone.roster, alone.now).is_empty());
}

proptest! {
    /// Whatever sources do, no byte is given twice by two runs at once, and with one good source the file gets whole.
    #[test]
    fn runs_never_overlap_and_it_ends(
        size in 1_u64..12 * MIB,
        parallel in 1_usize..5,
        hashed: bool,
        steps in prop::collection::vec((0_usize..4, 1_u64..3 * MIB, 0_u8..8), 0..60),
    ) {
        let mut plan = Plan::new(size, 4, parallel);
        if hashed {
            let mut pieces = Pieces::new(Algorithm::Md5, MIB / 2);
            let hash = Hash::new(Algorithm::Md5, [0; 16]).unwrap();
            for _ in 0..size.div_ceil(MIB / 2) {
                pieces.push(&hash);
            }
            plan.map = PieceMap::new(size, Some(pieces));
        }
        let ending = (0..2000).map(|step| (step % 4, MIB, 7));
        for (index, bytes, action) in steps.into_iter().chain(ending) {
            while plan.order().is_some() {}
            let runs: Vec<_> = plan.schedule.iter().map(|(id, run)| (id, run.at, run.end)).collect();
            let mut spans: Vec<_> = runs.iter().map(|(_, at, end)| *at..*end).collect();
            spans.sort_by_key(|span| span.start);
            prop_assert!(spans.windows(2).all(|pair| pair[0].end <= pair[1].start), "{:?}", spans);
            prop_assert!(runs.len() <= parallel);
            plan.now += SECOND;
            let Some((run, ..)) = runs.get(index % runs.len().max(1)) else { continue };
            if action == 0 {
                plan.fail(*run);
                continue;
            }
            let source = plan.schedule.get(*run).unwrap().source;
            let range = plan.schedule.advance(*run, bytes, size, &mut plan.roster, plan.now).unwrap();
            let checks = plan.map.receive(source, range.clone());
            plan.map.write(range);
            for check in checks {
                plan.map.verify(check.index, action != 1);
            }
            if plan.schedule.get(*run).is_some_and(|run| run.at == run.end) {
                plan.schedule.end(*run, &mut plan.roster, plan.now);
            }
        }
        prop_assert!(plan.map.is_complete() || plan.roster.next_ready().is_none());
    }
}
