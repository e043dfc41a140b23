//! How much memory one process with all roles takes at its peak.

use std::io::{Read, Write};

use crate::harness::frames::{DOWNLOAD, FILESIZE, Wire, frame, key, range};
use crate::harness::lab::{APP, Lab, USER};
use crate::harness::pattern::Pattern;
use crate::harness::say;
use crate::harness::web::{Web, request};

const IDLE: usize = 3000;
const SIZE: u64 = 2 << 30;
const BAR_KIB: u64 = 128 * 1024;

/// A 2 GiB file up, down and through the gateway beside 3,000 idle connections.
#[test]
fn the_peak_stays_below_128_mib() {
    raise_descriptor_limit();
    let lab = Lab::new();
    let up = lab.up();
    let ports = [&up.tracker, &up.id, &up.storage, &up.http];
    let idle: Vec<Wire> = (0..IDLE).map(|n| Wire::connect(ports[n % 4])).collect();

    let pattern = Pattern::new(41, SIZE);
    let file = key(APP, USER, "large");
    let mut wire = Wire::connect(&up.storage);
    wire.begin_upload(&file, SIZE).unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut source = pattern.reader(0);
    loop {
        match source.read(&mut buffer).unwrap() {
            0 => break,
            count => wire.stream.write_all(&buffer[..count]).unwrap(),
        }
    }
    assert!(wire.reply().ok().is_empty());
    let uploaded = peak_kib(up.process.pid());

    wire.send(&frame(DOWNLOAD, &range(&file, 0, 0)));
    let (len, _, status) = wire.try_reply_header().unwrap();
    assert_eq!((len, status), (SIZE, 0));
    pattern.check(0, SIZE, &mut (&mut wire.stream).take(SIZE));
    let downloaded = peak_kib(up.process.pid());

    let mut web = Web::connect(&up.http);
    web.send(request("GET", "/files/large", &[]).as_bytes());
    assert_eq!(web.head().unwrap().len(), SIZE);
    pattern.check(0, SIZE, &mut web.stream.by_ref().take(SIZE));
    let served = peak_kib(up.process.pid());

    say(&format!("peak resident KiB after upload {uploaded}, download {downloaded}, gateway {served}"));
    assert!(served < BAR_KIB, "{served} KiB, the bar is {BAR_KIB}");
    let alive = idle.iter().filter(|wire| wire.stream.peer_addr().is_ok()).count();
    assert_eq!(alive, IDLE);
    for (n, mut wire) in idle.into_iter().enumerate().filter(|(n, _)| n % 4 == 2) {
        assert_eq!(wire.call(FILESIZE, &file).integer(), SIZE as i64, "idle connection {n} still answers");
    }
}

/// VmHWM: the most that was ever resident.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Both ends of 3,000 connections need more descriptors than the usual 1,024; the server inherits the limit.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    assert!(
        limit.current.is_none_or(|most| most > 2 * IDLE as u64),
        "at most {:?} descriptors",
        limit.current
    );
}
