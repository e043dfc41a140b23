//! MariaDB crashes, hangs, stops and turns read-only in the middle of a load.

use tnv_testbed::{MariaDb, installed};

use super::site::Site;
use super::traffic::{ALL, FILES, Gauge, Kind, WRITES, under_load};
use crate::harness::pattern::Random;
use crate::harness::say;
use crate::kill::ledger::{Ledger, State};

type Act = fn(&mut MariaDb);

const READ_ONLY: &str = "a time of read-only";

/// What happens, and what ends it.
const OUTAGES: [(&str, Act, Act); 4] = [
    ("a crash", MariaDb::kill, MariaDb::restart),
    ("a hang", |database| database.pause(), |database| database.resume()),
    ("an orderly stop", MariaDb::stop, MariaDb::restart),
    (READ_ONLY, |database| database.set_read_only(true), |database| database.set_read_only(false)),
];

#[test]
fn outages_of_the_database_under_load_lose_nothing() {
    if !installed(MariaDb::PROGRAMS) {
        return;
    }
    let seed = Random::seed();
    let mut database = MariaDb::start();
    let site = Site::start(&[database.url()], "memory:");
    let mut ledger = Ledger::default();
    let mut numbers = Vec::new();
    for (n, (what, begin, end)) in OUTAGES.into_iter().enumerate() {
        let ((), gauge) = under_load(&site, &mut ledger, seed + n as u64, |gauge| {
            gauge.await_successes(WRITES, 60);
            begin(&mut database);
            suffer(gauge);
            end(&mut database);
            gauge.await_successes(&[Kind::Upload], 20);
            for kind in ALL {
                gauge.await_successes(&[*kind], 5);
            }
        });
        if what == READ_ONLY {
            assert_eq!(gauge.refusals(&[Kind::Read]), 0, "whoever only reads may");
        }
        let doubts = ledger.doubts;
        site.check(&mut ledger, &database);
        numbers.extend(gauge.numbers());
        say(&format!(
            "seed {seed}: {what}: {}; longest pause {:?}; in doubt {} whole, {} absent",
            gauge.summary(),
            gauge.longest_pause(FILES),
            ledger.doubts.0 - doubts.0,
            ledger.doubts.1 - doubts.1
        ));
    }
    let drawn = numbers.len();
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), drawn, "a number was given twice; seed {seed}");
    say(&format!(
        "seed {seed}: {} files present and whole, {} gone; {drawn} numbers, none twice",
        ledger.count(State::Present),
        ledger.count(State::Gone)
    ));
}

/// What changes the catalog is refused with a reason, again and again.
fn suffer(gauge: &Gauge) {
    gauge.await_refusals(&[Kind::Upload], 10);
    gauge.await_refusals(&[Kind::Route], 3);
}
