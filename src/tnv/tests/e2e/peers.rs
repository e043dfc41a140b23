//! A group whose storages have a copy of each file each: any of them may be killed, stopped or lose its disk, and what was
//! acknowledged is there, byte for byte, at all of them in the end.

pub(crate) mod group;
pub(crate) mod work;

use std::io::Read;
use std::path::PathBuf;

use rustix::process::Signal;

use self::group::{Group, STORAGES};
use self::work::Worker;
use crate::harness::frames::{DELETE, Wire, key};
use crate::harness::lab::{APP, Role, USER};
use crate::harness::pattern::{Pattern, Random};
use crate::harness::web::{Web, request};
use crate::harness::{contents_below, eventually, files_below, say};

#[test]
fn storages_are_killed_under_load_and_all_have_what_was_acknowledged() {
    const KILLS: usize = 6;
    const OPERATIONS: usize = 60;
    let seed = Random::seed();
    say(&format!("seed {seed}"));
    let mut random = Random::new(seed);
    let mut group = Group::start();
    let workers: Vec<_> = (0..4).map(|n| Worker::new(n, &group, random.next())).collect();
    let workers = work::under_load(workers, |wait| {
        for _ in 0..KILLS {
            let victim = random.below(STORAGES as u64) as usize;
            wait(OPERATIONS);
            group.kill(victim);
            wait(OPERATIONS);
            group.restart(victim);
        }
        wait(OPERATIONS);
    });
    // The catalog says which of those in doubt are there.
    group.wait_bytes_at_all(workers.iter().map(|worker| worker.count(&group)).sum());
    let mut counts = work::Counts::default();
    for worker in &workers {
        worker.check(&group, &mut counts);
    }
    say(&format!("seed {seed}: {KILLS} kills, {counts:?}"));
}

/// `TNV_READ_AT_ONCE` says how many uploads there are.
#[test]
fn what_is_read_at_once_from_another_storage_is_there() {
    let uploads = std::env::var("TNV_READ_AT_ONCE").ok().and_then(|text| text.parse().ok()).unwrap_or(500);
    let seed = Random::seed();
    say(&format!("seed {seed}"));
    let mut random = Random::new(seed);
    let group = Group::start();
    let mut wires: Vec<Wire> = (0..STORAGES).map(|storage| group.wire(storage)).collect();
    for n in 0..uploads {
        let (taker, step) =
            (random.below(STORAGES as u64) as usize, 1 + random.below(STORAGES as u64 - 1) as usize);
        let len = if random.below(20) == 0 { random.below(400_000) } else { random.below(9_000) };
        let (key, contents) = (key(APP, USER, &format!("f{n}")), Pattern::new(random.next(), len).bytes());
        wires[taker].upload(&key, &contents).ok();
        let found = wires[(taker + step) % STORAGES].download(&key, 0, 0);
        assert!(found.ok() == contents, "upload {n} of {len} bytes at {taker}, seed {seed}");
    }
    say(&format!("seed {seed}: {uploads} uploads, each read at once from another storage"));
}

#[test]
fn a_storage_that_lost_its_disk_is_filled_and_nothing_deleted_comes_back() {
    const FILES: u64 = 40;
    let mut group = Group::start();
    let contents = |n: u64| Pattern::new(n, n * 20_000).bytes();
    for n in 0..FILES {
        group.upload((n % 3) as usize, &n.to_string(), &contents(n));
    }
    group.wait_bytes_at_all(FILES as usize);
    group.kill(0);
    for n in 0..FILES {
        assert!(group.download(1 + (n % 2) as usize, &n.to_string()).ok() == contents(n), "{n}");
    }
    for n in 0..10 {
        group.wire(1).call(DELETE, &key(APP, USER, &n.to_string())).ok();
    }
    std::fs::remove_dir_all(group.store(0)).unwrap();
    group.restart(0);
    // From the first moment, by the others.
    assert!(group.download(0, "39").ok() == contents(39));
    group.wait_bytes(0, (FILES - 10) as usize);
    for n in 0..FILES {
        for storage in 0..STORAGES {
            let found = group.fetch(storage, &n.to_string());
            if n < 10 {
                assert_eq!(found.refused(), 404, "{n} at {storage}");
            } else {
                assert!(found.ok() == contents(n), "{n} at {storage}");
            }
        }
    }
}

#[test]
fn what_is_deleted_while_a_storage_is_away_does_not_come_back_with_it() {
    let mut group = Group::start();
    for n in 0..10 {
        group.upload(0, &n.to_string(), &Pattern::new(n, 50_000).bytes());
    }
    group.wait_bytes_at_all(10);
    group.kill(2);
    for n in 0..10 {
        group.wire((n % 2) as usize).call(DELETE, &key(APP, USER, &n.to_string())).ok();
    }
    group.upload(1, "0", &Pattern::new(100, 50_000).bytes());
    group.restart(2);
    for n in 1..10 {
        assert_eq!(group.download(2, &n.to_string()).refused(), 404, "{n}");
    }
    assert!(group.download(2, "0").ok() == Pattern::new(100, 50_000).bytes());
    group.wait_bytes_at_all(1);
}

