//! Redis crashes, hangs, restarts and forgets in the middle of a load: that costs speed, never an answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tnv_testbed::{MariaDb, Redis, installed};

use super::site::Site;
use super::traffic::{ALL, FILES, WRITES, under_load};
use crate::harness::frames::{DELETE, FILESIZE, STAT, Wire, key};
use crate::harness::lab::{APP, Lab, Role, USER};
use crate::harness::pattern::{Pattern, Random};
use crate::harness::process::{run, text, tnv};
use crate::harness::{eventually, say};
use crate::kill::ledger::{Ledger, State};

type Act = fn(&mut Redis);

/// What happens, and what ends it.
const OUTAGES: [(&str, Act, Act); 4] = [
    ("a crash", Redis::kill, Redis::restart),
    ("a hang", |redis| redis.pause(), |redis| redis.resume()),
    ("a restart", Redis::restart, |_| {}),
    ("FLUSHALL", flush, |_| {}),
];

fn flush(redis: &mut Redis) {
    assert_eq!(redis.command(&["FLUSHALL"]), "OK");
}

/// `cache.timeout`, by default.
const TIMEOUT: Duration = Duration::from_millis(500);

fn here() -> bool {
    installed(MariaDb::PROGRAMS) && installed(Redis::PROGRAMS)
}

#[test]
fn outages_of_redis_under_load_cost_nothing_but_time() {
    if !here() {
        return;
    }
    let seed = Random::seed();
    let (database, mut redis) = (MariaDb::start(), Redis::start());
    let site = Site::start(&[database.url()], &redis.url());
    let mut ledger = Ledger::default();
    for (n, (what, begin, end)) in OUTAGES.into_iter().enumerate() {
        let ((), gauge) = under_load(&site, &mut ledger, seed + n as u64, |gauge| {
            gauge.await_successes(FILES, 100);
            assert!(redis.command(&["DBSIZE"]).parse::<usize>().unwrap() > 2, "rows are cached");
            let times = site.times_cached();
            begin(&mut redis);
            gauge.await_successes(WRITES, 60);
            end(&mut redis);
            if what != "FLUSHALL" {
                site.await_cache(times);
            }
            gauge.await_successes(FILES, 100);
        });
        assert_eq!((gauge.refusals(ALL), gauge.broken()), (0, 0), "{what}; seed {seed}: {}", gauge.summary());
        site.check(&mut ledger, &database);
        let pause = gauge.longest_pause(FILES);
        say(&format!("seed {seed}: Redis, {what}: {}; longest pause {pause:?}", gauge.summary()));
    }
    assert_eq!(ledger.doubts, (0, 0), "nothing was in doubt; seed {seed}");
    say(&format!(
        "seed {seed}: {} files present and whole, {} gone",
        ledger.count(State::Present),
        ledger.count(State::Gone)
    ));
}

#[test]
fn what_was_deleted_while_redis_hung_never_comes_back() {
    if !here() {
        return;
    }
    let (database, redis) = (MariaDb::start(), Redis::start());
    let site = Site::start(&[database.url()], &redis.url());
    let mut wire = Wire::connect(&site.storage.address);
    let names: Vec<String> = (0..40).map(|n| format!("file{n}")).collect();
    let (deleted, replaced) = names.split_at(20);
    for round in 0..3_u64 {
        for name in &names {
            let old = Pattern::new(round, 1_000 + round).bytes();
            wire.upload(&key(APP, USER, name), &old).ok();
            assert!(wire.download(&key(APP, USER, name), 0, 0).ok() == old);
        }
        assert!(redis.command(&["DBSIZE"]).parse::<usize>().unwrap() >= names.len(), "all are cached");
        let times = site.times_cached();
        redis.pause();
        for name in &names {
            assert!(wire.call(DELETE, &key(APP, USER, name)).ok().is_empty());
        }
        for name in replaced {
            wire.upload(&key(APP, USER, name), b"new").ok();
        }
        let mut check = || {
            for name in deleted {
                let key = key(APP, USER, name);
                assert_eq!(wire.call(FILESIZE, &key).refused(), 404, "{name}");
                assert_eq!(wire.call(STAT, &key).refused(), 404, "{name}");
                assert_eq!(wire.download(&key, 0, 0).refused(), 404, "{name}");
            }
            for name in replaced {
                let key = key(APP, USER, name);
                assert_eq!(wire.call(FILESIZE, &key).integer(), 3, "{name}");
                assert_eq!(wire.download(&key, 0, 0).ok(), b"new", "{name}");
            }
        };
        check();
        redis.resume();
        // At every moment, until well after Redis is in use again.
        eventually("Redis in use", || {
            check();
            (site.times_cached() > times).then_some(())
        });
        check();
        for name in replaced {
            wire.call(DELETE, &key(APP, USER, name)).ok();
        }
    }
}

