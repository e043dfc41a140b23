//! A Galera cluster whose nodes crash one after the other under load.

use std::time::Duration;

use tnv_testbed::{Galera, installed};

use super::site::Site;
use super::traffic::{ALL, Kind, WRITES, under_load};
use crate::harness::pattern::Random;
use crate::harness::say;
use crate::kill::ledger::{Ledger, State};

const NODES: usize = 3;
const KILLS: usize = 6;
/// The promise: nobody waits longer while a node is missed.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[test]
fn six_kills_of_nodes_under_load_lose_nothing_and_hold_nobody_up() {
    if !installed(Galera::PROGRAMS) {
        return;
    }
    let seed = Random::seed();
    let mut galera = Galera::start(NODES);
    let site = Site::start(&galera.urls(), "memory:");
    let mut ledger = Ledger::default();
    let ((), gauge) = under_load(&site, &mut ledger, seed, |gauge| {
        for kill in 0..KILLS {
            gauge.await_successes(WRITES, 40);
            // The one that is in use: every server has moved on from the last victim.
            galera.kill(kill % NODES);
            for kind in ALL {
                gauge.await_successes(&[*kind], 10);
            }
            galera.restart(kill % NODES);
        }
        gauge.await_successes(WRITES, 40);
    });
    site.check(&mut ledger, galera.node(0));
    let mut numbers = gauge.numbers();
    let drawn = numbers.len();
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), drawn, "a number was given twice; seed {seed}");
    let pauses: Vec<(&[Kind], Duration)> = [WRITES, &[Kind::Read], &[Kind::Number], &[Kind::Route]]
        .into_iter()
        .map(|kinds| (kinds, gauge.longest_pause(kinds)))
        .collect();
    say(&format!(
        "seed {seed}: {KILLS} kills of Galera nodes: {}; longest pauses {pauses:?}; {} files present and whole, {} gone, \
         in doubt {} whole and {} absent; {drawn} numbers, none twice",
        gauge.summary(),
        ledger.count(State::Present),
        ledger.count(State::Gone),
        ledger.doubts.0,
        ledger.doubts.1
    ));
    for (kinds, pause) in pauses {
        assert!(pause <= LONGEST_PAUSE, "{pause:?} without a success of {kinds:?}; seed {seed}");
    }
}
