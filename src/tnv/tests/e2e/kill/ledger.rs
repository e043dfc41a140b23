//! What a storage has acknowledged, and the check against what it has after a crash.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::harness::frames::{FILESIZE, Wire, key};
use crate::harness::lab::{APP, USER};
use crate::harness::pattern::Pattern;
use crate::harness::{contents_below, eventually, temps_below};

/// How far a file has come, as far as its client can know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// Sent but not acknowledged: whole or absent.
    Uploading,
    /// Acknowledged: whole, for ever.
    Present,
    /// Asked to be deleted, not acknowledged: whole or absent.
    Deleting,
    /// Deleted and acknowledged, or seen to be absent: absent, for ever.
    Gone,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) seed: u64,
    pub(crate) len: u64,
    pub(crate) state: State,
}

impl Entry {
    pub(crate) fn contents(&self) -> Vec<u8> {
        Pattern::new(self.seed, self.len).bytes()
    }
}

#[derive(Default, Clone)]
pub(crate) struct Ledger {
    pub(crate) files: HashMap<String, Entry>,
    /// Every path seen so far, by its number.
    paths: HashMap<u64, PathBuf>,
    /// What was in doubt when the server was killed: found whole, found absent.
    pub(crate) doubts: (usize, usize),
}

impl Ledger {
    /// Checks everything after a restart and settles what was in doubt.
    #[track_caller]
    pub(crate) fn check(&mut self, storage: &str, store: &Path) {
        eventually("temps to be swept", || temps_below(store).is_empty().then_some(()));
        let mut wire = Wire::connect(storage);
        for (file, entry) in &mut self.files {
            let key = key(APP, USER, file);
            let reply = wire.call(FILESIZE, &key);
            let is_there = reply.status == 0 || {
                assert_eq!(reply.refused(), 404, "{file}");
                false
            };
            match (entry.state, is_there) {
                (State::Present, false) => panic!("{file} was acknowledged and is lost: {entry:?}"),
                (State::Gone, true) => panic!("{file} was gone and is back: {entry:?}"),
                (State::Uploading | State::Deleting, true) => self.doubts.0 += 1,
                (State::Uploading | State::Deleting, false) => self.doubts.1 += 1,
                _ => {}
            }
            if is_there {
                let contents = wire.download(&key, 0, 0).ok();
                assert!(
                    contents == entry.contents(),
                    "{file} is damaged: {} bytes, {entry:?}",
                    contents.len()
                );
            }
            entry.state = if is_there { State::Present } else { State::Gone };
        }
        self.check_paths(store);
    }

    /// Every file has bytes of its own, nothing else has, and no number was ever given twice.
    #[track_caller]
    fn check_paths(&mut self, store: &Path) {
        let present = self.count(State::Present);
        let found = eventually("bytes without a row to be removed", || {
            let found = contents_below(store);
            (found.len() <= present).then_some(found)
        });
        assert_eq!(found.len(), present, "files on disk and in the ledger");
        for (number, path) in found {
            let known = self.paths.entry(number).or_insert_with(|| path.clone());
            assert_eq!(*known, path, "number {number} was given twice");
        }
    }

    pub(crate) fn count(&self, state: State) -> usize {
        self.files.values().filter(|entry| entry.state == state).count()
    }
}
