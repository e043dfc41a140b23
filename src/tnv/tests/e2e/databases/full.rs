//! MariaDB on a disk that is full.

use std::net::TcpStream;

use tnv_testbed::{MariaDb, installed};

use super::site::Site;
use crate::full_disk::Disk;
use crate::harness::frames::{DELETE, FILESIZE, Wire, key};
use crate::harness::lab::{APP, Lab, USER, assert_no_temps};
use crate::harness::pattern::Random;
use crate::harness::{eventually, say};
use crate::kill::ledger::{Entry, Ledger, State};

/// Enough for an empty server and some thousand rows.
const SIZE: u64 = 160 << 20;
/// Far more rows than an extent of a table holds.
const ATTEMPTS: usize = 5_000;

#[test]
fn a_full_disk_of_the_database_refuses_uploads_loses_nothing_and_can_be_freed() {
    if !installed(MariaDb::PROGRAMS) || !installed(&["mkfs.ext4", "mount"]) {
        return;
    }
    let lab = Lab::new();
    let Some(disk) = Disk::mount(&lab, SIZE) else { return };
    let mut database = MariaDb::start_in(&disk.folder);
    let site = Site::start(&[database.url()], "memory:");
    let (mut ledger, mut random) = (Ledger::default(), Random::new(Random::seed()));
    let mut upload = |ledger: &mut Ledger, n: usize| {
        // As long as ids can be, so that rows take room.
        let file = format!("{n:0>100}");
        let entry = Entry { seed: random.next(), len: random.below(3_000), state: State::Uploading };
        let reply = Wire::connect(&site.storage.address).upload(&key(APP, USER, &file), &entry.contents());
        let state = if reply.status == 0 { State::Present } else { State::Gone };
        ledger.files.insert(file, Entry { state, ..entry });
        reply
    };
    for n in 0..50 {
        upload(&mut ledger, n).ok();
    }

    let other = disk.fill();
    let (mut refusals, mut attempts) = (Vec::new(), 0);
    while refusals.len() < 20 {
        attempts += 1;
        assert!(attempts < ATTEMPTS, "{attempts} uploads on a full disk: {refusals:?}");
        let reply = upload(&mut ledger, 50 + attempts);
        if reply.status != 0 {
            let code = reply.refused();
            assert!([503, 507].contains(&code), "{}", reply.reason(code));
            refusals.push((code, reply.reason(code)));
        }
        let file = format!("{:0>100}", attempts % 50);
        Wire::connect(&site.storage.address).download(&key(APP, USER, &file), 0, 0).ok();
    }
    for (_, reason) in &refusals {
        assert!(reason.contains(&database.address()), "{reason}");
    }
    let lives = TcpStream::connect(database.address()).is_ok();
    let full = refusals.iter().filter(|(code, _)| *code == 507).count();
    say(&format!(
        "a full disk: {attempts} uploads until 20 were refused, {full} with 507; MariaDB {}; lately: {}",
        if lives { "lives" } else { "died" },
        refusals[19].1
    ));
    assert_no_temps(&site.lab.path("store"));

    std::fs::remove_file(other).unwrap();
    if !lives {
        database.restart();
    }
    eventually("room again", || {
        attempts += 1;
        (upload(&mut ledger, 50 + attempts).status == 0).then_some(())
    });
    let file = key(APP, USER, &format!("{:0>100}", 7));
    let mut wire = Wire::connect(&site.storage.address);
    assert!(wire.call(DELETE, &file).ok().is_empty());
    assert_eq!(wire.call(FILESIZE, &file).refused(), 404);
    ledger.files.get_mut(&format!("{:0>100}", 7)).unwrap().state = State::Gone;
    site.check(&mut ledger, &database);
    // In this order: the disk is in use until the server is gone.
    drop(site);
    drop(database);
    drop(disk);
}
