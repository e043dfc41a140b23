//! SIGKILL at each system call an upload, the finish of one in parts, or a delete makes: strace attaches to the
//! running storage and kills it when a thread enters its nth call of a kind, for every kind and every n until the
//! operation gets by.

use std::collections::BTreeMap;
use std::io;

use super::ledger::{Entry, Ledger, State};
use crate::harness::frames::{
    APPEND, BEGIN, DELETE, FILESIZE, FINISH, PROGRESS, Reply, Wire, append, begin, finish, key, progress,
};
use crate::harness::lab::{APP, Lab, Role, Server, USER};
use crate::harness::process::{Process, command};
use crate::harness::{files_below, installed, say};

const PWRITE: &str = "/^pwrite";
const SYNC: &str = "/^(fsync|fdatasync|sync_file_range|syncfs)$";
/// Those of the catalog: another thread makes them, so they do not follow those of the files in one count.
const CATALOG_SYNC: &str = "sync of the catalog";
const RENAME: &str = "/^rename";
const LINK: &str = "/^link";
const UNLINK: &str = "/^unlink";
const SEND: &str = "/^(sendto|sendmsg|sendmmsg|writev)$";

/// What changes files or sends a reply, as strace's patterns.
const STEPS: [&str; 12] = [
    "openat",
    "/^mkdir",
    "write",
    PWRITE,
    "fallocate",
    SYNC,
    CATALOG_SYNC,
    RENAME,
    LINK,
    UNLINK,
    "/^f?truncate",
    SEND,
];

/// Some buffers full, so that a kill can fall between two of them.
const LEN: u64 = 1_300_000;
/// In memory as a whole.
const SMALL: u64 = 5_000;

#[test]
fn a_kill_at_any_step_of_an_upload_leaves_all_or_nothing() {
    if installed(&["strace"]) {
        let again = |bench: &mut Bench, file: &str| {
            if bench.state(file) == Some(State::Gone) {
                assert!(bench.upload(file), "{file} again");
            }
        };
        let kills = sweep(|_, _| {}, Bench::upload, again);
        for step in ["openat", PWRITE, SYNC, CATALOG_SYNC, RENAME, SEND] {
            assert!(kills[step] > 0, "an upload has a step {step}");
        }
    }
}

/// One that is in memory before anything is written goes another way.
#[test]
fn a_kill_at_any_step_of_a_small_upload_leaves_all_or_nothing() {
    if installed(&["strace"]) {
        let upload = |bench: &mut Bench, file: &str| bench.upload_of(SMALL, file);
        let again = |bench: &mut Bench, file: &str| {
            if bench.state(file) == Some(State::Gone) {
                assert!(upload(bench, file), "{file} again");
            }
        };
        let kills = sweep(|_, _| {}, upload, again);
        for step in ["openat", "write", SYNC, CATALOG_SYNC, RENAME, SEND] {
            assert!(kills[step] > 0, "a small upload has a step {step}");
        }
    }
}

#[test]
fn a_kill_at_any_step_of_a_finish_leaves_the_file_or_its_parts() {
    if installed(&["strace"]) {
        let kills = sweep(Bench::send_parts, Bench::finish, |bench, file| {
            let parts = bench.parts(file);
            // Both at once is possible: the rows are written, the parts not removed yet.
            assert!(
                bench.state(file) == Some(State::Present) || parts == Some((LEN, LEN)),
                "{file}: {parts:?}"
            );
            assert!(bench.finish(file), "{file} again");
            bench.assert_no_parts(file);
        });
        for step in ["openat", PWRITE, SYNC, CATALOG_SYNC, LINK, RENAME, UNLINK, SEND] {
            assert!(kills[step] > 0, "a finish has a step {step}");
        }
    }
}

#[test]
fn a_kill_at_any_step_of_a_delete_leaves_all_or_nothing() {
    if installed(&["strace"]) {
        let store = |bench: &mut Bench, file: &str| assert!(bench.upload(file));
        let kills = sweep(store, Bench::delete, |bench, file| {
            if bench.state(file) == Some(State::Present) {
                assert!(bench.delete(file), "{file} again");
            }
        });
        for step in [PWRITE, SYNC, CATALOG_SYNC, UNLINK, SEND] {
            assert!(kills[step] > 0, "a delete has a step {step}");
        }
    }
}

/// Runs `operate` on a file made ready by `prepare`, with a kill at every step of it. `operate` says whether it was
/// acknowledged; `again` looks at what there is after the restart, and repeats what was not done. How many kills there
/// were per step.
fn sweep(
    prepare: impl Fn(&mut Bench, &str),
    operate: impl Fn(&mut Bench, &str) -> bool,
    again: impl Fn(&mut Bench, &str),
) -> BTreeMap<&'static str, usize> {
    let mut bench = Bench::new();
    let mut kills: BTreeMap<&str, usize> = STEPS.into_iter().map(|step| (step, 0)).collect();
    for (n, step) in STEPS.iter().enumerate() {
        for when in 1.. {
            assert!(when < 100, "{step}: no end in sight");
            let file = format!("step{n}-{when}");
            prepare(&mut bench, &file);
            let mut strace = bench.arm(step, when);
            let acknowledged = operate(&mut bench, &file);
            // Its end, however it comes, leaves the storage as it is.
            strace.kill();
            if acknowledged && bench.answers() {
                break;
            }
            *kills.entry(step).or_default() += 1;
            bench.restart();
            again(&mut bench, &file);
        }
    }
    bench.restart();
    let (whole, absent) = bench.ledger.doubts;
    let count: usize = kills.values().sum();
    say(&format!("{count} kills at a step: {whole} files in doubt were whole, {absent} absent; {kills:?}"));
    kills
}