#[test]
fn a_redis_that_asks_for_a_password_is_named_and_done_without() {
    if !here() {
        return;
    }
    let (database, mut redis) = (MariaDb::start(), Redis::start_with(&["--requirepass", "hunter2"]));
    let bare = format!("redis://{}", redis.address());
    let wrong = format!("redis://:wrong-word@{}", redis.address());
    let site = Site::start(&[database.url()], &bare);
    let mut wire = Wire::connect(&site.storage.address);
    wire.upload(&key(APP, USER, "file"), b"contents").ok();
    assert_eq!(wire.download(&key(APP, USER, "file"), 0, 0).ok(), b"contents");
    for log in [&site.storage, &site.tracker].map(|server| server.process.log()) {
        let warned = log.lines().find(|line| line.contains("WARN") && line.contains(&redis.address()));
        let warned = warned.unwrap_or_else(|| panic!("no warning:\n{log}"));
        assert!(warned.contains("password"), "{warned}");
        assert_eq!(log.matches("the cache is away").count(), 1, "once is enough:\n{log}");
    }
    for (url, said) in [(&bare, "password"), (&wrong, "password")] {
        let (lab, cache) = (Lab::new(), format!("cache.url={url}"));
        let role = Role::tracker(&lab).databases(&[database.url()]);
        let output = run(tnv(), &[&role.args()[..], &["--set", &cache, "--check"]].concat());
        let (stdout, stderr) = text(&output);
        assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
        assert!(stderr.contains(&redis.address()) && stderr.contains(said), "{stderr}");
        assert!(!stderr.contains("wrong-word") && !stdout.contains("wrong-word"), "{stdout}{stderr}");
    }
    // Without the password it is in use at last.
    let times = site.times_cached();
    redis.restart_with(&[]);
    site.await_cache(times);
    assert_eq!(wire.call(FILESIZE, &key(APP, USER, "file")).integer(), 8);
    eventually("the row in Redis", || {
        wire.call(FILESIZE, &key(APP, USER, "file")).integer();
        redis.command(&["KEYS", "*"]).contains(":file").then_some(())
    });
}

const CLIENTS: usize = 8;
const FILES_ASKED: usize = 50;
const REQUESTS: usize = 250;

#[test]
fn a_redis_that_hangs_costs_each_client_one_timeout_at_most() {
    if !here() {
        return;
    }
    let (database, redis) = (MariaDb::start(), Redis::start());
    let mut site = Site::start(&[database.url()], &redis.url());
    let mut wire = Wire::connect(&site.storage.address);
    for n in 0..FILES_ASKED {
        wire.upload(&key(APP, USER, &format!("file{n}")), b"contents").ok();
    }
    ask(&site, || {});
    let (with, _) = ask(&site, || {});
    let (hanging, slow) = ask(&site, || redis.pause());
    assert!(slow <= CLIENTS, "{slow} requests of {CLIENTS} clients waited for Redis");
    site.storage.process.kill();
    site.storage = site.storage_role.clone().set("cache.url", "off").start(&site.lab);
    ask(&site, || {});
    let (without, _) = ask(&site, || {});
    say(&format!(
        "p99 of FILESIZE with {CLIENTS} clients: {with:?} with Redis, {hanging:?} while it hangs ({slow} slow), \
         {without:?} without"
    ));
}

/// Has all clients ask for sizes, with `during` in the middle of it: the 99th percentile, and how many took longer than
/// the cache may. None may fail.
fn ask(site: &Site, during: impl FnOnce()) -> (Duration, usize) {
    let asked = AtomicUsize::new(0);
    let mut times: Vec<Duration> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (address, asked) = (&site.storage.address, &asked);
                scope.spawn(move || {
                    let mut wire = Wire::connect(address);
                    let time = |n: usize| {
                        let key = key(APP, USER, &format!("file{}", (client + n) % FILES_ASKED));
                        let start = Instant::now();
                        assert_eq!(wire.call(FILESIZE, &key).integer(), 8);
                        asked.fetch_add(1, Ordering::Relaxed);
                        start.elapsed()
                    };
                    (0..REQUESTS).map(time).collect::<Vec<_>>()
                })
            })
            .collect();
        eventually("requests", || (asked.load(Ordering::Relaxed) >= CLIENTS * REQUESTS / 10).then_some(()));
        during();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    times.sort();
    (times[times.len() * 99 / 100], times.iter().filter(|time| **time > TIMEOUT).count())
}
