//! SIGKILL at each system call an upload or a delete makes: strace attaches to the running storage and kills it when
//! a thread enters the nth call of a kind, for every kind and every n until the operation gets by.

use std::collections::BTreeMap;
use std::io;

use super::ledger::{Entry, Ledger, State};
use crate::harness::frames::{DELETE, FILESIZE, Reply, Wire, key};
use crate::harness::lab::{APP, Lab, Role, Server, USER};
use crate::harness::process::{Process, command};
use crate::harness::{installed, say};

const PWRITE: &str = "/^pwrite";
const SYNC: &str = "/^(fsync|fdatasync|sync_file_range|syncfs)$";
const RENAME: &str = "/^rename";
const UNLINK: &str = "/^unlink";
const SEND: &str = "/^(sendto|sendmsg|sendmmsg|writev)$";

/// What changes files or sends a reply, as strace's patterns.
const STEPS: [&str; 11] =
    ["openat", "/^mkdir", "write", PWRITE, "fallocate", SYNC, RENAME, "/^link", UNLINK, "/^f?truncate", SEND];

/// Some buffers full, so that a kill can fall between two of them.
const LEN: u64 = 1_300_000;

#[test]
fn a_kill_at_any_step_of_an_upload_leaves_all_or_nothing() {
    if installed(&["strace"]) {
        let kills = sweep(|_, _| {}, Bench::upload);
        for step in ["openat", PWRITE, SYNC, RENAME, SEND] {
            assert!(kills[step] > 0, "an upload has a step {step}");
        }
    }
}

#[test]
fn a_kill_at_any_step_of_a_delete_leaves_all_or_nothing() {
    if installed(&["strace"]) {
        let store = |bench: &mut Bench, file: &str| assert!(bench.upload(file));
        let kills = sweep(store, Bench::delete);
        for step in [PWRITE, SYNC, UNLINK, SEND] {
            assert!(kills[step] > 0, "a delete has a step {step}");
        }
    }
}

/// Runs `operate` on a file made ready by `prepare`, with a kill at every step of it. `operate` says whether it was
/// acknowledged; what was not is repeated after the restart, when it must succeed. How many kills there were per step.
fn sweep(
    prepare: impl Fn(&mut Bench, &str),
    operate: impl Fn(&mut Bench, &str) -> bool,
) -> BTreeMap<&'static str, usize> {
    let mut bench = Bench::new();
    let mut kills: BTreeMap<&str, usize> = STEPS.into_iter().map(|step| (step, 0)).collect();
    for (n, step) in STEPS.iter().enumerate() {
        for when in 1.. {
            assert!(when < 100, "{step}: no end in sight");
            let file = format!("step{n}-{when}");
            prepare(&mut bench, &file);
            let before = bench.state(&file);
            let mut strace = bench.arm(step, when);
            let acknowledged = operate(&mut bench, &file);
            // Its end, however it comes, leaves the storage as it is.
            strace.kill();
            if acknowledged && bench.answers() {
                break;
            }
            *kills.entry(step).or_default() += 1;
            bench.restart();
            if bench.state(&file) == before || (before.is_none() && bench.state(&file) == Some(State::Gone)) {
                assert!(operate(&mut bench, &file), "{file} again");
            }
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
        let entry = Entry { seed: self.ledger.files.len() as u64, len: LEN, state: State::Uploading };
        self.ledger.files.insert(file.to_owned(), entry);
        self.attempt(file, State::Present, |wire, key| wire.try_upload(key, &entry.contents()))
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
        strace.args([
            "-e",
            &format!("trace={step}"),
            "-e",
            &format!("inject={step}:signal=SIGKILL:when={when}"),
        ]);
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
