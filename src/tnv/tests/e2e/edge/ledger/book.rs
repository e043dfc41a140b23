//! What there has been, and what came of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{Cursor, Read};
use std::sync::{Condvar, Mutex};

use zip::ZipArchive;

use crate::harness::DEADLINE;
use crate::harness::pattern::{Pattern, Random};

/// How long each file of the meeting is, in bytes.
const LEN: u64 = 1_000_000;

/// The files of the meeting, by their names: from which seeds they were made.
pub(super) type Files = BTreeMap<String, u64>;

/// A file of the meeting. It begins with its seed.
pub(super) fn contents(seed: u64) -> Vec<u8> {
    [&seed.to_le_bytes()[..], &Pattern::new(seed, LEN).bytes()].concat()
}

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    /// Packages that arrived whole, and of those the ones that came in several pieces.
    pub(super) finished: usize,
    pub(super) resumed: usize,
    /// Answers with bytes, by who gave them.
    pub(super) from_nodes: usize,
    pub(super) from_hub: usize,
    /// Connections that broke off or did not come about.
    pub(super) broken: usize,
    /// Packages that were begun anew, because there was another version by then.
    pub(super) anew: usize,
    /// Clients that were sent to a node which had another version by then.
    pub(super) conflicts: usize,
    /// Packages that `client fetch` brought, and its attempts that ended otherwise.
    pub(super) fetched: usize,
    pub(super) not_fetched: usize,
    /// Files that were acknowledged, and those of which it was in doubt whether they were taken.
    pub(super) changes: usize,
    pub(super) doubts: usize,
}

#[derive(Default)]
pub(super) struct Book {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    /// All that the meeting may ever have consisted of.
    history: HashSet<Files>,
    /// The hash of the package of each version.
    versions: HashMap<String, blake3::Hash>,
    counts: Counts,
    /// Who gives bytes to how many just now, by address.
    at_work: BTreeMap<String, usize>,
}

/// As long as it lives, a server gives bytes to somebody.
pub(super) struct AtWork<'a> {
    book: &'a Book,
    server: String,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        // After another thread's panic nothing counts any more.
        if let Ok(mut state) = self.book.state.lock() {
            *state.at_work.entry(self.server.clone()).or_default() -= 1;
            state.at_work.retain(|_, count| *count > 0);
        }
    }
}

impl Book {
    pub(super) fn counts(&self) -> Counts {
        self.state.lock().unwrap().counts
    }

    pub(super) fn count(&self, note: impl FnOnce(&mut Counts)) {
        note(&mut self.state.lock().unwrap().counts);
        self.news.notify_all();
    }

    #[track_caller]
    pub(super) fn wait_for(&self, what: &str, is_so: impl Fn(&Counts) -> bool) {
        let state = self.state.lock().unwrap();
        let (state, waited) =
            self.news.wait_timeout_while(state, DEADLINE, |state| !is_so(&state.counts)).unwrap();
        assert!(!waited.timed_out(), "still waiting for {what}: {:?}", state.counts);
    }

    /// A server begins to give bytes to somebody.
    pub(super) fn at_work(&self, server: &str) -> AtWork<'_> {
        *self.state.lock().unwrap().at_work.entry(server.to_owned()).or_default() += 1;
        self.news.notify_all();
        AtWork { book: self, server: server.to_owned() }
    }

    /// One of those that give bytes, as soon as somebody does.
    #[track_caller]
    pub(super) fn anybody_at_work(&self, random: &mut Random) -> String {
        let state = self.state.lock().unwrap();
        let (state, waited) =
            self.news.wait_timeout_while(state, DEADLINE, |state| state.at_work.is_empty()).unwrap();
        assert!(!waited.timed_out(), "nobody gives anything: {:?}", state.counts);
        let which = random.below(state.at_work.len() as u64) as usize;
        state.at_work.keys().nth(which).unwrap().clone()
    }

    /// From now on the meeting may consist of these.
    pub(super) fn may_be(&self, files: Files) {
        self.state.lock().unwrap().history.insert(files);
    }

    /// How many versions have been seen.
    pub(super) fn versions(&self) -> usize {
        self.state.lock().unwrap().versions.len()
    }

    /// Whether a package is one that there was, and the same bytes as all others of its version.
    #[track_caller]
    pub(super) fn check(&self, etag: &str, package: Vec<u8>) {
        let hash = blake3::hash(&package);
        if self.state.lock().unwrap().versions.get(etag).is_some_and(|known| *known == hash) {
            return;
        }
        let files = open(package);
        let mut state = self.state.lock().unwrap();
        assert!(state.history.contains(&files), "version {etag} is a mixture: {files:?}");
        let known = *state.versions.entry(etag.to_owned()).or_insert(hash);
        assert_eq!(known, hash, "version {etag} has two kinds of bytes");
    }
}

/// What a package consists of, every byte of which must be right.
#[track_caller]
fn open(package: Vec<u8>) -> Files {
    let mut zip = ZipArchive::new(Cursor::new(package)).unwrap();
    let mut files = Files::new();
    for at in 0..zip.len() {
        let mut member = zip.by_index(at).unwrap();
        let name = member.name().unwrap().into_owned();
        let Some(name) = name.strip_prefix("files/") else {
            assert_eq!(name, "metadata.json");
            continue;
        };
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).unwrap();
        let seed = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert!(bytes == contents(seed), "{name} is damaged");
        files.insert(name.to_owned(), seed);
    }
    files
}
