//! What all three servers refuse alike.

use std::io::Write;
use std::net::Shutdown;

use crate::harness::frames::{self, Wire, frame, header};
use crate::harness::lab::{APP, Lab, USER, Up};
use crate::harness::pattern::Random;

const ALL: [u8; 14] = [
    frames::JOIN,
    frames::BEAT,
    frames::SADDRS,
    frames::GROUPS,
    frames::REPORT,
    frames::STATE,
    frames::ID_GET,
    frames::ID_LEASE,
    frames::UPLOAD,
    frames::FILESIZE,
    frames::DOWNLOAD,
    frames::DELETE,
    frames::STAT,
    frames::READ,
];

/// A server, the commands it knows, and a request that it answers with success.
struct Target<'a> {
    address: &'a str,
    reply: u8,
    knows: std::ops::RangeInclusive<u8>,
    good: (u8, Vec<u8>),
}

fn targets(up: &Up) -> [Target<'_>; 3] {
    let key = frames::key(APP, USER, "present");
    Wire::connect(&up.storage).upload(&key, b"here").ok();
    [
        Target { address: &up.tracker, reply: 100, knows: 10..=29, good: (frames::GROUPS, Vec::new()) },
        Target { address: &up.id, reply: 101, knows: 40..=59, good: (frames::ID_GET, frames::id_key("k")) },
        Target { address: &up.storage, reply: 102, knows: 70..=89, good: (frames::FILESIZE, key) },
    ]
}

impl Target<'_> {
    fn connect(&self) -> Wire {
        Wire::connect(self.address)
    }

    /// The connection is alive and between two frames.
    #[track_caller]
    fn assert_alive(&self, wire: &mut Wire) {
        let reply = wire.call(self.good.0, &self.good.1);
        assert_eq!((reply.command, reply.status), (self.reply, 0), "{reply:?}");
    }
}

#[test]
fn unknown_and_misdirected_commands_are_400_and_the_connection_lives() {
    let lab = Lab::new();
    let up = lab.up();
    for target in targets(&up) {
        let mut wire = target.connect();
        let foreign = ALL.into_iter().filter(|command| !target.knows.contains(command));
        for command in [0, 9, 30, 60, 90, 100, 101, 102, 255].into_iter().chain(foreign) {
            for body in [&[][..], &[7; 300]] {
                let reply = wire.call(command, body);
                assert_eq!((reply.command, reply.refused()), (target.reply, 400), "command {command}");
            }
        }
        target.assert_alive(&mut wire);
    }
}

#[test]
fn a_body_length_that_does_not_fit_is_400_and_the_connection_lives() {
    let lab = Lab::new();
    let up = lab.up();
    let wrong: [(u8, &[usize]); 13] = [
        (frames::JOIN, &[0, 170, 172]),
        (frames::BEAT, &[0, 145, 147]),
        (frames::SADDRS, &[0, 399, 401]),
        (frames::GROUPS, &[1, 400]),
        (frames::REPORT, &[0, 147, 148 + 16 * 1024 + 1]),
        (frames::STATE, &[1]),
        (frames::ID_GET, &[0, 1, 66]),
        (frames::ID_LEASE, &[0, 5, 70]),
        (frames::UPLOAD, &[0, 1, 407]),
        (frames::FILESIZE, &[0, 399, 401]),
        (frames::DOWNLOAD, &[0, 400, 415, 417, 65_536]),
        (frames::DELETE, &[0, 399, 401]),
        (frames::STAT, &[399, 401]),
    ];
    for target in targets(&up) {
        let mut wire = target.connect();
        for (command, lengths) in wrong.iter().filter(|(command, _)| target.knows.contains(command)) {
            for len in *lengths {
                let reply = wire.call(*command, &vec![b'a'; *len]);
                assert_eq!(reply.refused(), 400, "command {command} with {len} bytes");
            }
        }
        target.assert_alive(&mut wire);
    }
}

#[test]
fn a_negative_length_is_400_and_the_end_of_the_connection() {
    let lab = Lab::new();
    let up = lab.up();
    for target in targets(&up) {
        for len in [-1, i64::MIN, -408] {
            let mut wire = target.connect();
            wire.send(&header(len, target.good.0));
            assert_eq!(wire.reply().refused(), 400, "length {len}");
            wire.assert_closed();
        }
        target.assert_alive(&mut target.connect());
    }
}

/// Nothing is allocated or awaited for a length that does not fit: the refusal comes before the body.
#[test]
fn an_absurd_length_is_refused_at_once() {
    let lab = Lab::new();
    let up = lab.up();
    for target in targets(&up) {
        for len in [i64::MAX, 1 << 40] {
            let mut wire = target.connect();
            wire.send(&header(len, target.good.0));
            assert_eq!(wire.reply().refused(), 400, "length {len}");
            wire.stream.shutdown(Shutdown::Write).unwrap();
            wire.assert_closed();
        }
    }
}

/// The client sends all of it before it looks: the refusal must still be there, not lost to a reset.
#[test]
fn a_large_refused_body_is_drained_and_the_reply_arrives() {
    let lab = Lab::new();
    let up = lab.up();
    for target in targets(&up) {
        for _ in 0..10 {
            let mut wire = target.connect();
            wire.send(&frame(target.good.0, &vec![7; 4 << 20]));
            assert_eq!(wire.reply().refused(), 400);
            wire.assert_closed();
        }
        target.assert_alive(&mut target.connect());
    }
}

#[test]
fn frames_may_come_in_one_write_or_byte_by_byte() {
    let lab = Lab::new();
    let up = lab.up();
    for target in targets(&up) {
        let good = frame(target.good.0, &target.good.1);
        let mut wire = target.connect();
        wire.send(&[&good[..], &frame(200, &[1, 2, 3]), &good].concat());
        assert_eq!(wire.reply().status, 0);
        assert_eq!(wire.reply().refused(), 400);
        assert_eq!(wire.reply().status, 0);
        for byte in &good {
            wire.send(std::slice::from_ref(byte));
        }
        assert_eq!(wire.reply().status, 0);
    }
}

/// The status byte of a request means nothing.
#[test]
fn the_status_of_a_request_is_ignored() {
    let lab = Lab::new();
    let up = lab.up();
    for target in targets(&up) {
        let mut wire = target.connect();
        let mut request = frame(target.good.0, &target.good.1);
        request[9] = 0xfd;
        wire.send(&request);
        assert_eq!(wire.reply().status, 0);
    }
}

#[test]
fn garbage_and_half_frames_harm_nobody() {
    let lab = Lab::new();
    let up = lab.up();
    let seed = Random::seed();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    for target in targets(&up) {
        let mut bystander = target.connect();
        for _ in 0..100 {
            let mut wire = target.connect();
            let len = random.below(4000) as usize;
            // The server may hang up at any byte.
            let _ = wire.stream.write_all(&random.bytes(len));
        }
        let good = frame(target.good.0, &target.good.1);
        for cut in 0..good.len() {
            let mut wire = target.connect();
            wire.send(&good[..cut]);
        }
        target.assert_alive(&mut bystander);
        target.assert_alive(&mut target.connect());
    }
}