/// The storage under test and the servers it needs.
struct Bench {
    role: Role,
    storage: Server,
    ledger: Ledger,
    _others: [Server; 2],
    /// Last, so that the folder is there until all of them are gone.
    lab: Lab,
}

impl Bench {
    fn new() -> Bench {
        let lab = Lab::new();
        let tracker = Role::tracker(&lab).start(&lab);
        let id = Role::id(&lab).start(&lab);
        let role = Role::storage(&lab, "store", &[&tracker.address], &[&id.address]);
        let storage = role.start(&lab);
        Bench { role, storage, ledger: Ledger::default(), _others: [tracker, id], lab }
    }

    fn state(&self, file: &str) -> Option<State> {
        self.ledger.files.get(file).map(|entry| entry.state)
    }

    fn upload(&mut self, file: &str) -> bool {
        self.upload_of(LEN, file)
    }

    fn upload_of(&mut self, len: u64, file: &str) -> bool {
        let entry = Entry { seed: self.ledger.files.len() as u64, len, state: State::Uploading };
        self.ledger.files.insert(file.to_owned(), entry);
        self.attempt(file, State::Present, |wire, key| wire.try_upload(key, &entry.contents()))
    }

    /// Sends every byte of an upload in parts, in two of them. It is no file before it is finished.
    fn send_parts(&mut self, file: &str) {
        let entry = Entry { seed: self.ledger.files.len() as u64, len: LEN, state: State::Gone };
        self.ledger.files.insert(file.to_owned(), entry);
        let (mut wire, key, contents) = (self.connect(), key(APP, USER, file), entry.contents());
        wire.call(BEGIN, &begin(&key, LEN)).ok();
        let (first, rest) = contents.split_at(500_000);
        wire.call(APPEND, &append(&key, 0, first)).ok();
        let sent = wire.call(APPEND, &append(&key, first.len() as u64, rest)).ok();
        assert_eq!(progress(&sent), (LEN, LEN), "{file}");
    }

    fn finish(&mut self, file: &str) -> bool {
        self.ledger.files.get_mut(file).unwrap().state = State::Uploading;
        self.attempt(file, State::Present, |wire, key| wire.try_call(FINISH, &finish(key)))
    }

    /// How many bytes of an upload in parts are durable, of how many; `None` if there is none.
    fn parts(&self, file: &str) -> Option<(u64, u64)> {
        let reply = self.connect().call(PROGRESS, &key(APP, USER, file));
        if reply.status == 0 {
            return Some(progress(&reply.body));
        }
        assert_eq!(reply.refused(), 404, "{file}");
        None
    }

    #[track_caller]
    fn assert_no_parts(&self, file: &str) {
        assert_eq!(self.parts(file), None, "{file}");
        let left = files_below(&self.lab.path("store").join(".tnv-parts"));
        assert!(left.is_empty(), "{file} is finished, and there is still {left:?}");
    }

    fn delete(&mut self, file: &str) -> bool {
        self.ledger.files.get_mut(file).unwrap().state = State::Deleting;
        self.attempt(file, State::Gone, |wire, key| wire.try_call(DELETE, key))
    }

    /// Whether the server acknowledged; then the file is in state `then`. A broken connection is the kill, a refusal
    /// is a mistake.
    fn attempt(
        &mut self,
        file: &str,
        then: State,
        operate: impl Fn(&mut Wire, &[u8]) -> io::Result<Reply>,
    ) -> bool {
        let reply = Wire::try_connect(&self.storage.address)
            .and_then(|mut wire| operate(&mut wire, &key(APP, USER, file)));
        if let Ok(reply) = reply {
            reply.ok();
            self.ledger.files.get_mut(file).unwrap().state = then;
            return true;
        }
        false
    }

    #[track_caller]
    fn connect(&self) -> Wire {
        Wire::connect(&self.storage.address)
    }

    /// Whether the kill never came.
    fn answers(&self) -> bool {
        let ask = |mut wire: Wire| wire.try_call(FILESIZE, &key(APP, USER, "none"));
        Wire::try_connect(&self.storage.address).and_then(ask).is_ok()
    }

    /// Attaches strace, which kills the storage at the nth call.
    fn arm(&self, step: &str, when: usize) -> Process {
        let pid = self.storage.process.pid().to_string();
        // Its messages go where lines are waited for.
        let mut strace = command("sh");
        strace.args(["-c", "exec \"$@\" 2>&1", "sh", "strace", "-f", "-p", &pid, "-o", "/dev/null"]);
        let call = if step == CATALOG_SYNC { SYNC } else { step };
        strace.args([
            "-e",
            &format!("trace={call}"),
            "-e",
            &format!("inject={call}:signal=SIGKILL:when={when}"),
        ]);
        if step == CATALOG_SYNC {
            strace.args(["-P", &self.lab.arg("catalog.db-wal")]);
        }
        let mut strace = self.lab.process("strace", &mut strace);
        assert!(strace.expect_line("strace: Process ").contains("attached"), "strace may not attach here");
        strace
    }

    /// Starts the storage again and checks all that it ever acknowledged.
    fn restart(&mut self) {
        self.storage.process.kill();
        self.storage = self.role.start(&self.lab);
        self.ledger.check(&self.storage.address, &self.lab.path("store"));
    }
}