#[test]
fn what_only_a_dead_storage_has_is_waited_for_and_never_said_to_be_gone() {
    let mut group = Group::start();
    let contents = Pattern::new(1, 400_000).bytes();
    group.kill(1);
    group.kill(2);
    group.upload(0, "file", &contents);
    group.kill(0);
    group.restart(1);
    assert_eq!(group.download(1, "file").refused(), 503);
    assert_eq!(group.fetch(1, "file").refused(), 404);
    let load = eventually("a backlog", || group.load_of(1).filter(|load| load["backlog_files"] == 1));
    assert_eq!(load["backlog_bytes"], 400_000);
    assert!(load["backlog_oldest"].as_u64().unwrap() > 0, "{load}");
    group.restart(0);
    group.restart(2);
    group.wait_bytes_at_all(1);
    for storage in 0..STORAGES {
        assert!(group.fetch(storage, "file").ok() == contents, "{storage}");
    }
    eventually("no backlog", || group.load_of(1).filter(|load| load["backlog_files"].is_null()));
}

#[test]
fn a_storage_that_hangs_holds_up_nobody_for_long() {
    let group = Group::start();
    let contents = |n: u64| Pattern::new(n, 300_000).bytes();
    for n in 0..5 {
        group.upload(2, &n.to_string(), &contents(n));
    }
    group.wait_bytes_at_all(5);
    group.signal(2, Signal::STOP);
    for n in 5..15 {
        group.upload(0, &n.to_string(), &contents(n));
        assert!(group.download(1, &n.to_string()).ok() == contents(n), "{n}");
    }
    group.wait_bytes(1, 15);
    for n in 0..3 {
        group.wire(1).call(DELETE, &key(APP, USER, &n.to_string())).ok();
        assert_eq!(group.download(0, &n.to_string()).refused(), 404, "{n}");
    }
    group.signal(2, Signal::CONT);
    for n in 0..3 {
        assert_eq!(group.download(2, &n.to_string()).refused(), 404, "it remembers nothing: {n}");
    }
    group.wait_bytes_at_all(12);
}

#[test]
fn an_upload_goes_on_at_another_storage_when_its_own_is_gone_for_good() {
    const LEN: u64 = 48 << 20;
    let mut group = Group::watched();
    let film = Pattern::new(8, LEN);
    let path = group.lab.file("film.bin", film.bytes());
    let tracker = group.tracker().to_owned();
    let upload = [&tracker, "upload", APP, USER, &path, "--part-size", "1M", "--quiet"];
    let mut client = group.lab.process("client", &mut group.lab.client_command(&upload));
    let is_long = |path: &PathBuf| path.metadata().is_ok_and(|file| file.len() > LEN / 4);
    let victim = eventually("parts", || {
        (0..STORAGES).find(|storage| files_below(&group.store(*storage)).iter().any(is_long))
    });
    group.kill(victim);
    assert!(contents_below(&group.store(victim)).is_empty(), "it was not done yet");
    let file = client.expect_line("");
    assert!(client.wait().success(), "{}", client.log());
    for storage in (0..STORAGES).filter(|storage| *storage != victim) {
        assert!(group.download(storage, file.trim()).ok() == film.bytes(), "{storage}");
    }
    // What is left of it at the first one is not the file's, and does not become one.
    group.restart(victim);
    group.wait_bytes_at_all(1);
}

#[test]
fn a_film_plays_on_while_one_storage_after_the_other_is_killed() {
    const LEN: u64 = 96 << 20;
    let mut group = Group::start();
    let film = Pattern::new(7, LEN);
    group.upload(0, "film", &film.bytes());
    group.wait_bytes_at_all(1);
    let gateway = Role::http(&[group.tracker()]).start(&group.lab);
    let mut web = Web::connect(&gateway.address);
    web.send(request("GET", &format!("/files/{APP}/{USER}/film"), &[]).as_bytes());
    let head = web.head().unwrap();
    assert_eq!((head.status, head.len()), (200, LEN));
    let mut piece = vec![0; 8 << 20];
    let (mut done, mut victim) = (0, 0);
    while done < LEN {
        web.stream.read_exact(&mut piece).unwrap();
        assert!(film.has(done, &piece), "behind {done}");
        done += piece.len() as u64;
        group.kill(victim % STORAGES);
        group.restart(victim % STORAGES);
        victim += 1;
    }
    // Read anew through whoever is asked.
    for storage in 0..STORAGES {
        let mut wire = Wire::connect(group.address(storage));
        assert!(wire.download(&key(APP, USER, "film"), 0, 0).ok() == film.bytes(), "{storage}");
    }
}
