//! Clients that stall or trickle are cut off, those over the limit are turned away, and meanwhile others are served.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use crate::harness::frames::{DOWNLOAD, FILESIZE, ID_GET, Wire, frame, id_key, key, range};
use crate::harness::lab::{APP, Lab, Role, Server, USER, assert_no_temps};
use crate::harness::pattern::Pattern;
use crate::harness::{DEADLINE, eventually, temps_below};

/// A storage that is patient for a second only, with the servers it needs.
fn impatient(lab: &Lab) -> (Server, Vec<Server>) {
    let tracker = Role::tracker(lab).start(lab);
    let id = Role::id(lab).start(lab);
    let storage = Role::storage(lab, "store", &[&tracker.address], &[&id.address])
        .set("header_timeout", "1s")
        .set("progress_timeout", "1s")
        .start(lab);
    (storage, vec![tracker, id])
}

/// Sends `bytes` one at a time, a few a second, until the server hangs up; fails if it takes them all.
fn trickle(wire: &mut Wire, bytes: &[u8]) {
    wire.stream.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
    for byte in bytes {
        if wire.stream.write_all(std::slice::from_ref(byte)).is_err() {
            return;
        }
        match wire.stream.read(&mut [0; 1]) {
            Ok(0) => return,
            Ok(_) => panic!("an answer to half a request"),
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {}
            Err(_) => return,
        }
    }
    panic!("the server took {} bytes at 7 a second", bytes.len());
}

#[test]
fn a_trickled_header_is_cut_off_while_others_are_served() {
    let lab = Lab::new();
    let (storage, _others) = impatient(&lab);
    let present = key(APP, USER, "present");
    Wire::connect(&storage.address).upload(&present, b"here").ok();
    std::thread::scope(|scope| {
        // Within a header, and within the fixed part behind it.
        for _ in 0..20 {
            scope.spawn(|| trickle(&mut Wire::connect(&storage.address), &frame(FILESIZE, &present)));
        }
        for _ in 0..50 {
            assert_eq!(Wire::connect(&storage.address).call(FILESIZE, &present).integer(), 4);
        }
    });
}

#[test]
fn an_upload_that_stalls_is_cut_off_and_leaves_nothing() {
    let lab = Lab::new();
    let (storage, _others) = impatient(&lab);
    let stalled = key(APP, USER, "stalled");
    let mut wire = Wire::connect(&storage.address);
    wire.begin_upload(&stalled, 1 << 20).unwrap();
    wire.send(&[1; 300_000]);
    wire.assert_closed();
    let mut trickler = Wire::connect(&storage.address);
    trickler.begin_upload(&stalled, 1 << 20).unwrap();
    trickle(&mut trickler, &[1; 400]);
    let store = lab.path("store");
    eventually("the temps to be gone", || temps_below(&store).is_empty().then_some(()));
    assert_eq!(Wire::connect(&storage.address).call(FILESIZE, &stalled).refused(), 404);
}

#[test]
fn a_download_nobody_reads_is_cut_off_while_others_are_served() {
    let lab = Lab::new();
    let (storage, _others) = impatient(&lab);
    let pattern = Pattern::new(8, 48 << 20);
    let large = key(APP, USER, "large");
    Wire::connect(&storage.address).upload(&large, &pattern.bytes()).ok();
    let request = frame(DOWNLOAD, &range(&large, 0, 0));
    let mut stalled: Vec<Wire> = (0..10).map(|_| Wire::connect(&storage.address)).collect();
    stalled.iter_mut().for_each(|wire| wire.send(&request));
    let mut reader = Wire::connect(&storage.address);
    reader.send(&request);
    let (len, _, status) = reader.try_reply_header().unwrap();
    assert_eq!(status, 0);
    pattern.check(0, len, &mut (&mut reader.stream).take(len));
    // The server's side of the stalled connections goes away, though nobody here has read a byte.
    let own: Vec<u16> = stalled.iter().map(|wire| wire.stream.local_addr().unwrap().port()).collect();
    eventually("the stalled downloads to be cut off", || {
        let left = established(storage.process.pid());
        own.iter().all(|port| !left.contains(port)).then_some(())
    });
    for mut wire in stalled {
        wire.stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let got = std::io::copy(&mut wire.stream, &mut std::io::sink());
        assert!(got.is_err() || got.unwrap() < len, "a cut download is not a whole one");
    }
    assert_no_temps(&lab.path("store"));
}

/// One connection too many is told so; when another has gone there is room again.
#[test]
fn connections_over_the_limit_are_503_until_there_is_room() {
    let lab = Lab::new();
    let id = Role::id(&lab).set("max_connections", 4).start(&lab);
    let ask = |wire: &mut Wire| wire.call(ID_GET, &id_key("k"));
    let mut held: Vec<Wire> = (0..4).map(|_| Wire::connect(&id.address)).collect();
    held.iter_mut().for_each(|wire| drop(ask(wire).ok()));
    for _ in 0..20 {
        assert_eq!(ask(&mut Wire::connect(&id.address)).refused(), 503);
    }
    held.iter_mut().for_each(|wire| drop(ask(wire).ok()));
    held.pop();
    eventually("room", || (ask(&mut Wire::connect(&id.address)).status == 0).then_some(()));
}

/// The peer ports of the process's established IPv4 connections: state 01 in /proc/net/tcp, told apart by socket inode.
fn established(pid: u32) -> Vec<u16> {
    let inodes: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .flatten()
        .filter_map(|fd| std::fs::read_link(fd.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[3] == "01" && inodes.iter().any(|inode| inode == row[9]))
        .filter_map(|row| u16::from_str_radix(row[2].rsplit(':').next()?, 16).ok())
        .collect()
}
