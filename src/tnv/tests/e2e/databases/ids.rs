//! Two id servers on one database, killed and started again while several clients draw from both.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use tnv_testbed::{MariaDb, installed};

use crate::harness::frames::{ID_GET, ID_LEASE, Wire, id_key};
use crate::harness::lab::{Lab, Role};
use crate::harness::pattern::Random;
use crate::harness::{eventually, say};

const KILLS: usize = 10;
const CLIENTS: usize = 6;
/// Two keys, so that the servers meet in one row and do not always.
const KEYS: [&str; 2] = ["../data", "数据"];

/// What the clients have drawn.
#[derive(Default)]
struct Drawn {
    numbers: Mutex<HashSet<(usize, i64)>>,
    requests: AtomicUsize,
    is_over: AtomicBool,
}

#[test]
fn two_id_servers_killed_under_load_never_repeat_a_number() {
    if !installed(MariaDb::PROGRAMS) {
        return;
    }
    let seed = Random::seed();
    let mut random = Random::new(seed);
    let database = MariaDb::start();
    let lab = Lab::new();
    let roles = ["id-a", "id-b"].map(|name| {
        Role::id(&lab).named(name).databases(&[database.url()]).set("step", 10 + random.below(40))
    });
    // Both at once make the tables.
    let mut servers: Vec<_> = thread::scope(|scope| {
        let starting: Vec<_> = roles.iter().map(|role| scope.spawn(|| role.start(&lab))).collect();
        starting.into_iter().map(|server| server.join().unwrap()).collect()
    });
    let addresses: Vec<String> = servers.iter().map(|server| server.address.clone()).collect();
    let drawn = Drawn::default();
    thread::scope(|scope| {
        let _end = End(&drawn);
        for n in 0..CLIENTS {
            let (drawn, address, random) = (&drawn, &addresses[n % 2], Random::new(random.next()));
            scope.spawn(move || draw(address, drawn, random));
        }
        for kill in 0..KILLS {
            drawn.wait_for(30 + random.below(60) as usize);
            servers[kill % 2].process.kill();
            if kill % 3 == 2 {
                // For a while the other one is alone.
                drawn.wait_for(20);
            }
            servers[kill % 2] = roles[kill % 2].start(&lab);
        }
        drawn.wait_for(100);
    });
    let numbers = drawn.numbers.into_inner().unwrap();
    let highest = |key| numbers.iter().filter(|(of, _)| *of == key).map(|(_, number)| *number).max();
    say(&format!(
        "seed {seed}: {KILLS} kills of two id servers: {} numbers in {} requests, none twice; the highest are {:?} and {:?}",
        numbers.len(),
        drawn.requests.into_inner(),
        highest(0),
        highest(1)
    ));
}

struct End<'a>(&'a Drawn);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

impl Drawn {
    #[track_caller]
    fn wait_for(&self, requests: usize) {
        let wanted = self.requests.load(Ordering::Relaxed) + requests;
        eventually("numbers", || (self.requests.load(Ordering::Relaxed) >= wanted).then_some(()));
    }

    /// Single numbers and leases, until the connection breaks.
    fn note(&self, key: usize, first: i64, count: u32) {
        let mut numbers = self.numbers.lock().unwrap();
        for number in first..first + i64::from(count) {
            assert!(numbers.insert((key, number)), "{number} was given twice for {}", KEYS[key]);
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
    }
}

fn draw(address: &str, drawn: &Drawn, mut random: Random) {
    let mut wire = None;
    while !drawn.is_over.load(Ordering::Relaxed) {
        let connected = wire.take().map_or_else(|| Wire::try_connect(address), Ok);
        let Ok(mut connected) = connected else {
            thread::sleep(std::time::Duration::from_millis(5));
            continue;
        };
        let key = random.below(2) as usize;
        let count = random.below(25) as u32;
        let reply = match count {
            0 => connected.try_call(ID_GET, &id_key(KEYS[key])),
            _ => connected.try_call(ID_LEASE, &[&count.to_be_bytes()[..], &id_key(KEYS[key])].concat()),
        };
        // Else the server was killed; what it may have answered is skipped.
        let Ok(reply) = reply else { continue };
        let body = reply.ok();
        let first = i64::from_be_bytes(body[..8].try_into().unwrap());
        let given = body[8..].try_into().map_or(1, u32::from_be_bytes);
        assert!((1..=count.max(1)).contains(&given), "{given} of {count}");
        drawn.note(key, first, given);
        wire = Some(connected);
    }
}
