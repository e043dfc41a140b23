//! Clients at work, each with files of its own, at whichever storage chance says.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use super::group::{Group, STORAGES};
use crate::harness::DEADLINE;
use crate::harness::frames::{DELETE, FILESIZE, Reply, Wire, key};
use crate::harness::lab::{APP, USER};
use crate::harness::pattern::{Pattern, Random};

/// How far a file has come, as far as its client can know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Present,
    Gone,
    /// Its upload or its delete was not answered, or refused half-way.
    Doubtful,
}

struct File {
    seed: u64,
    len: u64,
    state: State,
}

/// What was found in the end.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) present: usize,
    pub(crate) gone: usize,
    pub(crate) doubtful_present: usize,
    pub(crate) doubtful_gone: usize,
    pub(crate) refused_reads: usize,
}

pub(crate) struct Worker {
    name: usize,
    addresses: Vec<String>,
    random: Random,
    files: BTreeMap<String, File>,
    /// No id is used twice, however often it is put to work.
    next: usize,
    refused_reads: usize,
}

/// Works until `meanwhile` ends, which gets a function that waits for so many answered operations.
#[track_caller]
pub(crate) fn under_load(workers: Vec<Worker>, meanwhile: impl FnOnce(&dyn Fn(usize))) -> Vec<Worker> {
    let stop = AtomicBool::new(false);
    let (sender, answered) = channel();
    thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        let running: Vec<_> = workers
            .into_iter()
            .map(|worker| {
                let (stop, sender) = (&stop, sender.clone());
                scope.spawn(move || worker.run(stop, &sender))
            })
            .collect();
        drop(sender);
        meanwhile(&|operations| {
            for _ in 0..operations {
                answered.recv_timeout(DEADLINE).expect("the clients go on");
            }
        });
        stop.store(true, Ordering::Relaxed);
        running.into_iter().map(|worker| worker.join().unwrap()).collect()
    })
}

/// Ends the clients also when the test fails, or it would wait for them for ever.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Worker {
    pub(crate) fn new(name: usize, group: &Group, seed: u64) -> Worker {
        let addresses = (0..STORAGES).map(|storage| group.address(storage).to_owned()).collect();
        Worker {
            name,
            addresses,
            random: Random::new(seed),
            files: BTreeMap::new(),
            next: 0,
            refused_reads: 0,
        }
    }

    fn run(mut self, stop: &AtomicBool, answered: &Sender<()>) -> Worker {
        while !stop.load(Ordering::Relaxed) {
            let done = match self.random.below(10) {
                0..4 => self.upload(),
                4..6 => self.delete(),
                _ => self.read(),
            };
            if done {
                let _ = answered.send(());
            }
        }
        self
    }

    /// Asks a storage at random. An error is what a kill does.
    fn ask(&mut self, call: impl FnOnce(&mut Wire) -> io::Result<Reply>) -> io::Result<Reply> {
        let storage = self.random.below(STORAGES as u64) as usize;
        call(&mut Wire::try_connect(&self.addresses[storage])?)
    }

    fn upload(&mut self) -> bool {
        let file = format!("w{}n{}", self.name, self.next);
        self.next += 1;
        let len = match self.random.below(8) {
            0 => 0,
            1 => self.random.below(2_000_000),
            _ => self.random.below(60_000),
        };
        let seed = self.random.next();
        let contents = Pattern::new(seed, len).bytes();
        let done = self.ask(|wire| wire.try_upload(&key(APP, USER, &file), &contents));
        let done = done.is_ok_and(|reply| reply.status == 0);
        let state = if done { State::Present } else { State::Doubtful };
        self.files.insert(file, File { seed, len, state });
        done
    }

    fn delete(&mut self) -> bool {
        let Some(file) = self.pick(State::Present) else { return false };
        let done = self.ask(|wire| wire.try_call(DELETE, &key(APP, USER, &file)));
        let done = done.is_ok_and(|reply| reply.status == 0);
        let state = if done { State::Gone } else { State::Doubtful };
        self.files.get_mut(&file).unwrap().state = state;
        done
    }

    /// Whoever answers has the right bytes, or says that it cannot get at them; never that an acknowledged file is not there.
    fn read(&mut self) -> bool {
        let state = if self.random.below(4) == 0 { State::Gone } else { State::Present };
        let Some(file) = self.pick(state) else { return false };
        let Ok(reply) = self.ask(|wire| wire.try_download(&key(APP, USER, &file))) else { return false };
        if reply.status != 0 && reply.refused() == 503 {
            self.refused_reads += 1;
        } else if state == State::Gone {
            assert_eq!(reply.refused(), 404, "{file} was deleted");
        } else {
            assert!(reply.ok() == self.files[&file].contents(), "{file}");
        }
        true
    }

    fn pick(&mut self, state: State) -> Option<String> {
        let found: Vec<_> = self.files.iter().filter(|(_, file)| file.state == state).collect();
        let at = self.random.below(found.len().max(1) as u64) as usize;
        found.get(at).map(|(name, _)| (*name).clone())
    }

    /// How many of its files there are, as the catalog says.
    #[track_caller]
    pub(crate) fn count(&self, group: &Group) -> usize {
        let mut wire = group.wire(0);
        let mut is_there = |file: &&String| wire.call(FILESIZE, &key(APP, USER, file)).status == 0;
        self.files.keys().filter(&mut is_there).count()
    }

    /// Checks what each storage has itself, when all copies are made.
    #[track_caller]
    pub(crate) fn check(&self, group: &Group, counts: &mut Counts) {
        counts.refused_reads += self.refused_reads;
        for (name, file) in &self.files {
            let whole: Vec<bool> = (0..STORAGES)
                .map(|storage| {
                    let found = group.fetch(storage, name);
                    if found.status != 0 {
                        assert_eq!(found.refused(), 404, "{name} at {storage}");
                        return false;
                    }
                    assert!(found.ok() == file.contents(), "{name} is damaged at {storage}");
                    true
                })
                .collect();
            let is_there = whole[0];
            assert!(whole.iter().all(|there| *there == is_there), "{name} is at some of them: {whole:?}");
            match (file.state, is_there) {
                (State::Present, true) => counts.present += 1,
                (State::Gone, false) => counts.gone += 1,
                (State::Doubtful, true) => counts.doubtful_present += 1,
                (State::Doubtful, false) => counts.doubtful_gone += 1,
                (State::Present, false) => panic!("{name} was acknowledged and is lost"),
                (State::Gone, true) => panic!("{name} was deleted and is back"),
            }
        }
    }
}

impl File {
    fn contents(&self) -> Vec<u8> {
        Pattern::new(self.seed, self.len).bytes()
    }
}
