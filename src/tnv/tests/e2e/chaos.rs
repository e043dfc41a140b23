//! Kills of any process of a group of copies, and disks that are lost, under load: what two storages had when it was acknowledged
//! is there, and what was deleted is gone, at all of them.
//!
//! `TNV_CHAOS_KILLS` says how many kills there are, `TNV_CHAOS_WIPE_EVERY` how many of them for each lost disk; `scripts/chaos` sets
//! them.

use std::time::{Duration, Instant};

use crate::harness::frames::key;
use crate::harness::lab::{APP, USER};
use crate::harness::pattern::{Pattern, Random};
use crate::harness::{contents_below, eventually, say};
use crate::peers::group::{Group, STORAGES};
use crate::peers::work::{Counts, Worker, under_load};

/// Answered operations while a server is away, and again between its return and the next kill.
const OPERATIONS: usize = 15;
const WORKERS: usize = 4;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Files that could not be fetched while others were away wait for up to 15 seconds each time, and a storage looks for what it
/// lacks again after 30.
const PATIENCE: Duration = Duration::from_secs(180);

/// Waits until every storage has the bytes of so many files, and no others.
fn wait_until_all_have(group: &Group, count: usize) {
    let begun = Instant::now();
    loop {
        let there: Vec<usize> =
            (0..STORAGES).map(|storage| contents_below(&group.store(storage)).len()).collect();
        if there.iter().all(|found| *found == count) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{there:?} of {count} files");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn kills_and_lost_disks_lose_nothing_that_was_acknowledged_with_two_copies() {
    let kills = number("TNV_CHAOS_KILLS", 40);
    let wipe_every = number("TNV_CHAOS_WIPE_EVERY", 20).max(1);
    let seed = Random::seed();
    say(&format!("seed {seed}"));
    let mut random = Random::new(seed);
    let mut group = Group::acknowledging_two();
    let mut workers: Vec<_> = (0..WORKERS).map(|n| Worker::new(n, &group, random.next())).collect();
    let (mut killed, mut wiped, mut counts) = (0, 0, Counts::default());
    while killed < kills {
        let round = wipe_every.min(kills - killed);
        let lost = (round == wipe_every)
            .then(|| (random.below(round as u64) as usize, random.below(STORAGES as u64) as usize));
        let mut identity = None;
        workers = under_load(workers, |wait| {
            for n in 0..round {
                let disk = lost.filter(|(when, _)| *when == n).map(|(_, storage)| storage);
                let victim = disk.unwrap_or_else(|| random.below(STORAGES as u64 + 2) as usize);
                wait(OPERATIONS);
                if victim >= STORAGES {
                    group.without(victim - STORAGES, || wait(OPERATIONS));
                    continue;
                }
                if disk.is_some() {
                    identity = Some(group.identity(victim));
                }
                group.kill(victim);
                if disk.is_some() {
                    std::fs::remove_dir_all(group.store(victim)).unwrap();
                }
                wait(OPERATIONS);
                group.restart(victim);
            }
            wait(OPERATIONS);
        });
        killed += round;
        // All that is there is at all of them again, also at the one whose disk was lost.
        wait_until_all_have(&group, workers.iter().map(|worker| worker.count(&group)).sum());
        counts = Counts::default();
        workers.iter().for_each(|worker| worker.check(&group, &mut counts));
        if let Some(identity) = identity {
            wiped += 1;
            // Nothing is lost by it, so it goes without force.
            group.client_ok(&["remove", &identity]);
        }
        say(&format!("seed {seed}: {killed} kills, {wiped} disks lost, {counts:?}"));
    }
    let Counts { present, gone, doubtful_present, doubtful_gone, refused_reads } = counts;
    // Two of three are always there.
    assert!(refused_reads * 20 <= present, "{counts:?}");
    assert!(present > 0 && gone > 0 && present + gone > doubtful_present + doubtful_gone, "{counts:?}");
}

#[test]
fn a_disk_that_is_lost_right_behind_the_reply_loses_no_file() {
    let mut group = Group::acknowledging_two();
    let mut there = Vec::new();
    for round in 0..4 {
        let taker = round % STORAGES;
        let identity = group.identity(taker);
        for (n, len) in [0, 5_000, 300_000, 3_000_000].into_iter().enumerate() {
            let (file, pattern) = (format!("r{round}n{n}"), Pattern::new((round * 10 + n) as u64, len));
            // Until it knows another one that has come lately.
            eventually("two that take it", || {
                let reply = group.wire(taker).upload(&key(APP, USER, &file), &pattern.bytes());
                (reply.status == 0 || reply.refused() != 503).then(|| reply.ok())
            });
            there.push((file, pattern));
        }
        group.kill(taker);
        std::fs::remove_dir_all(group.store(taker)).unwrap();
        for storage in (0..STORAGES).filter(|storage| *storage != taker) {
            for (file, pattern) in &there {
                assert!(group.download(storage, file).ok() == pattern.bytes(), "{file} at {storage}");
            }
        }
        group.restart(taker);
        wait_until_all_have(&group, there.len());
        eventually("it may be removed", || {
            group.lab.client(&[group.tracker(), "remove", &identity]).status.success().then_some(())
        });
    }
}
