//! Two of everything on one MariaDB and one Redis: any one of each may be killed, and clients notice at most one retried
//! request.

mod client;
mod ledger;
mod load;
mod site;

use crate::harness::pattern::Random;
use crate::harness::{installed, say};

use self::ledger::Ledger;
use self::load::Load;
use self::site::{PROGRAMS, SERVERS, Site};

/// Acknowledged operations while a server is away, and again between its return and the next kill.
const OPERATIONS: usize = 40;

#[test]
fn any_one_server_may_be_killed_and_nobody_is_refused_twice() {
    if !installed(PROGRAMS) {
        return;
    }
    let seed = Random::seed();
    say(&format!("seed {seed}"));
    let mut random = Random::new(seed);
    let site = Site::up();
    let mut ledger = Ledger::new(&site);
    let mut victims = SERVERS.to_vec();
    for n in (1..victims.len()).rev() {
        victims.swap(n, random.below(n as u64 + 1) as usize);
    }
    let load = Load::on(&site, &mut ledger, &mut random, |wait| {
        wait(OPERATIONS);
        for victim in victims {
            site.kill(victim);
            wait(OPERATIONS);
            site.start(victim);
            wait(OPERATIONS);
        }
    });
    ledger.check(&site);
    let (present, gone) = ledger.counts();
    say(&format!(
        "seed {seed}: {} kills, {} requests, {} of them at the second try, {} numbers, none twice; {present} files \
         present and whole, {gone} gone",
        SERVERS.len(),
        load.requests,
        load.retried,
        load.numbers,
    ));
    assert!(load.retried > 0, "the load met no server that was away; seed {seed}");

    site.down();
    site.up_again();
    ledger.check(&site);
    site.down();
}
