//! A Redis that is watched by sentinels changes its master in the middle of a load.

use tnv_testbed::{MariaDb, Sentinel, installed};

use super::site::Site;
use super::traffic::{ALL, FILES, WRITES, under_load};
use crate::harness::pattern::Random;
use crate::harness::say;
use crate::kill::ledger::Ledger;

#[test]
fn a_change_of_masters_under_load_costs_nothing_but_time() {
    if !installed(MariaDb::PROGRAMS) || !installed(Sentinel::PROGRAMS) {
        return;
    }
    let seed = Random::seed();
    let (database, mut sentinel) = (MariaDb::start(), Sentinel::start());
    let site = Site::start(&[database.url()], &sentinel.url());
    let mut ledger = Ledger::default();
    let ((), gauge) = under_load(&site, &mut ledger, seed, |gauge| {
        gauge.await_successes(FILES, 100);
        let (times, master) = (site.times_cached(), sentinel.master());
        sentinel.kill_master();
        gauge.await_successes(WRITES, 60);
        site.await_cache(times);
        gauge.await_successes(FILES, 100);
        assert_ne!(sentinel.master(), master);
        assert!(sentinel.command(&["DBSIZE"]).parse::<usize>().unwrap() > 2, "rows are cached again");
    });
    assert_eq!((gauge.refusals(ALL), gauge.broken()), (0, 0), "seed {seed}: {}", gauge.summary());
    site.check(&mut ledger, &database);
    assert_eq!(ledger.doubts, (0, 0), "nothing was in doubt; seed {seed}");
    let pause = gauge.longest_pause(FILES);
    say(&format!("seed {seed}: Sentinel, a change of masters: {}; longest pause {pause:?}", gauge.summary()));
}
