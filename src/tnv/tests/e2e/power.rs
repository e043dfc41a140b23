//! Power cuts. A SIGKILL leaves what was written in the page cache; a power cut leaves what was synced, and of the rest
//! whatever the disk had got to: nothing, all, names without contents, contents without names, torn, in any order.
//! strace tells what a storage does to its files in one operation; every state that a cut may leave is made from that,
//! and a storage that is started on it must have what was acknowledged, whole, and nothing half-done.

mod disk;
mod trace;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use disk::{Cut, Disk};
use trace::{Event, Trace};

use crate::harness::frames::{APPEND, BEGIN, DELETE, FILESIZE, FINISH, Wire, append, begin, finish, key};
use crate::harness::lab::{APP, Lab, Role, Server, USER};
use crate::harness::{installed, say};
use crate::kill::ledger::{Entry, Ledger, State};

/// Some buffers full.
const LEN: u64 = 700_000;
/// In memory as a whole.
const SMALL: u64 = 5_000;
/// Orders of what was not synced that are tried at each step.
const SHUFFLES: u64 = 4;

#[test]
fn a_power_cut_at_any_step_of_an_upload_leaves_all_or_nothing() {
    if installed(&["strace"]) {
        sweep(State::Present, |_| {}, upload, LEN);
    }
}

#[test]
fn a_power_cut_at_any_step_of_a_small_upload_leaves_all_or_nothing() {
    if installed(&["strace"]) {
        sweep(State::Present, |_| {}, upload, SMALL);
    }
}

#[test]
fn a_power_cut_at_any_step_of_a_delete_leaves_all_or_nothing() {
    if installed(&["strace"]) {
        sweep(
            State::Gone,
            |wire| upload(wire, entry(LEN)),
            |wire, _| drop(wire.call(DELETE, &file_key()).ok()),
            LEN,
        );
    }
}

#[test]
fn a_power_cut_at_any_step_of_a_finish_leaves_all_or_nothing() {
    if installed(&["strace"]) {
        let send = |wire: &mut Wire| {
            wire.call(BEGIN, &begin(&file_key(), LEN)).ok();
            wire.call(APPEND, &append(&file_key(), 0, &entry(LEN).contents())).ok();
        };
        sweep(State::Present, send, |wire, _| drop(wire.call(FINISH, &finish(&file_key())).ok()), LEN);
    }
}

/// The file under test.
const FILE: &str = "cut";

fn file_key() -> Vec<u8> {
    key(APP, USER, FILE)
}

fn entry(len: u64) -> Entry {
    Entry { seed: 7, len, state: State::Uploading }
}

fn upload(wire: &mut Wire, entry: Entry) {
    wire.upload(&file_key(), &entry.contents()).ok();
}

/// Watches `operate`, which brings the file to state `then`, and starts a storage on every state that a cut may leave.
fn sweep(then: State, prepare: impl Fn(&mut Wire), operate: impl Fn(&mut Wire, Entry), len: u64) {
    let lab = Lab::new();
    // Their database is not looked at.
    let apart = |role: Role| role.set("database.url", format!("sqlite:{}", lab.arg("cluster.db")));
    let tracker = apart(Role::tracker(&lab)).start(&lab);
    let id = apart(Role::id(&lab)).start(&lab);
    let role = Role::storage(&lab, "store", &[&tracker.address], &[&id.address]);
    let mut storage = role.start(&lab);
    let mut ledger = Ledger::default();
    let mut wire = Wire::connect(&storage.address);
    for (seed, name) in [(1, "one"), (2, "two")] {
        let entry = Entry { seed, len: 3_000, state: State::Present };
        wire.upload(&key(APP, USER, name), &entry.contents()).ok();
        ledger.files.insert(name.to_owned(), entry);
    }
    prepare(&mut wire);
    let watched = [lab.path("store"), lab.path("catalog.db"), lab.path("catalog.db-wal")];
    let mut disk = Disk::of(&watched);
    let trace = Trace::begin(&lab, storage.process.pid());
    operate(&mut wire, entry(len));
    // strace has told the reply to that when this one comes.
    wire.call(FILESIZE, &key(APP, USER, "one")).ok();
    let events = trace.end(&watched, &storage.address);
    storage.process.kill();
    let doubt = if then == State::Gone { State::Deleting } else { State::Uploading };
    assert!(events.contains(&Event::Reply), "the reply was seen");
    let bench = Bench { role: moved(&lab, &tracker, &id), lab: &lab, ledger };
    let (mut seen, mut states) = (BTreeSet::new(), HashMap::<State, usize>::new());
    let mut state = doubt;
    for event in &events {
        if *event == Event::Reply {
            state = then;
        }
        disk.apply(event);
        for cut in Cut::all(SHUFFLES) {
            let found = disk.after(cut);
            if seen.insert((state == then, disk::digest(&found))) {
                let found = found.into_iter().map(|(path, node)| (below(&path, &lab), node));
                disk::write(&lab.path("cut"), found);
                bench.check(Entry { state, ..entry(len) }, &format!("{cut:?} after {event:?}"));
                *states.entry(state).or_default() += 1;
            }
        }
    }
    say(&format!("{} events, states on the disk: {states:?}", events.len()));
    assert!(states.get(&then).is_some_and(|count| *count > 0) && states[&doubt] > 10, "{states:?}");
}

fn below(path: &std::path::Path, lab: &Lab) -> PathBuf {
    path.strip_prefix(lab.path("")).unwrap().to_owned()
}

/// The same storage with its files in the folder `cut`.
fn moved(lab: &Lab, tracker: &Server, id: &Server) -> Role {
    Role::storage(lab, "cut/store", &[&tracker.address], &[&id.address])
        .set("database.url", format!("sqlite:{}", lab.arg("cut/catalog.db")))
        .named("cut")
}

struct Bench<'a> {
    role: Role,
    lab: &'a Lab,
    ledger: Ledger,
}

impl Bench<'_> {
    /// Starts a storage on what the cut left, and checks all that was ever acknowledged, with the file in this state.
    #[expect(clippy::print_stdout, reason = "the test runner keeps it and shows it with the failure")]
    fn check(&self, entry: Entry, when: &str) {
        println!("{when}: {entry:?}");
        let mut ledger = self.ledger.clone();
        ledger.files.insert(FILE.to_owned(), entry);
        let mut storage = self.role.start(self.lab);
        ledger.check(&storage.address, &self.lab.path("cut/store"));
        storage.process.kill();
    }
}
