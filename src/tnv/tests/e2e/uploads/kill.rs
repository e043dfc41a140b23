//! SIGKILL in the middle of an upload: what was acknowledged is there, and the rest goes on from where it stood.

use std::io::{Read, Write};

use rustix::process::Signal;

use super::tus::{PART, TUS, begin, offset, patch};
use crate::harness::lab::USER;
use crate::harness::lab::{Lab, Role, own_address, wait_active};
use crate::harness::pattern::Pattern;
use crate::harness::web::{Web, request};
use crate::harness::{eventually, say};

/// What clients send in one request, the page among them: what they would have to send again at most.
const CHUNK: u64 = 8 << 20;
const SIZE: u64 = 96 << 20;

/// Sends these bytes in one request until the connection breaks; how many of the file the kernel has taken.
fn send_until_it_breaks(
    http: &str,
    path: &str,
    pattern: &Pattern,
    part: std::ops::Range<u64>,
    kill: impl FnOnce(),
) -> u64 {
    let (from, size) = (part.start, part.end - part.start);
    let mut web = Web::connect(http);
    let (at, len) = (from.to_string(), size.to_string());
    web.send(
        request("PATCH", path, &[TUS, PART, ("Upload-Offset", &at), ("Content-Length", &len)]).as_bytes(),
    );
    let contents = pattern.bytes();
    let mut kill = Some(kill);
    let mut sent = from;
    for piece in contents[from as usize..part.end as usize].chunks(256 * 1024) {
        if web.stream.get_mut().write_all(piece).is_err() {
            break;
        }
        sent += piece.len() as u64;
        if sent >= from + size / 4
            && let Some(kill) = kill.take()
        {
            kill();
        }
    }
    sent
}

#[test]
fn a_killed_gateway_costs_at_most_one_chunk() {
    let lab = Lab::new();
    let tracker = Role::tracker(&lab).start(&lab);
    let id = Role::id(&lab).start(&lab);
    let _storage = Role::storage(&lab, "store", &[&tracker.address], &[&id.address]).start(&lab);
    wait_active(&tracker.address, USER);
    let role = Role::http(&[&tracker.address]);
    let mut http = role.start(&lab);
    let pattern = Pattern::new(91, SIZE);
    let path = begin(&mut Web::connect(&http.address), SIZE, &[]);
    let (mut stands, mut worst) = (0, 0);
    for round in 0..3 {
        let process = &http.process;
        // In requests of a chunk each, as clients send: what came before is acknowledged.
        let part = stands..stands + CHUNK;
        let sent =
            send_until_it_breaks(&http.address, &path, &pattern, part, || process.signal(Signal::KILL));
        assert!(sent < SIZE, "the kill came too late in round {round}");
        http.process.wait();
        http = role.start(&lab);
        stands = settled(&http.address, &path, &pattern);
        worst = worst.max((sent + 1).saturating_sub(stands));
    }
    say(&format!("sent again after a kill of the gateway: {} KiB at most", worst >> 10));
    assert!(worst <= CHUNK, "{worst} bytes, the bar is {CHUNK}");
    finish(&http.address, &path, &pattern, stands);
}

/// The whole cluster dies: every part that was acknowledged is durable.
#[test]
fn a_killed_cluster_keeps_what_it_acknowledged() {
    let lab = Lab::new();
    let address = own_address();
    let mut up = lab.up_at(&address);
    let pattern = Pattern::new(92, SIZE);
    let contents = pattern.bytes();
    let path = begin(&mut Web::connect(&address), SIZE, &[]);
    let mut stands = 0;
    for _ in 0..3 {
        let mut web = Web::connect(&address);
        let acknowledged = stands + CHUNK;
        let part = &contents[stands as usize..acknowledged as usize];
        assert_eq!(patch(&mut web, &path, stands, &[], part).status, 204);
        let process = &up.process;
        let sent = send_until_it_breaks(&address, &path, &pattern, acknowledged..SIZE, || {
            process.signal(Signal::KILL)
        });
        up.process.wait();
        up = lab.up_at(&address);
        stands = settled(&address, &path, &pattern);
        assert!(
            (acknowledged..=sent).contains(&stands),
            "{stands} of {acknowledged} acknowledged and {sent} sent"
        );
    }
    finish(&address, &path, &pattern, stands);
}

/// Where the upload stands when nobody writes to it any more, after one more byte: the storage still has bytes to write
/// of the connection that broke.
#[track_caller]
fn settled(http: &str, path: &str, pattern: &Pattern) -> u64 {
    eventually("the upload to be free", || {
        let stands = offset(&mut Web::connect(http), path)?;
        let mut next = [0];
        pattern.reader(stands).read_exact(&mut next).unwrap();
        let response = patch(&mut Web::connect(http), path, stands, &[], &next);
        (response.status == 204).then_some(stands + 1)
    })
}

#[track_caller]
fn finish(http: &str, path: &str, pattern: &Pattern, stands: u64) {
    let mut web = Web::connect(http);
    let rest = &pattern.bytes()[stands as usize..];
    let headers =
        [TUS, PART, ("Upload-Offset", &*stands.to_string()), ("Content-Length", &*rest.len().to_string())];
    web.send(request("PATCH", path, &headers).as_bytes());
    web.stream.get_mut().write_all(rest).unwrap();
    assert_eq!(web.response("PATCH").status, 204);
    web.send(request("GET", &path.replace("/tus/", "/files/"), &[]).as_bytes());
    assert_eq!(web.head().unwrap().len(), SIZE);
    pattern.check(0, SIZE, &mut (&mut web.stream).take(SIZE));
}
