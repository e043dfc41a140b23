//! What has been acknowledged, and the check against what every server has.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::client::Client;
use super::site::Site;
use crate::harness::frames::{Wire, key};
use crate::harness::lab::APP;
use crate::harness::pattern::{Pattern, Random};
use crate::harness::{contents_below, eventually, web};

/// How far a file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Uploading,
    Present,
    Deleting,
    Gone,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) user: String,
    pub(super) file: String,
    pub(super) seed: u64,
    pub(super) len: u64,
    pub(super) state: State,
}

impl Entry {
    pub(super) fn new(user: &str, random: &mut Random) -> Entry {
        let len = match random.below(8) {
            0 => 0,
            1 => random.below(2_000_000),
            _ => random.below(40_000),
        };
        // Whatever else happens, no two files have one id.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let file = format!("f{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Entry { user: user.to_owned(), file, seed: random.next(), len, state: State::Uploading }
    }

    pub(super) fn contents(&self) -> Vec<u8> {
        Pattern::new(self.seed, self.len).bytes()
    }
}

pub(super) struct Ledger {
    /// Users of both groups.
    pub(super) users: Vec<String>,
    /// By id.
    pub(super) files: HashMap<String, Entry>,
    /// Files that may be there and have no owner: their acknowledgement went missing with the gateway that gave them
    /// their id.
    pub(super) strays: usize,
    /// Every path seen so far, by group and number.
    paths: HashMap<(String, u64), PathBuf>,
}

impl Ledger {
    /// With enough users that both groups have some.
    pub(super) fn new(site: &Site) -> Ledger {
        let mut client = Client::of(site);
        let mut groups: HashMap<Vec<String>, Vec<String>> = HashMap::new();
        for n in 0..64 {
            let user = format!("user{n}");
            let mut storages = client.storages(&user);
            storages.sort();
            groups.entry(storages).or_default().push(user);
        }
        assert_eq!(groups.len(), 2, "users are spread over both groups: {groups:?}");
        let users = groups.into_values().flat_map(|users| users.into_iter().take(3)).collect();
        Ledger { users, files: HashMap::new(), strays: 0, paths: HashMap::new() }
    }

    /// Checks all files at both storages of their group and at both gateways. Nobody may be at work.
    #[track_caller]
    pub(super) fn check(&mut self, site: &Site) {
        let mut client = Client::of(site);
        for entry in self.files.values() {
            let storages = client.storages(&entry.user);
            assert_eq!(storages.len(), 2, "{}", entry.user);
            let key = key(APP, &entry.user, &entry.file);
            for storage in storages {
                let reply = Wire::connect(&storage).download(&key, 0, 0);
                let found = (reply.status == 0).then_some(&reply.body);
                assert!(found.is_some() || reply.refused() == 404, "{entry:?} at {storage}");
                check(entry, found, &storage);
            }
            for gateway in site.gateways() {
                let path = format!("/files/{APP}/{}/{}", entry.user, entry.file);
                let response = web::get(&gateway, &path, &[]);
                assert!(matches!(response.status, 200 | 404), "{entry:?} at {gateway}: {}", response.text());
                check(entry, (response.status == 200).then_some(&response.body), &gateway);
            }
        }
        self.check_paths(site);
    }

    /// Present and gone files.
    pub(super) fn counts(&self) -> (usize, usize) {
        let count = |state| self.files.values().filter(|entry| entry.state == state).count();
        (count(State::Present), count(State::Gone))
    }

    /// Every file has bytes of its own, nothing else has, and no number was ever given twice.
    #[track_caller]
    fn check_paths(&mut self, site: &Site) {
        let (present, _) = self.counts();
        for group in ["group001", "group002"] {
            for (number, path) in contents_below(&site.folder(group)) {
                let known = self.paths.entry((group.to_owned(), number)).or_insert_with(|| path.clone());
                assert_eq!(*known, path, "number {number} of {group} was given twice");
            }
        }
        let count = || {
            ["group001", "group002"]
                .map(|group| contents_below(&site.folder(group)).len())
                .iter()
                .sum::<usize>()
        };
        let at_most = present + self.strays;
        let found =
            eventually("bytes without a row to be removed", || Some(count()).filter(|n| *n <= at_most));
        assert!(found >= present, "{found} files on disk, {present} in the ledger");
    }
}

#[track_caller]
fn check(entry: &Entry, found: Option<&Vec<u8>>, server: &str) {
    match (entry.state, found) {
        (State::Present, None) => panic!("{entry:?} was acknowledged and is lost at {server}"),
        (State::Gone, Some(_)) => panic!("{entry:?} was deleted and is back at {server}"),
        (State::Present, Some(bytes)) => {
            assert!(*bytes == entry.contents(), "{entry:?} is damaged at {server}: {} bytes", bytes.len());
        }
        (State::Gone, None) => {}
        (state, _) => panic!("{entry:?} is still {state:?}"),
    }
}
